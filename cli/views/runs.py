"""Runs on a terminal."""

from collections.abc import Mapping
from typing import Any

from cli.text import plain
from cli.views.output import age, out, table

_COLUMNS = ("id", "team", "key", "budget", "spent", "reserved", "calls", "jobs", "last used")


def print_runs(page: Mapping[str, Any]) -> None:
    """Print a page of runs as a table, with the option for the next page."""
    runs = page.get("data") or []
    console = out()
    if not runs:
        console.print("no runs")
        return
    rows = [
        (
            run.get("id"),
            run.get("team"),
            run.get("key"),
            *(_usd(run.get(f"{name}_usd")) for name in ("budget", "spent", "reserved")),
            run.get("calls"),
            run.get("jobs"),
            age(run.get("last_used_at")),
        )
        for run in runs
    ]
    console.print(table(_COLUMNS, rows))
    if page.get("has_more"):
        console.print(f"\nmore with --after {plain(page.get('last_id'))}", markup=False)


def _usd(amount: float | None) -> str:
    return "" if amount is None else f"${amount:,.6f}".rstrip("0").rstrip(".")
