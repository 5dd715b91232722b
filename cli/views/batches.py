"""Batches and files on a terminal."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.text import plain
from cli.views.output import age, fitted, out, table

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
FIRST_POLL_S = 0.3
LONGEST_POLL_S = 5.0
Batch = Mapping[str, Any]


async def watch_batch(fetch: Callable[[], Awaitable[dict[str, Any]]], console: Console) -> dict[str, Any]:
    """Poll a batch until it has ended: a bar on a terminal, one line per change elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    poll_s, before = FIRST_POLL_S, ""
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        while True:
            batch = await fetch()
            counts = batch.get("request_counts") or {}
            done = counts.get("completed", 0) + counts.get("failed", 0)
            progress.update(
                task, description=plain(batch.get("status")), completed=done, total=counts.get("total") or None
            )
            line = f"{batch.get('id')} {batch.get('status')} {done}/{counts.get('total', 0)}"
            if line != before and not console.is_terminal:
                console.print(plain(line), markup=False)
            if batch.get("status") in ENDED:
                return batch
            poll_s = FIRST_POLL_S if line != before else min(poll_s * 1.5, LONGEST_POLL_S)
            before = line
            await asyncio.sleep(poll_s)


def print_batch(batch: Batch) -> None:
    """Print a batch field by field."""
    counts = batch.get("request_counts") or {}
    errors = (batch.get("errors") or {}).get("data") or ()
    fields = [
        *((name, batch.get(name)) for name in ("id", "status", "endpoint", "output_file_id", "error_file_id")),
        *((name, counts.get(name, 0)) for name in ("total", "completed", "failed")),
        *(("error", error.get("message")) for error in errors),
    ]
    out().print(table(("field", "value"), [field for field in fields if field[1] is not None]))


def print_batches(page: Mapping[str, Any]) -> None:
    """Print a page of batches, with the option for the next page."""
    rows = [_batch_row(batch) for batch in page.get("data") or ()]
    _print_page(page, ("id", "status", "endpoint", "done", "failed", "total", "age"), rows, "no batches")


def _batch_row(batch: Batch) -> tuple[object, ...]:
    counts = batch.get("request_counts") or {}
    numbers = (counts.get(name, 0) for name in ("completed", "failed", "total"))
    return (batch.get("id"), batch.get("status"), batch.get("endpoint"), *numbers, _age(batch))


def print_files(page: Mapping[str, Any]) -> None:
    """Print a page of files, with the option for the next page."""
    rows = [
        (file.get("id"), file.get("filename"), file.get("purpose"), f"{file.get('bytes') or 0:,}", _age(file))
        for file in page.get("data") or ()
    ]
    _print_page(page, ("id", "name", "purpose", "bytes", "age"), rows, "no files")


def _print_page(page: Mapping[str, Any], columns: tuple[str, ...], rows: Sequence[Sequence[object]], none: str) -> None:
    console = out()
    if not rows:
        console.print(none)
        return
    console.print(fitted(columns, rows, console, ("age", *columns[2:3])))
    if page.get("has_more"):
        console.print(f"\nmore with --after {plain(page.get('last_id'))}", markup=False)


def _age(entry: Mapping[str, Any]) -> str:
    created = entry.get("created_at")
    return age(datetime.fromtimestamp(created, UTC).isoformat()) if isinstance(created, int) else ""
