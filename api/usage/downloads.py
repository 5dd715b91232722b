"""Files that are made while they are sent: some rows at a time, never a whole one in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.http.disconnect import Hangup
from shared.governance.ledger.exports import csv_text, json_lines
from shared.governance.ledger.focus import focus_csv

Rows = Sequence[Mapping[str, Any]]
ROWS_AT_ONCE = 100


class Format(NamedTuple):
    """A kind of file; ``focus``: rows are ledger entries or charges, as the specification wants them."""

    suffix: str
    media_type: str


FORMATS: Mapping[str, Format] = {
    "csv": Format("csv", "text/csv; charset=utf-8"),
    "jsonl": Format("jsonl", "application/x-ndjson"),
    "focus": Format("focus.csv", "text/csv; charset=utf-8"),
}
Render = Callable[[Rows, bool], Iterator[bytes]]
"""Rows, and whether they are the first ones, to bytes."""


def renderer(kind: str, columns: Sequence[str], account: str = "finops") -> Render:
    """How rows become a file of that kind.

    Args:
        kind: One of ``FORMATS``.
        columns: Of a CSV file.
        account: Billing account of a FOCUS file.
    """

    def render(rows: Rows, first: bool) -> Iterator[bytes]:
        if kind == "jsonl":
            return json_lines(rows)
        if kind == "csv":
            return (text.encode() for text in csv_text(rows, columns, header=first))
        return (text.encode() for text in focus_csv(rows, account=account, header=first))

    return render


async def pieces(batches: AsyncIterator[Rows], render: Render) -> AsyncIterator[bytes]:
    """The file's bytes; other requests have their turn after every few rows."""
    first = True
    async for batch in batches:
        for at in range(0, len(batch) or 1, ROWS_AT_ONCE):
            text = b"".join(render(batch[at : at + ROWS_AT_ONCE], first))
            first = False
            if text:
                yield text
            await asyncio.sleep(0)


class Download(Response):
    """A file on its way: its beginning is made before the status is sent, so that a failure by then is an error.

    Later a failure cuts the connection, which is how HTTP says that a body is incomplete. A caller that hangs up ends
    the work.

    Args:
        body: The file.
        name: Without suffix; of letters, digits and dashes.
        kind: What it is.
    """

    def __init__(self, body: AsyncIterator[bytes], name: str, kind: Format) -> None:
        super().__init__(media_type=kind.media_type)
        self._body = body
        del self.headers["content-length"]
        self.headers["content-disposition"] = f'attachment; filename="{name}.{kind.suffix}"'
        self.headers["cache-control"] = "no-store"
        self.headers["x-content-type-options"] = "nosniff"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send it."""
        with Hangup(receive):
            await self._send(send)

    async def _send(self, send: Send) -> None:
        try:
            started = False
            async for piece in self._body:
                if not started:
                    await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                    started = True
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if not started:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await self._body.aclose()  # type: ignore[attr-defined] # an asynchronous generator
