"""Uploads, streams, timeouts and crowds: asked of httpx's own transport and of ours alike."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.providers.transport.conftest import Tls
from tests.providers.transport.scripted import (
    Peer,
    Upstream,
    answer,
    answering,
    wait_until,
    wait_until_still,
)

pytestmark = pytest.mark.slow

MB = 1024 * 1024
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_big_upload_to_a_slow_reader(either_client: httpx.AsyncClient) -> None:
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await asyncio.sleep(0.05)
        peer.writer.transport.resume_reading()
        await peer.request()
        await peer.send(answer())

    body = bytes(range(256)) * 4096 * 8
    async with Upstream(script) as upstream:
        response = await either_client.post(upstream.url, content=body)
    assert response.content == b"ok"
    assert upstream.requests[0].body == body


async def _pieces(count: int, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(count):
        yield bytes([at % 256]) * size
        await asyncio.sleep(0)


async def test_streamed_upload_is_chunked(either_client: httpx.AsyncClient) -> None:
    async with Upstream(answering(answer())) as upstream:
        for _ in range(2):
            await either_client.post(upstream.url, content=_pieces(300))
    request = upstream.requests[0]
    assert request.headers[b"transfer-encoding"] == b"chunked"
    assert request.body == b"".join(bytes([at % 256]) * 1000 for at in range(300))
    assert len(upstream.peers) == 1


async def test_streamed_upload_with_a_declared_length(either_client: httpx.AsyncClient) -> None:
    async with Upstream(answering(answer())) as upstream:
        await either_client.post(upstream.url, content=_pieces(50), headers={"content-length": "50000"})
    assert upstream.requests[0].headers.get(b"transfer-encoding") is None
    assert len(upstream.requests[0].body) == 50_000


async def test_plain_bytes_can_be_sent_chunked(either_client: httpx.AsyncClient) -> None:
    async with Upstream(answering(answer())) as upstream:
        await either_client.post(upstream.url, content=b"hello", headers={"transfer-encoding": "chunked"})
    assert upstream.requests[0].body == b"hello"


async def test_upload_that_fails_while_being_produced(either_client: httpx.AsyncClient) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"begun"
        raise KeyError("lost")

    async def script(peer: Peer) -> None:
        await peer.hang_up_seen()

    async with Upstream(script) as upstream:
        with pytest.raises(KeyError, match="lost"):
            await either_client.post(upstream.url, content=broken())
        await wait_until(lambda: bool(upstream.peers) and upstream.peers[0].gone.is_set())


async def test_big_download_by_a_slow_consumer_makes_the_upstream_wait(either_client: httpx.AsyncClient) -> None:
    total = 24 * MB

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(f"HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n".encode())
        await peer.send(*[b"x" * 65536] * (total // 65536))

    async with Upstream(script) as upstream, either_client.stream("GET", upstream.url) as response:
        pieces = response.aiter_raw()
        got = len(await anext(pieces))
        assert await wait_until_still(lambda: upstream.peers[0].sent) < total
        async for piece in pieces:
            got += len(piece)
    assert got == total


async def test_every_event_of_a_stream_arrives_when_it_is_sent(either_client: httpx.AsyncClient) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for at in range(20):
            await peer.send(b"9\r\ndata: %02d\n\r\n" % at)
            await go_on.wait()
            go_on.clear()
        await peer.send(b"0\r\n\r\n")

    seen = []
    async with Upstream(script) as upstream, either_client.stream("GET", upstream.url) as response:
        async for piece in response.aiter_raw():
            seen.append(piece)
            go_on.set()
    assert seen == [b"data: %02d\n" % at for at in range(20)]


async def test_leaving_a_stream_early_closes_the_connection(either_client: httpx.AsyncClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"5\r\nhello\r\n")
        await peer.hang_up_seen()

    async with Upstream(script) as upstream:
        async with either_client.stream("GET", upstream.url) as response:
            assert await anext(response.aiter_raw()) == b"hello"
            assert not upstream.peers[0].gone.is_set()
        await asyncio.wait_for(upstream.peers[0].gone.wait(), 5)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"], ids=["head", "body"])
async def test_cancelling_closes_the_connection(either_client: httpx.AsyncClient, begun: bytes) -> None:
    answered = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(begun)
        answered.set()
        await peer.hang_up_seen()

    async with Upstream(script) as upstream:
        call = asyncio.create_task(either_client.get(upstream.url))
        await answered.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(upstream.peers[0].gone.wait(), 5)


async def test_read_timeout_before_the_head_and_within_the_body(either_client: httpx.AsyncClient) -> None:
    async def script(peer: Peer) -> None:
        request = await peer.request()
        if b"/body" in request.line:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        await peer.hang_up_seen()

    timeout = httpx.Timeout(5.0, read=0.05)
    async with Upstream(script) as upstream:
        for path in ("/head", "/body"):
            with pytest.raises(httpx.ReadTimeout):
                await either_client.get(upstream.url + path, timeout=timeout)
        await wait_until(lambda: all(peer.gone.is_set() for peer in upstream.peers))


async def test_slow_drip_is_no_timeout(either_client: httpx.AsyncClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n")
        for _ in range(30):
            await peer.send(b"x")
            await asyncio.sleep(0.05)

    async with Upstream(script) as upstream:
        response = await either_client.get(upstream.url, timeout=httpx.Timeout(5.0, read=1.0))
    assert response.content == b"x" * 30


async def test_consumer_may_pause_for_longer_than_the_read_timeout(either_client: httpx.AsyncClient) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        await go_on.wait()
        await peer.send(b"cd")

    async with (
        Upstream(script) as upstream,
        either_client.stream("GET", upstream.url, timeout=httpx.Timeout(5.0, read=1.0)) as response,
    ):
        pieces = response.aiter_raw()
        assert await anext(pieces) == b"ab"
        await asyncio.sleep(1.2)
        go_on.set()
        assert await anext(pieces) == b"cd"


async def test_write_timeout_when_the_upstream_takes_nothing(either_client: httpx.AsyncClient) -> None:
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await stop.wait()

    stop = asyncio.Event()
    async with Upstream(script) as upstream:
        with pytest.raises(httpx.WriteTimeout):
            await either_client.post(upstream.url, content=b"x" * 32 * MB, timeout=httpx.Timeout(5.0, write=0.1))
        stop.set()


async def test_refused_connection_and_unknown_name(either_client: httpx.AsyncClient) -> None:
    async with Upstream(answering(answer())) as upstream:
        pass
    with pytest.raises(httpx.ConnectError):
        await either_client.get(upstream.url)
    with pytest.raises(httpx.ConnectError):
        await either_client.get("http://no-such-host.invalid/")


async def test_only_http_and_https(either_client: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        await either_client.get("ftp://127.0.0.1/x")


async def test_header_injection_is_refused_before_anything_is_sent(either_client: httpx.AsyncClient) -> None:
    async with Upstream(answering(answer())) as upstream:
        with pytest.raises(httpx.LocalProtocolError):
            await either_client.get(upstream.url, headers={"x-a": "b\r\nx-evil: 1"})
    assert upstream.requests == []


async def test_two_hundred_at_once_on_a_slow_upstream(either_client: httpx.AsyncClient) -> None:
    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await asyncio.sleep(0.05)
            await peer.send(answer(request.line))

    async with Upstream(script) as upstream:
        calls = [either_client.get(f"{upstream.url}/{at}", timeout=60) for at in range(200)]
        answers = await asyncio.gather(*calls)
    assert [one.content for one in answers] == [f"GET /{at} HTTP/1.1".encode() for at in range(200)]
    assert len(upstream.peers) <= 200


async def test_tls_with_an_untrusted_certificate_fails(either_client: httpx.AsyncClient, tls: Tls) -> None:
    async with Upstream(answering(answer()), tls=tls.server) as upstream:
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            await either_client.get(upstream.url)
    assert upstream.requests == []
