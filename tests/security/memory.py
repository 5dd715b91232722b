"""A connection without a socket, for properties that are tried with thousands of byte strings."""

import asyncio
from typing import Any


class NoSocket:
    """Takes options and does nothing."""

    def setsockopt(self, *option: int) -> None: ...


class MemoryTransport(asyncio.Transport):
    """Keeps what is written.

    Args:
        socket: What it says that it writes to.

    Attributes:
        written: All bytes.
        closed: Whether either side ended the connection.
    """

    def __init__(self, socket: NoSocket | None = None) -> None:
        super().__init__()
        self._socket = socket
        self.written = b""
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        known = {"peername": ("192.0.2.1", 1), "sockname": ("192.0.2.2", 80), "socket": self._socket}
        return known.get(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...
