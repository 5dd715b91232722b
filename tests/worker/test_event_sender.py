"""An attempt is bounded, whatever the endpoint does with it."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from worker import event_sender
from worker.event_sender import EventSender
from worker.public_address import PrivateAddress

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def endpoint(serve: Serve) -> AsyncIterator[str]:
    """A raw server; gives its URL."""

    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        handlers.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?a=b"
    finally:
        server.close()
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers)


def answering(*parts: bytes) -> tuple[Serve, list[bytes]]:
    """A server that sends parts, one after the other, and its requests' heads."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        for part in parts:
            writer.write(part)
            await writer.drain()
        await reader.read()  # until the sender hangs up, so that nothing sent is lost

    return serve, heads


@pytest.fixture
async def sender() -> AsyncIterator[EventSender]:
    sender = EventSender(concurrency=1, timeout_s=5)
    yield sender
    await sender.aclose()


async def send(sender: EventSender, url: str) -> tuple[int, str]:
    answered = await sender.send(url, b"{}", {"webhook-id": "evt_1"}, private=True)
    return answered.status, answered.answer


async def test_an_event_is_posted_without_asking_for_compression(sender: EventSender) -> None:
    serve, heads = answering(HEAD + b"content-length: 2\r\n\r\nok")
    async with endpoint(serve) as url:
        assert await send(sender, url.replace("http://", "http://user:p%40ss@")) == (200, "ok")
        lines = heads[0].decode().split("\r\n")
        assert lines[0] == "POST /hook?a=b HTTP/1.1"
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        assert headers["accept-encoding"] == "identity"
        assert headers["host"] == url.split("/")[2]
        assert headers["authorization"] == "Basic dXNlcjpwQHNz"
        assert headers["webhook-id"] == "evt_1"


async def test_a_kilobyte_of_an_endless_answer_is_read(sender: EventSender) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with endpoint(serve) as url:
        assert await send(sender, url) == (200, "x" * 1024)


async def test_a_compressed_answer_is_not_expanded(sender: EventSender) -> None:
    bomb = gzip.compress(b"0" * 3_000_000)
    serve, _ = answering(HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb) + bomb)
    async with endpoint(serve) as url:
        status, answer = await send(sender, url)
    assert status == 200
    assert len(answer) <= 1024
    assert "000" not in answer


async def test_a_status_counts_although_its_body_never_ends(
    sender: EventSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_sender, "ANSWER_TIMEOUT_S", 0.05)
    serve, _ = answering(HEAD + b"content-length: 9\r\n\r\npart")
    async with endpoint(serve) as url:
        assert (await send(sender, url))[0] == 200


async def test_a_silent_endpoint_costs_the_time_limit() -> None:
    sender = EventSender(concurrency=1, timeout_s=0.05)
    serve, _ = answering()
    async with endpoint(serve) as url:
        with pytest.raises((TimeoutError, httpx.ReadTimeout)):
            await send(sender, url)
    await sender.aclose()


async def test_a_name_that_resolves_slowly_costs_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> tuple[str, ...]:
        await asyncio.Event().wait()
        return ()

    monkeypatch.setattr(event_sender, "resolve", never)
    sender = EventSender(concurrency=1, timeout_s=0.02)
    with pytest.raises(TimeoutError):
        await send(sender, "http://slow.example/")
    await sender.aclose()


async def test_redirects_are_not_followed(sender: EventSender) -> None:
    serve, heads = answering(b"HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n")
    async with endpoint(serve) as url:
        assert await send(sender, url) == (302, "")
    assert len(heads) == 1


async def test_an_address_that_refuses_is_followed_by_the_next(
    sender: EventSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def both(*_: object) -> tuple[str, ...]:
        return ("::1", "127.0.0.1")

    monkeypatch.setattr(event_sender, "resolve", both)
    serve, _ = answering(HEAD + b"content-length: 0\r\n\r\n")
    async with endpoint(serve) as url:
        assert await send(sender, url) == (200, "")


async def test_nobody_there_is_an_error(sender: EventSender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(httpx.ConnectError):
        await send(sender, f"http://127.0.0.1:{port}/")


async def test_a_private_address_is_refused_unless_allowed(sender: EventSender) -> None:
    with pytest.raises(PrivateAddress):
        await sender.send("https://127.0.0.1/", b"{}", {}, private=False)
