"""The raw method: ready-made bytes out, the answer in one piece or as it comes."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from shared.providers.transport import (
    BodyTooLarge,
    RawResponse,
    Timeouts,
    UpstreamTransport,
    encode_headers,
)
from shared.providers.transport.exchange import MAX_QUEUED_BYTES
from tests.providers.transport.scripted import (
    Peer,
    Script,
    Upstream,
    answer,
    answering,
    once,
    wait_until,
    wait_until_still,
)

TIMEOUTS = Timeouts(connect_s=5, first_byte_s=5, idle_s=5, total_s=10)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MB = 1024 * 1024


async def post(
    transport: UpstreamTransport, upstream: Upstream, body: bytes = b"{}", timeouts: Timeouts = TIMEOUTS
) -> RawResponse:
    return await transport.send(upstream.origin, "POST", b"/v1", b"x-a: b\r\n", body, timeouts=timeouts)


async def test_request_is_one_write_of_exactly_these_bytes(transport: UpstreamTransport) -> None:
    block = encode_headers([(b"authorization", b"Bearer k"), (b"content-type", b"application/json")])
    async with Upstream(answering(answer(b"[]"))) as upstream:
        for _ in range(2):
            response = await transport.send(
                upstream.origin, "POST", b"/v1/chat?a=1", block, b'{"a":1}', timeouts=TIMEOUTS
            )
            assert await response.read() == b"[]"
    assert upstream.requests[0] == upstream.requests[1]
    assert (
        upstream.requests[0].raw
        == (
            b"POST /v1/chat?a=1 HTTP/1.1\r\n"
            b"host: 127.0.0.1:%d\r\n"
            b"authorization: Bearer k\r\n"
            b"content-type: application/json\r\n"
            b"accept-encoding: identity\r\n"
            b"content-length: 7\r\n\r\n"
            b'{"a":1}'
        )
        % upstream.port
    )


async def test_pairs_do_as_well_and_the_callers_host_and_encoding_stand(transport: UpstreamTransport) -> None:
    headers = [(b"Host", b"front.example"), (b"Accept-Encoding", b"gzip")]
    async with Upstream(answering(answer())) as upstream:
        response = await transport.send(upstream.origin, "GET", b"/", headers, b"", timeouts=TIMEOUTS)
        assert (response.status, response.reason) == (200, b"OK")
    assert upstream.requests[0].raw == b"GET / HTTP/1.1\r\nHost: front.example\r\nAccept-Encoding: gzip\r\n\r\n"


async def test_empty_post_says_that_it_is_empty(transport: UpstreamTransport) -> None:
    async with Upstream(answering(answer())) as upstream:
        await (await post(transport, upstream, b"")).read()
    assert upstream.requests[0].headers[b"content-length"] == b"0"


async def test_answer_in_one_packet_is_complete_with_its_head(transport: UpstreamTransport) -> None:
    async with Upstream(answering(answer(b"small", headers=["X-A:  1  ", "x-a: 2"]))) as upstream:
        response = await post(transport, upstream)
        assert response.complete
        assert (response.header(b"X-a"), response.header(b"x-b")) == (b"1", None)
        assert transport.stats()[upstream.origin] == (1, 1, 0, 0)
        assert await response.read() == b"small"


async def test_head_and_body_may_come_apart(transport: UpstreamTransport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        await go_on.wait()
        await peer.send(b"abc", b"def")

    go_on = asyncio.Event()
    async with Upstream(script) as upstream:
        response = await post(transport, upstream)
        assert not response.complete
        assert transport.stats()[upstream.origin] == (1, 0, 1, 0)
        go_on.set()
        assert await response.read() == b"abcdef"
        assert response.complete


async def test_chunks_are_forwarded_as_they_arrive(transport: UpstreamTransport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for at in range(5):
            await go_on.acquire()
            await peer.send(b"6\r\ndata%d\n\r\n" % at)
        await go_on.acquire()
        await peer.send(b"0\r\n\r\n")

    go_on = asyncio.Semaphore(1)
    seen = []
    async with Upstream(script) as upstream:
        response = await post(transport, upstream)
        async for chunk in response.chunks():
            seen.append(chunk)
            go_on.release()
        assert response.complete
        assert transport.stats()[upstream.origin].idle == 1
    assert seen == [b"data%d\n" % at for at in range(5)]


async def test_body_is_read_once(transport: UpstreamTransport) -> None:
    async with Upstream(answering(answer())) as upstream:
        response = await post(transport, upstream)
        await response.read()
        with pytest.raises(httpx.StreamConsumed):
            await response.read()
        with pytest.raises(httpx.StreamConsumed):
            await anext(aiter(response.chunks()))


async def test_slow_consumer_holds_a_bounded_part(transport: UpstreamTransport) -> None:
    total = 5 * MB
    sizes = []

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        await peer.send(*[b"x" * 65536] * (total // 65536))
        await peer.request()
        await peer.send(answer(b"again"))

    async with Upstream(script) as upstream:
        response = await post(transport, upstream)
        async for chunk in response.chunks():
            sizes.append(len(chunk))
            await asyncio.sleep(0.002)
        assert await (await post(transport, upstream)).read() == b"again"
    assert sum(sizes) == total
    assert max(sizes) <= MAX_QUEUED_BYTES + 256 * 1024


async def test_unread_body_pauses_and_reading_it_whole_goes_on(transport: UpstreamTransport) -> None:
    total = 24 * MB

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        await peer.send(*[b"x" * 65536] * (total // 65536))

    async with Upstream(script) as upstream:
        response = await post(transport, upstream)
        assert await wait_until_still(lambda: upstream.peers[0].sent) < total
        assert len(await response.read()) == total


async def test_paused_connection_that_is_complete_serves_again(transport: UpstreamTransport) -> None:
    async def script(peer: Peer) -> None:
        for _ in range(2):
            await peer.request()
            await peer.send(CHUNKED, b"50000\r\n" + b"x" * 0x50000 + b"\r\n", b"0\r\n\r\n")

    async with Upstream(script) as upstream:
        for _ in range(2):
            response = await post(transport, upstream)
            size = 0
            async for chunk in response.chunks():
                size += len(chunk)
            assert size == 0x50000
    assert len(upstream.peers) == 1


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_body_over_the_callers_limit_is_refused(transport: UpstreamTransport, head: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head)
        await go_on.wait()
        await peer.send(b"x" * 3999)
        await peer.hang_up_seen()

    go_on = asyncio.Event()
    async with Upstream(script) as upstream:
        response = await post(transport, upstream)
        go_on.set()
        with pytest.raises(BodyTooLarge, match="100 bytes"):
            await response.read(max_bytes=100)
        await wait_until(upstream.peers[0].gone.is_set)


async def test_limit_counts_for_complete_bodies_too(transport: UpstreamTransport) -> None:
    async with Upstream(answering(answer(b"x" * 101))) as upstream:
        response = await post(transport, upstream)
        with pytest.raises(BodyTooLarge):
            await response.read(max_bytes=100)
        response = await post(transport, upstream)
        assert len(await response.read(max_bytes=101)) == 101


async def test_pieces_before_an_error_are_delivered_first(transport: UpstreamTransport) -> None:
    async with Upstream(once(CHUNKED + b"5\r\nhello\r\n")) as upstream:
        response = await post(transport, upstream)
        await wait_until(lambda: transport.stats() == {})
        pieces = response.chunks()
        assert await anext(pieces) == b"hello"
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(pieces)
        assert not response.complete


async def test_whole_read_of_a_cut_body_is_an_error(transport: UpstreamTransport) -> None:
    async with Upstream(once(CHUNKED + b"5\r\nhello\r\n")) as upstream:
        response = await post(transport, upstream)
        with pytest.raises(httpx.RemoteProtocolError, match="before the response was complete"):
            await response.read()


async def endless(peer: Peer) -> None:
    await peer.request()
    await peer.send(CHUNKED + b"5\r\nhello\r\n")
    await peer.hang_up_seen()


async def test_closing_the_response_early_closes_the_socket(transport: UpstreamTransport) -> None:
    async with Upstream(endless) as upstream:
        response = await post(transport, upstream)
        await response.aclose()
        assert transport.stats() == {}
        await asyncio.wait_for(upstream.peers[0].gone.wait(), 5)
        await response.aclose()


async def test_closing_a_complete_response_keeps_the_connection(transport: UpstreamTransport) -> None:
    async with Upstream(answering(answer())) as upstream:
        await (await post(transport, upstream)).aclose()
        assert transport.stats()[upstream.origin].idle == 1


async def test_leaving_the_loop_early_closes_the_socket(transport: UpstreamTransport) -> None:
    async def first(chunks: AsyncIterator[bytes]) -> bytes:
        async for chunk in chunks:
            return chunk
        return b""

    async with Upstream(endless) as upstream:
        assert await first((await post(transport, upstream)).chunks()) == b"hello"
        await asyncio.wait_for(upstream.peers[0].gone.wait(), 5)


@pytest.mark.parametrize("how", ["read", "chunks"])
async def test_cancelling_a_reader_closes_the_socket_at_once(transport: UpstreamTransport, how: str) -> None:
    async def consume(response: RawResponse) -> None:
        if how == "read":
            await response.read()
        async for _ in response.chunks():
            started.set()

    async with Upstream(endless) as upstream:
        started = asyncio.Event()
        call = asyncio.create_task(consume(await post(transport, upstream)))
        if how == "chunks":
            await started.wait()
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert transport.stats() == {}
        await asyncio.wait_for(upstream.peers[0].gone.wait(), 5)


async def test_cancelling_the_send_closes_the_socket_at_once(transport: UpstreamTransport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.hang_up_seen()

    async with Upstream(script) as upstream:
        call = asyncio.create_task(post(transport, upstream))
        await wait_until(lambda: len(upstream.requests) == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert transport.stats() == {}
        await asyncio.wait_for(upstream.peers[0].gone.wait(), 5)


def drops_second_request(after: bytes = b"") -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"first"))
        await peer.request()
        await peer.send(after)

    return script


async def test_stale_connection_is_replaced_once_and_the_request_sent_again(
    transport: UpstreamTransport,
) -> None:
    async with Upstream(drops_second_request(), answering(answer(b"second"))) as upstream:
        assert await (await post(transport, upstream, b"one")).read() == b"first"
        assert await (await post(transport, upstream, b"two")).read() == b"second"
    assert [request.body for request in upstream.requests] == [b"one", b"two", b"two"]


async def test_stale_connection_that_is_reset_is_replaced(transport: UpstreamTransport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"first"))
        await peer.request()
        peer.reset()

    async with Upstream(script, answering(answer(b"second"))) as upstream:
        await (await post(transport, upstream)).read()
        assert await (await post(transport, upstream)).read() == b"second"


async def test_no_second_replacement(transport: UpstreamTransport) -> None:
    async with Upstream(drops_second_request(), once(b"")) as upstream:
        await (await post(transport, upstream)).read()
        with pytest.raises(httpx.RemoteProtocolError):
            await post(transport, upstream)
    assert len(upstream.peers) == 2


@pytest.mark.parametrize("byte", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_nothing_is_sent_again_after_the_first_byte(transport: UpstreamTransport, byte: bytes) -> None:
    async with Upstream(drops_second_request(after=byte), answering(answer())) as upstream:
        await (await post(transport, upstream)).read()
        with pytest.raises(httpx.RemoteProtocolError):
            await post(transport, upstream)
    assert len(upstream.peers) == 1


async def test_nothing_is_sent_again_on_a_new_connection(transport: UpstreamTransport) -> None:
    async with Upstream(once(b"")) as upstream:
        with pytest.raises(httpx.RemoteProtocolError):
            await post(transport, upstream)
    assert len(upstream.peers) == 1


@pytest.mark.parametrize("status", ["101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade", "101 X", "000 Odd"])
async def test_protocol_switches_and_odd_statuses_are_refused(transport: UpstreamTransport, status: str) -> None:
    async with Upstream(once(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())) as upstream:
        with pytest.raises(httpx.RemoteProtocolError, match="asked for"):
            await post(transport, upstream)


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Many: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"a" * 40),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"),
        (CHUNKED + b"1\r\nx\r\n0\r\n", b"X-Trailer: aaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
        (CHUNKED + b"1;", b"ext=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;"),
    ],
    ids=["many headers", "long header", "interim heads", "trailers", "chunk extensions"],
)
async def test_endless_overhead_is_cut_off(transport: UpstreamTransport, first: bytes, rest: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(first)
        while True:
            await peer.send(rest * 100)

    async with Upstream(script) as upstream:
        with pytest.raises(httpx.RemoteProtocolError, match="65536 bytes of head or trailers"):
            await (await post(transport, upstream)).read()


async def test_big_head_below_the_limit_beside_a_big_body(transport: UpstreamTransport) -> None:
    headers = [f"X-{at}: {'a' * 1000}" for at in range(50)]
    async with Upstream(answering(answer(b"x" * 200_000, headers=headers))) as upstream:
        response = await post(transport, upstream)
        assert len(response.headers) == 51
        assert len(await response.read()) == 200_000
