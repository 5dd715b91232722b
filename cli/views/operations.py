"""Operations on many jobs: their progress until they have ended, and what they did."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from cli.client.gateway import Gateway, GatewayRequestError
from cli.text import plain
from cli.views.output import cell, out, table

ENDED = frozenset({"completed", "cancelled", "failed"})
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
OUTAGE_PATIENCE_S = 60.0
_COUNTS = ("matched", "done", "skipped", "failed")


async def wait_for_operation(gateway: Gateway, document: dict[str, Any], console: Console) -> dict[str, Any]:
    """Poll an operation until it has ended, and show its progress: a bar on a terminal, a line per change elsewhere.

    Returns:
        The operation at its end.

    Raises:
        GatewayRequestError: It is unknown, or the gateway is unavailable for too long.
    """
    path = f"/v1/async/operations/{quote(str(document.get('id')), safe='')}"
    pause_s = SHORTEST_PAUSE_S
    with _Display(console) as display:
        display.show(document)
        while document.get("status") not in ENDED:
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 1.5)
            document = await _read(gateway, path)
            display.show(document)
    return document


async def _read(gateway: Gateway, path: str) -> dict[str, Any]:
    """Read an operation; the gateway may be away for a while, as the operation goes on in the workers."""
    patience_until = time.monotonic() + OUTAGE_PATIENCE_S
    while True:
        try:
            return await gateway.call("GET", path)
        except GatewayRequestError as error:
            if not error.transient or time.monotonic() > patience_until:
                raise
        await asyncio.sleep(0.5)


class _Display:
    """The progress of one operation on a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def show(self, document: Mapping[str, Any]) -> None:
        """Show how far it is."""
        done = sum(int(document.get(name) or 0) for name in ("done", "skipped", "failed"))
        total = None if document.get("status") == "queued" else document.get("matched")
        self._bar.update(
            self._task, completed=done, total=total, description=plain(f"{document.get('action')} {document.get('id')}")
        )
        line = f"{document.get('id')} {document.get('status')}: {_counts(document)}"
        if not self._console.is_terminal and line != self._last:
            self._last = line
            self._console.print(line, markup=False)


def _counts(document: Mapping[str, Any]) -> str:
    return plain(", ".join(f"{document.get(name)} {name}" for name in _COUNTS))


def print_operation(document: Mapping[str, Any]) -> None:
    """Print an operation in one line, with the reason of the last failure below."""
    console = out()
    console.print(
        Text.assemble(
            plain(f"{document.get('action')} "), cell(document.get("status")), f": {_counts(document)}",
            *([plain(f", at most {document['cost_usd']} USD")] if document.get("cost_usd") else []),
        )
    )  # fmt: skip
    error = document.get("error")
    if isinstance(error, dict):
        console.print(Text(plain(f"{error.get('code')}: {error.get('message')}"), style="red"))


def print_dry_run(document: Mapping[str, Any]) -> None:
    """Print how many jobs an operation would look at, of which models and keys, and their estimated cost."""
    console = out()
    cost = f"{document.get('estimated_cost_usd')} USD"
    unpriced = f", without {document['unpriced']} jobs of unknown price" if document.get("unpriced") else ""
    console.print(f"{document.get('matched')} jobs match; estimated cost at most {cost}{unpriced}", markup=False)
    for title in ("by_status", "by_model", "by_key"):
        counts = document.get(title)
        if isinstance(counts, dict) and counts:
            console.print()
            console.print(table((title.removeprefix("by_"), "jobs"), list(counts.items())))
