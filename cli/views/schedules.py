"""Schedules on a terminal."""

from collections.abc import Mapping
from typing import Any

from cli.text import plain
from cli.views.output import age, fitted, out, table

_COLUMNS = ("id", "name", "status", "when", "type", "next run", "last run", "fired", "skipped")
_DROPPED = ("type", "skipped", "last run", "name")


def print_schedules(page: Mapping[str, Any]) -> None:
    """Print a page of schedules as a table, with the option for the next page."""
    schedules = page.get("data") or []
    console = out()
    if not schedules:
        console.print("no schedules")
        return
    console.print(fitted(_COLUMNS, [_row(schedule) for schedule in schedules], console, _DROPPED))
    if page.get("has_more"):
        console.print(f"\nmore with --after {plain(page.get('last_id'))}", markup=False)


def _row(schedule: Mapping[str, Any]) -> tuple[object, ...]:
    last = age(schedule.get("last_run_at"))
    return (
        schedule.get("id"),
        schedule.get("name"),
        schedule.get("status"),
        timing_text(schedule),
        (schedule.get("request") or {}).get("type"),
        schedule.get("next_run_at"),
        f"{last} ago" if last else "",
        schedule.get("fired"),
        schedule.get("skipped"),
    )


def timing_text(schedule: Mapping[str, Any]) -> str:
    """Return when a schedule fires: ``30 6 * * * Europe/Berlin`` or ``every 60 s``."""
    if schedule.get("cron"):
        return f"{schedule['cron']} {schedule.get('timezone', '')}".strip()
    return f"every {schedule.get('every_s')} s"


def print_schedule(schedule: Mapping[str, Any]) -> None:
    """Print a schedule field by field."""
    out().print(table(("field", "value"), [(name, schedule[name]) for name in schedule if name != "object"]))
