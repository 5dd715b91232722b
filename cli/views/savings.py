"""Prints what waiting saved, and how long the lanes took."""

from collections.abc import Mapping, Sequence
from typing import Any

from cli.text import plain
from cli.views.output import duration, out, table

Row = Mapping[str, Any]


def print_savings(rows: Sequence[Row], times: Sequence[Row]) -> None:
    """Print a table of costs by lane, and one of times if any were measured.

    Args:
        rows: Of ``/api/usage`` by lane, for one period.
        times: Of ``/api/lanes``; empty: not measured, or not for this key.
    """
    console = out()
    if not rows:
        console.print("no usage")
        return
    lines = [[row["lane"] or "(no patience)", f"{row['calls']:,}", *_costs(row), _on_time(row)] for row in rows]
    console.print(table(("lane", "calls", "list", "cost", "saved", "part", "on time"), lines))
    if times:
        console.print()
        lines = [
            [row["lane"], plain(row["model"]), f"{row['answers']:,}", f"{row['late']:,}", *_spans(row)] for row in times
        ]
        console.print(table(("lane", "model", "answers", "late", "p50", "p95", "p99"), lines))


def _costs(row: Row) -> list[str]:
    listed, cost = row["list_cost_usd"], row["cost_usd"]
    part = f"{(listed - cost) / listed:.0%}" if listed else ""
    return [f"${listed:,.6f}", f"${cost:,.6f}", f"${listed - cost:,.6f}", part]


def _on_time(row: Row) -> str:
    share = row.get("on_time_share")
    return "" if share is None else f"{share:.2%}"


def _spans(row: Row) -> list[str]:
    return ["too late" if row[name] is None else duration(row[name]) for name in ("p50_s", "p95_s", "p99_s")]
