"""An upstream that plays bytes: each connection runs a script, which reads requests and writes what it likes."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import NamedTuple, Self

from shared.providers.transport import Origin

PATIENCE_S = 10.0


class Request(NamedTuple):
    line: bytes
    headers: dict[bytes, bytes]
    body: bytes
    raw: bytes


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.requests: list[Request] = []
        self.sent = 0
        self.gone = asyncio.Event()

    async def request(self) -> Request:
        head = await self.reader.readuntil(b"\r\n\r\n")
        line, *lines = head[:-4].split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(b":") for one in lines)}
        if headers.get(b"transfer-encoding") == b"chunked":
            raw = b"".join([part async for part in self._chunked()])
            body = _unchunk(raw)
        else:
            raw = body = await self.reader.readexactly(int(headers.get(b"content-length", b"0")))
        self.requests.append(Request(line, headers, body, head + raw))
        return self.requests[-1]

    async def _chunked(self) -> AsyncIterator[bytes]:
        size = -1
        while size:
            line = await self.reader.readuntil(b"\r\n")
            size = int(line, 16)
            yield line + await self.reader.readexactly(size + 2)

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            self.sent += len(part)
            await asyncio.sleep(0)

    async def drip(self, data: bytes) -> None:
        await self.send(*(data[at : at + 1] for at in range(len(data))))

    def reset(self) -> None:
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def hang_up_seen(self) -> None:
        """Wait until the client has closed its end."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        self.gone.set()


Script = Callable[[Peer], Awaitable[None]]


def _unchunk(raw: bytes) -> bytes:
    body = b""
    while raw:
        size, _, rest = raw.partition(b"\r\n")
        body += rest[: int(size, 16)]
        raw = rest[int(size, 16) + 2 :]
    return body


def answer(body: bytes = b"ok", status: str = "200 OK", headers: Iterable[str] = ()) -> bytes:
    """A well-formed answer with a length."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def answering(data: bytes) -> Script:
    """Answer every request with the same bytes."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(data)

    return script


def once(data: bytes) -> Script:
    """Answer one request and close."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)

    return script


class Upstream:
    """A server on a free port of this machine; scripts that go wrong fail the test."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, backlog: int = 300) -> None:
        self._scripts = scripts
        self._tls = tls
        self._backlog = backlog
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self.peers: list[Peer] = []

    @property
    def requests(self) -> list[Request]:
        return [request for peer in self.peers for request in peer.requests]

    @property
    def origin(self) -> Origin:
        return Origin("https" if self._tls else "http", "localhost" if self._tls else "127.0.0.1", self.port)

    @property
    def url(self) -> str:
        return f"{self.origin.scheme}://{self.origin.host}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls, backlog=self._backlog)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        for _ in range(8):
            await asyncio.sleep(0)  # connections being accepted show up now: closing the server would leak them
        self._server.close()
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            peer.writer.transport.abort()
            with contextlib.suppress(OSError):
                await peer.writer.wait_closed()
        await self._server.wait_closed()
        for result in results:
            if isinstance(result, Exception):
                raise result

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closing:
            writer.transport.abort()
            return
        peer = Peer(reader, writer)
        script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
        self.peers.append(peer)
        task = asyncio.create_task(self._play(script, peer))
        self._tasks.append(task)

    async def _play(self, script: Script, peer: Peer) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await script(peer)
        peer.writer.close()


async def wait_until(fact: Callable[[], bool]) -> None:
    """Give the event loop turns until something is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not fact():  # noqa: ASYNC110 - facts of the code under test have no event to wait for
            await asyncio.sleep(0.001)


async def wait_until_still(measure: Callable[[], int]) -> int:
    """Wait until a figure has stopped moving, and return it."""
    seen, still = measure(), 0
    async with asyncio.timeout(PATIENCE_S):
        while still < 100:
            await asyncio.sleep(0.001)
            now = measure()
            seen, still = now, still + 1 if now == seen else 0
    return seen
