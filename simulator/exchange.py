"""One HTTP exchange over ASGI: reading, writing, pausing, noticing a client that left, breaking the socket."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from simulator.log import Entry

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_LIMIT_BYTES = 64 * 1024 * 1024


class ClientGone(Exception):
    """The client closed its connection before the answer was complete."""


class BodyTooLarge(Exception):
    """The request body exceeds the limit."""


class Exchange:
    """The ASGI channel of one request.

    Breaking a connection needs the server: `simulator.serve` puts a function `sim.abort(reset)` into the
    scope's extensions. Without it (another server) breaking raises ConnectionResetError, upon which servers
    close the connection in their own way.
    """

    __slots__ = ("_receive", "_send", "_watcher", "entry", "scope")

    def __init__(self, scope: Scope, receive: Receive, send: Send, entry: Entry) -> None:
        self.scope = scope
        self.entry = entry
        self._receive = receive
        self._send = send
        self._watcher: asyncio.Task[None] | None = None

    async def read_body(self) -> bytes:
        """The whole request body.

        Raises:
            ClientGone: the client left while sending.
            BodyTooLarge: it is over 64 MiB.
        """
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > BODY_LIMIT_BYTES:
                raise BodyTooLarge
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def pause(self, seconds: float | None) -> None:
        """Wait (None: for ever), at least one turn of the loop.

        Raises:
            ClientGone: the client left meanwhile.
        """
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._until_disconnect())
        if seconds is not None and seconds <= 0:
            await asyncio.sleep(0)
        else:
            await asyncio.wait({self._watcher}, timeout=seconds)
        if self._watcher.done():
            raise ClientGone

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send status and headers."""
        self.entry.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        """Send a piece of the body; counted as a frame."""
        self.entry.frames += 1
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        """Send the last piece of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def abort(self, *, reset: bool) -> None:
        """Break the connection: `reset` sends RST and drops unsent bytes, else FIN after what was written.

        Raises:
            ConnectionResetError: the server offers no way to do it.
        """
        breaker = self.scope.get("extensions", {}).get("sim.abort")
        if breaker is None:
            raise ConnectionResetError("this server cannot break connections; use simulator.serve")
        breaker(reset)
        # The server may complain about an unfinished answer unless it has seen the connection end first.
        if self._watcher is None:
            await self._until_disconnect()
        else:
            await asyncio.wait({self._watcher})

    async def close(self) -> None:
        """Stop watching."""
        if self._watcher is not None and not self._watcher.done():
            self._watcher.cancel()
            await asyncio.wait({self._watcher})

    async def _until_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
