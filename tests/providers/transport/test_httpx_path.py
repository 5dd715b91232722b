"""Under httpx, where we are stricter than its own transport, and what it has no words for."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from shared.providers.transport import Limits, MalformedRequest, UpstreamTransport
from tests.providers.transport.conftest import Tls
from tests.providers.transport.scripted import Peer, Upstream, answer, answering, once, wait_until


@pytest.fixture
async def client(transport: UpstreamTransport) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=transport) as opened:
        yield opened


SWITCH = b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nrest"


@pytest.mark.parametrize("garbage", [answer(b"smuggled"), b"HTTP/1.1 302 Fo", b"!!", SWITCH])
async def test_bytes_after_the_answer_forbid_reuse(client: httpx.AsyncClient, garbage: bytes) -> None:
    async with Upstream(answering(answer(b"mine") + garbage)) as upstream:
        for _ in range(3):
            assert (await client.get(upstream.url)).content == b"mine"
    assert len(upstream.peers) == 3


async def test_bytes_that_come_while_idle_close_the_connection(
    client: httpx.AsyncClient, transport: UpstreamTransport
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer())
        await go_on.wait()
        await peer.send(answer(b"unasked", "408 Request Timeout"))
        await peer.hang_up_seen()

    go_on = asyncio.Event()
    async with Upstream(script, answering(answer(b"mine"))) as upstream:
        await client.get(upstream.url)
        go_on.set()
        await wait_until(lambda: transport.stats() == {})
        assert (await client.get(upstream.url)).content == b"mine"


async def test_body_of_a_head_answer_is_not_taken_for_the_next_answer(client: httpx.AsyncClient) -> None:
    async with Upstream(answering(answer(b"HTTP/1.1 200 OK\r\n\r\n"))) as upstream:
        for _ in range(2):
            assert (await client.head(upstream.url)).content == b""
    assert len(upstream.peers) == 2


async def _pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 1000
        yield b""


@pytest.mark.parametrize(("declared", "reason"), [("49999", "longer"), ("50001", "shorter")])
async def test_streamed_upload_of_another_length_than_declared(
    client: httpx.AsyncClient, declared: str, reason: str
) -> None:
    async with Upstream(answering(answer())) as upstream:
        with pytest.raises(MalformedRequest, match=reason):
            await client.post(upstream.url, content=_pieces(50), headers={"content-length": declared})
    assert upstream.requests == []


@pytest.mark.parametrize(
    "headers",
    [{"content-length": "+5"}, {"content-length": "5, 5"}, {"transfer-encoding": "gzip, chunked"}],
    ids=["sign", "list", "other coding"],
)
async def test_framing_that_cannot_be_kept_is_refused(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    with pytest.raises(MalformedRequest):
        await client.post("http://127.0.0.1:9/", content=_pieces(1), headers=headers)


async def test_synchronous_bodies_are_refused(transport: UpstreamTransport) -> None:
    def produce() -> Iterator[bytes]:
        yield b"x"

    async with Upstream(answering(answer())) as upstream:
        request = httpx.Request("POST", upstream.url, content=produce())
        with pytest.raises(MalformedRequest, match="asynchronous"):
            await transport.handle_async_request(request)


async def test_early_answer_stops_the_upload_and_is_delivered(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            produced.append(1)
            yield b"x" * 65536
            await asyncio.sleep(0)

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(answer(b"too much", "413 Content Too Large"))
        await peer.hang_up_seen()

    produced: list[int] = []
    async with Upstream(script) as upstream:
        response = await client.post(upstream.url, content=endless())
        assert (response.status_code, response.content) == (413, b"too much")
        count = len(produced)
        await wait_until(upstream.peers[0].gone.is_set)
        assert len(produced) == count


async def test_early_answer_to_bytes_that_are_still_being_written(client: httpx.AsyncClient) -> None:
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await peer.send(answer(b"no", "413 Content Too Large"))
        await stop.wait()

    stop = asyncio.Event()
    async with Upstream(script) as upstream:
        response = await client.post(upstream.url, content=b"x" * 32 * 1024 * 1024)
        assert (response.status_code, response.content) == (413, b"no")
        stop.set()


async def test_upload_to_an_upstream_that_goes_away(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.reset()

    async with Upstream(script) as upstream:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await client.post(upstream.url, content=endless())


async def test_cancelling_an_upload_that_is_stuck(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            produced.append(1)
            yield b"x" * 65536

    async def script(peer: Peer) -> None:
        await go_on.wait()
        await peer.hang_up_seen()

    produced: list[int] = []
    go_on = asyncio.Event()
    async with Upstream(script) as upstream:
        call = asyncio.create_task(client.post(upstream.url, content=endless()))
        await wait_until(lambda: len(produced) > 4)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        go_on.set()
        await wait_until(upstream.peers[0].gone.is_set)


async def test_no_timeouts_at_all(client: httpx.AsyncClient) -> None:
    async with Upstream(answering(answer())) as upstream:
        assert (await client.get(upstream.url, timeout=None)).content == b"ok"


async def test_pool_timeout(tls: Tls) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await release.wait()
        await peer.send(answer())

    release = asyncio.Event()
    async with (
        httpx.AsyncClient(transport=UpstreamTransport(Limits(max_connections=1))) as client,
        Upstream(script) as upstream,
    ):
        first = asyncio.create_task(client.get(upstream.url))
        await wait_until(lambda: len(upstream.requests) == 1)
        with pytest.raises(httpx.PoolTimeout):
            await client.get(upstream.url, timeout=httpx.Timeout(5.0, pool=0.05))
        release.set()
        assert (await first).content == b"ok"


async def test_tls_with_a_context_that_trusts_the_certificate(tls: Tls) -> None:
    async with (
        httpx.AsyncClient(transport=UpstreamTransport(ssl_context=tls.trusting)) as client,
        Upstream(answering(answer(b"private")), tls=tls.server) as upstream,
    ):
        for _ in range(2):
            assert (await client.get(upstream.url)).content == b"private"
        assert len(upstream.peers) == 1


async def test_tls_checks_the_host_name(tls: Tls) -> None:
    async with (
        httpx.AsyncClient(transport=UpstreamTransport(ssl_context=tls.trusting)) as client,
        Upstream(answering(answer()), tls=tls.server) as upstream,
    ):
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await client.get(f"https://127.0.0.1:{upstream.port}")


async def test_tls_body_without_length_needs_a_clean_end(tls: Tls) -> None:
    async def cut(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\npart")
        peer.writer.transport.abort()

    whole = once(b"HTTP/1.1 200 OK\r\n\r\nwhole")
    async with (
        httpx.AsyncClient(transport=UpstreamTransport(ssl_context=tls.trusting)) as client,
        Upstream(whole, cut, tls=tls.server) as upstream,
    ):
        assert (await client.get(upstream.url)).content == b"whole"
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.get(upstream.url)


async def test_handshake_that_never_ends_is_a_connect_timeout(tls: Tls) -> None:
    async def silent(peer: Peer) -> None:
        await peer.hang_up_seen()

    async with (
        httpx.AsyncClient(transport=UpstreamTransport(ssl_context=tls.trusting)) as client,
        Upstream(silent) as upstream,
    ):
        with pytest.raises(httpx.ConnectTimeout):
            await client.get(f"https://localhost:{upstream.port}", timeout=httpx.Timeout(5.0, connect=0.1))
        await wait_until(upstream.peers[0].gone.is_set)
