"""A connection's writes, joined: uvloop sends each one at once, in a system call of 10 us."""

import asyncio
from typing import Any

from shared.background import LARGE_BYTES


class JoinedWrites:
    """A transport that keeps what is written until the loop's next turn; everything else is the real one's."""

    __slots__ = ("_call_soon", "_pending", "_transport", "_write", "is_closing", "sent")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._write = transport.write
        self.is_closing = transport.is_closing  # asked after each response; `__getattr__` takes 0.2 us
        self._call_soon = loop.call_soon
        self._pending: list[bytes] = []
        self.sent = 0  # bytes handed to the transport

    def write(self, data: bytes) -> None:
        """Buffer the data, to be sent on the loop's next turn."""
        if not self._pending:
            self._call_soon(self.flush)
        self._pending.append(data)

    def write_now(self, data: bytes) -> None:
        """Hand data to the transport, behind what is kept; for what is whole, as a turn of the loop costs 1 us."""
        if self._pending:
            self._pending.append(data)
            self.flush()
        else:
            self.sent += len(data)
            self._write(data)

    def write_whole(self, head: bytes, body: bytes) -> None:
        """Hand a whole response to the transport; a large body as it is: copying 50 MB takes 50 ms and more."""
        if len(body) <= LARGE_BYTES:
            self.write_now(head + body)
        else:
            self.write_now(head)
            self.write_now(body)

    def close(self) -> None:
        """Send what is kept, then close."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Hand what is kept to the transport."""
        pending = self._pending
        if pending:
            self._pending = []
            data = pending[0] if len(pending) == 1 else b"".join(pending)
            self.sent += len(data)
            self._write(data)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the real one has
        return getattr(self._transport, name)
