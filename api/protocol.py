"""uvicorn's protocol with the writes of one turn of the loop joined into one system call.

uvicorn writes a response's head and its body separately, and uvloop sends each at once: two system calls of 10 us where
one does. (Measured at 64 connections: 141 -> 121 us of CPU a request.)
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class JoinedWrites:
    """A transport that keeps what is written until the loop's next turn; everything else is the real one's."""

    __slots__ = ("_call_soon", "_kept", "_transport", "_write")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._write = transport.write
        self._call_soon = loop.call_soon
        self._kept: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keep it, and see that it is sent."""
        if not self._kept:
            self._call_soon(self._flush)
        self._kept.append(data)

    def close(self) -> None:
        """Send what is kept, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        kept = self._kept
        if kept:
            self._kept = []
            self._write(kept[0] if len(kept) == 1 else b"".join(kept))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the real one has
        return getattr(self._transport, name)


class JoiningProtocol(HttpToolsProtocol):
    """HTTP/1.1 on httptools, with joined writes, and without uvicorn's own access log: it holds queries, maybe keys."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **options)
        self.access_log = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]
