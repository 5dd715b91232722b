"""An upstream that answers with whatever bytes a test wants, on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Rogue:
    """A server that reads one request a connection and answers with ``reply``.

    Attributes:
        reply: The raw bytes of every answer.
        heads: The heads of the requests, as they came.
        bodies: Their bodies.
    """

    port: int = 0
    reply: bytes = b""
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def answer(self, status: str, body: bytes = b"{}", *headers: bytes) -> None:
        lines = [b"content-type: application/json", b"content-length: %d" % len(body), *headers]
        self.reply = b"HTTP/1.1 %b\r\n%b\r\n\r\n%b" % (status.encode(), b"\r\n".join(lines), body)

    def lines(self) -> dict[str, str]:
        """Return the header lines of the last request, by lower-case name."""
        pairs = [line.partition(b":") for line in self.heads[-1].split(b"\r\n")[1:] if line]
        return {name.decode().lower(): value.strip().decode("latin-1") for name, _, value in pairs}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
            )
            self.bodies.append(await reader.readexactly(length))
            writer.write(self.reply)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def rogue_upstream() -> AsyncIterator[Rogue]:
    """Run a rogue upstream."""
    rogue = Rogue()
    server = await asyncio.start_server(rogue.serve, "127.0.0.1", 0)
    rogue.port = server.sockets[0].getsockname()[1]
    async with server:
        yield rogue
