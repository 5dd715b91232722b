"""Entries of the audit trail on a terminal."""

import json
from collections.abc import Mapping
from typing import Any

from cli.text import plain
from cli.views.output import age, out, table

_DETAIL = 60


def print_entries(page: Mapping[str, Any]) -> None:
    """Print a page of entries, and how to go on."""
    console = out()
    if not page["data"]:
        console.print("nothing was changed")
        return
    console.print(table(("age", "action", "status", "target", "detail", "by", "from"), list(map(_row, page["data"]))))
    if page.get("has_more"):
        console.print(f"more with --after {page['last_id']}")


def _row(entry: Mapping[str, Any]) -> tuple[object, ...]:
    detail = json.dumps(entry["detail"]) if entry.get("detail") else ""
    summary = detail if len(detail) <= _DETAIL else f"{detail[: _DETAIL - 1]}…"
    names = (entry["action"], str(entry["status"]), entry.get("target") or "", summary, entry["who"], entry["address"])
    return (age(entry["at"]), *map(plain, names))
