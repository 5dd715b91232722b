"""Webhook deliveries on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from cli.text import plain
from cli.views.output import age, fitted, out, table

_COLUMNS = ("id", "event", "webhook", "job", "status", "attempts", "last", "age")
_DROPPED = ("age", "attempts", "last", "job")
_ANSWER_CHARS = 100


def print_deliveries(page: Mapping[str, Any], *, wide: bool = False) -> None:
    """Print a page of deliveries as a table, with the option for the next page."""
    rows = page.get("data") or []
    console = out(wide=wide)
    if not rows:
        console.print("no deliveries")
        return
    console.print(fitted(_COLUMNS, [_row(delivery) for delivery in rows], console, _DROPPED))
    if page.get("has_more"):
        console.print(f"\nmore with --after {plain(page.get('last_id'))}", markup=False)


def _row(delivery: Mapping[str, Any]) -> Sequence[object]:
    attempts = delivery.get("attempts") or []
    return (
        delivery.get("id"),
        delivery.get("event"),
        delivery.get("webhook") or delivery.get("url"),
        delivery.get("job_id"),
        delivery.get("status"),
        len(attempts),
        _result(attempts[-1]) if attempts else "",
        age(delivery.get("created_at")),
    )


def _result(attempt: Mapping[str, Any]) -> object:
    return attempt.get("status") or attempt.get("error")


def print_delivery(delivery: Mapping[str, Any]) -> None:
    """Print a delivery field by field, and its attempts."""
    console = out()
    fields = [(name, delivery[name]) for name in delivery if name not in {"object", "attempts"} and delivery[name]]
    console.print(table(("field", "value"), fields))
    attempts = delivery.get("attempts") or []
    if attempts:
        rows = [
            (
                attempt.get("at"),
                _result(attempt),
                f"{attempt.get('duration_ms')} ms",
                str(attempt.get("answer"))[:_ANSWER_CHARS],
            )
            for attempt in attempts
        ]
        console.print()
        console.print(table(("attempt", "status", "time", "answer"), rows))
