"""Timeouts of every kind, the pool's limits, and closing."""

import asyncio
import gc
import math
from collections.abc import Iterator

import httpx
import pytest

from shared.providers.transport import Limits, OriginStats, RawResponse, Timeouts, UpstreamTransport
from shared.providers.transport.exchange import Exchange
from tests.providers.transport.scripted import Peer, Script, Upstream, answer, answering, once, wait_until

TIMEOUTS = Timeouts(connect_s=5, first_byte_s=5, idle_s=5, total_s=10)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def get(transport: UpstreamTransport, upstream: Upstream, timeouts: Timeouts = TIMEOUTS) -> RawResponse:
    return await transport.send(upstream.origin, "GET", b"/", b"", b"", timeouts=timeouts)


def stats(transport: UpstreamTransport, upstream: Upstream) -> OriginStats:
    return transport.stats().get(upstream.origin, OriginStats(0, 0, 0, 0))


def sending(*parts: bytes, then_every_s: float | None = None) -> Script:
    """Answer with these bytes; then repeat the last now and again, or stay silent."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*parts)
        while then_every_s is not None:
            await asyncio.sleep(then_every_s)
            await peer.send(parts[-1])
        await peer.hang_up_seen()

    return script


async def test_first_byte_timeout(transport: UpstreamTransport) -> None:
    async with Upstream(sending(b"")) as upstream:
        with pytest.raises(httpx.ReadTimeout, match=r"no response within 0\.05 s"):
            await get(transport, upstream, Timeouts(first_byte_s=0.05))
        assert transport.stats() == {}
        await asyncio.wait_for(upstream.peers[0].gone.wait(), 5)


async def test_interim_heads_do_not_extend_the_first_byte_timeout(transport: UpstreamTransport) -> None:
    async with Upstream(sending(b"HTTP/1.1 102 Processing\r\n\r\n", then_every_s=0.02)) as upstream:
        with pytest.raises(httpx.ReadTimeout, match="no response"):
            await get(transport, upstream, Timeouts(first_byte_s=0.1))


@pytest.mark.parametrize("how", ["read", "chunks"])
async def test_idle_timeout(transport: UpstreamTransport, how: str) -> None:
    async with Upstream(sending(CHUNKED, b"5\r\nhello\r\n")) as upstream:
        response = await get(transport, upstream, Timeouts(idle_s=0.05))
        if how == "chunks":
            pieces = response.chunks()
            assert await anext(pieces) == b"hello"
        with pytest.raises(httpx.ReadTimeout, match=r"silent for 0\.05 s"):
            await (response.read() if how == "read" else anext(pieces))


async def test_total_timeout_ends_a_lively_stream(transport: UpstreamTransport) -> None:
    async with Upstream(sending(CHUNKED, b"5\r\nhello\r\n", then_every_s=0.01)) as upstream:
        response = await get(transport, upstream, Timeouts(idle_s=5, total_s=1))
        with pytest.raises(httpx.ReadTimeout, match="not finished within 1 s"):
            await response.read()


async def test_total_timeout_counts_while_nobody_reads(transport: UpstreamTransport) -> None:
    async with Upstream(sending(CHUNKED)) as upstream:
        response = await get(transport, upstream, Timeouts(first_byte_s=1, total_s=1.5))
        await wait_until(lambda: transport.stats() == {})
        with pytest.raises(httpx.ReadTimeout, match="not finished"):
            await response.read()


async def test_total_timeout_before_the_head(transport: UpstreamTransport) -> None:
    async with Upstream(sending(b"")) as upstream:
        async with asyncio.timeout(20):
            with pytest.raises(httpx.ReadTimeout, match="not finished"):
                await get(transport, upstream, Timeouts(first_byte_s=5, total_s=0.05))


async def test_shorter_timeout_on_a_connection_with_a_longer_alarm(transport: UpstreamTransport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer())
        await peer.request()
        await peer.hang_up_seen()

    async with Upstream(script) as upstream:
        await (await get(transport, upstream)).read()
        with pytest.raises(httpx.ReadTimeout):
            await get(transport, upstream, Timeouts(first_byte_s=0.05))
    assert len(upstream.peers) == 1


async def test_upload_that_moves_slowly_is_no_write_timeout(transport: UpstreamTransport) -> None:
    async def script(peer: Peer) -> None:
        left = 24 * 1024 * 1024
        await peer.reader.readuntil(b"\r\n\r\n")
        while left:
            left -= len(await peer.reader.read(left))
            await asyncio.sleep(0.008)
        await peer.send(answer())

    # At most 128 KiB are read at once: all of it takes 1.5 s at least, and no part of it a second.
    async with Upstream(script) as upstream:
        response = await transport.send(
            upstream.origin, "POST", b"/", b"", bytes(24 * 1024 * 1024), timeouts=Timeouts(write_s=1)
        )
        assert await response.read() == b"ok"


async def test_write_timeout_of_the_raw_method(transport: UpstreamTransport) -> None:
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await stop.wait()

    stop = asyncio.Event()
    async with Upstream(script) as upstream:
        with pytest.raises(httpx.WriteTimeout, match=r"0\.1 s"):
            await transport.send(
                upstream.origin, "POST", b"/", b"", bytes(32 * 1024 * 1024), timeouts=Timeouts(write_s=0.1)
            )
        stop.set()


async def test_connect_timeout_is_capped_by_the_total(transport: UpstreamTransport) -> None:
    async with Upstream(answering(answer())) as upstream:
        with pytest.raises(httpx.ConnectTimeout, match="no connection to"):
            await get(transport, upstream, Timeouts(connect_s=5, total_s=-1))
    assert transport.stats() == {}


async def held(peer: Peer) -> None:
    """Answer one request each time the test says so."""
    while True:
        request = await peer.request()
        await GATES[-1].acquire()
        await peer.send(answer(request.line))


GATES: list[asyncio.Semaphore] = []


@pytest.fixture
def gate() -> Iterator[asyncio.Semaphore]:
    GATES.append(asyncio.Semaphore(0))
    yield GATES[-1]
    GATES.pop()


async def test_requests_over_the_limit_wait_for_a_connection_in_turn(gate: asyncio.Semaphore) -> None:
    async with UpstreamTransport(Limits(max_connections=2)) as transport, Upstream(held) as upstream:
        done: list[int] = []

        async def call(at: int) -> None:
            target = f"/{at}".encode()
            response = await transport.send(upstream.origin, "GET", target, b"", b"", timeouts=TIMEOUTS)
            assert await response.read() == b"GET " + target + b" HTTP/1.1"
            done.append(at)

        calls = []
        for at in range(6):
            calls.append(asyncio.create_task(call(at)))
            await wait_until(lambda at=at: sum(stats(transport, upstream)[2:]) > at)
        assert stats(transport, upstream) == (2, 0, 2, 4)
        for _ in range(6):
            gate.release()
        await asyncio.gather(*calls)
        assert stats(transport, upstream) == (2, 2, 0, 0)
    assert sorted(done) == list(range(6))
    assert upstream.requests[0].line == b"GET /0 HTTP/1.1"
    assert len(upstream.peers) == 2


async def test_waiting_for_a_connection_times_out_and_is_forgotten(gate: asyncio.Semaphore) -> None:
    async with UpstreamTransport(Limits(max_connections=1)) as transport, Upstream(held) as upstream:
        first = asyncio.create_task(get(transport, upstream))
        await wait_until(lambda: len(upstream.requests) == 1)
        with pytest.raises(httpx.PoolTimeout, match="all 1 connections"):
            await get(transport, upstream, Timeouts(pool_s=0.05))
        assert stats(transport, upstream).waiting == 0
        gate.release()
        await (await first).read()


async def test_cancelled_waiter_passes_its_connection_on() -> None:
    async with UpstreamTransport(Limits(max_connections=1)) as transport, Upstream(answering(answer())) as upstream:
        await (await get(transport, upstream)).read()
        pool = transport._pools[upstream.origin]
        connection = pool.take_idle()
        assert connection is not None
        second, third = (asyncio.create_task(get(transport, upstream)) for _ in range(2))
        await wait_until(lambda: stats(transport, upstream).waiting == 2)
        pool.free(connection)
        second.cancel()  # before it has seen what it was given
        with pytest.raises(asyncio.CancelledError):
            await second
        assert await (await third).read() == b"ok"
        assert stats(transport, upstream) == (1, 1, 0, 0)
    assert len(upstream.peers) == 1


async def test_waiter_whose_connection_closes_in_its_hand_opens_another() -> None:
    async with UpstreamTransport(Limits(max_connections=1)) as transport, Upstream(answering(answer())) as upstream:
        await (await get(transport, upstream)).read()
        pool = transport._pools[upstream.origin]
        connection = pool.take_idle()
        assert connection is not None
        waiting = asyncio.create_task(get(transport, upstream))
        await wait_until(lambda: stats(transport, upstream).waiting == 1)
        pool.free(connection)
        connection.drop(httpx.ReadError("gone"))
        assert await (await waiting).read() == b"ok"
        assert stats(transport, upstream) == (1, 1, 0, 0)
    assert len(upstream.peers) == 2


async def test_waiter_gets_the_slot_of_a_connection_that_closed() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await go_on.wait()
        await peer.send(answer(headers=["Connection: close"]))

    go_on = asyncio.Event()
    async with UpstreamTransport(Limits(max_connections=1)) as transport, Upstream(script) as upstream:
        calls = [asyncio.create_task(get(transport, upstream)) for _ in range(3)]
        await wait_until(lambda: len(upstream.requests) == 1)
        go_on.set()
        for call in calls:
            assert await (await call).read() == b"ok"
        assert transport.stats() == {}
    assert len(upstream.peers) == 3


async def test_cancelled_waiter_passes_its_slot_on() -> None:
    async with (
        UpstreamTransport(Limits(max_connections=1)) as transport,
        Upstream(sending(CHUNKED), once(answer())) as upstream,
    ):
        first = await get(transport, upstream)
        second, third = (asyncio.create_task(get(transport, upstream)) for _ in range(2))
        await wait_until(lambda: stats(transport, upstream).waiting == 2)
        await first.aclose()
        second.cancel()  # before it has seen what it was given
        with pytest.raises(asyncio.CancelledError):
            await second
        assert await (await third).read() == b"ok"
        await wait_until(lambda: transport.stats() == {})


async def test_failed_connect_gives_its_slot_back() -> None:
    async with UpstreamTransport(Limits(max_connections=1)) as transport:
        async with Upstream(answering(answer())) as upstream:
            pass
        for _ in range(3):
            with pytest.raises(httpx.ConnectError):
                await get(transport, upstream)
        assert transport.stats() == {}


async def test_newest_connection_is_used_first_and_old_ones_are_closed(gate: asyncio.Semaphore) -> None:
    async with UpstreamTransport(Limits(max_idle_s=1)) as transport, Upstream(held) as upstream:
        calls = [asyncio.create_task(get(transport, upstream)) for _ in range(3)]
        await wait_until(lambda: len(upstream.requests) == 3)
        for _ in calls:
            gate.release()
        for call in calls:
            await (await call).read()
        assert stats(transport, upstream).idle == 3
        async with asyncio.timeout(20):
            while stats(transport, upstream).open > 1:
                gate.release()
                await (await get(transport, upstream)).read()
                await asyncio.sleep(0.05)
        assert sorted(len(peer.requests) for peer in upstream.peers)[:2] == [1, 1]
        await wait_until(lambda: transport.stats() == {})


async def test_new_connection_at_the_limit_takes_the_place_of_an_idle_one() -> None:
    async with UpstreamTransport(Limits(max_connections=1)) as transport, Upstream(answering(answer())) as upstream:
        await (await get(transport, upstream)).read()
        pool = transport._pools[upstream.origin]
        connection = await pool.open(TIMEOUTS, math.inf)
        assert connection.usable
        assert stats(transport, upstream) == (1, 0, 1, 0)
        await wait_until(lambda: len(upstream.peers) == 2)


@pytest.mark.parametrize("order", ["cancel, free", "free, drop, cancel"])
async def test_cancelled_waiter_that_has_nothing_to_pass_on(order: str) -> None:
    async with UpstreamTransport(Limits(max_connections=1)) as transport, Upstream(answering(answer())) as upstream:
        await (await get(transport, upstream)).read()
        pool = transport._pools[upstream.origin]
        connection = pool.take_idle()
        assert connection is not None
        waiting = asyncio.create_task(get(transport, upstream))
        await wait_until(lambda: stats(transport, upstream).waiting == 1)
        for step in order.split(", "):
            if step == "cancel":
                waiting.cancel()
            elif step == "free":
                pool.free(connection)
            else:
                connection.drop(httpx.ReadError("gone"))
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await (await get(transport, upstream)).read() == b"ok"
        assert stats(transport, upstream) == (1, 1, 0, 0)


async def test_connection_that_closed_before_its_first_request_says_so(transport: UpstreamTransport) -> None:
    async with Upstream(answering(answer())) as upstream:
        connection = await transport._pool(upstream.origin).open(TIMEOUTS, math.inf)
        connection.drop(httpx.ReadError("gone"))
        exchange = Exchange(TIMEOUTS, math.inf, head_only=False)
        connection.begin(exchange, b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(httpx.RemoteProtocolError):
            await connection.wait_head(exchange)


async def test_closing_the_transport_fails_what_is_under_way(gate: asyncio.Semaphore) -> None:
    transport = UpstreamTransport(Limits(max_connections=1))
    async with Upstream(held) as upstream:
        busy, waiting = (asyncio.create_task(get(transport, upstream)) for _ in range(2))
        await wait_until(lambda: len(upstream.requests) == 1)
        await transport.aclose()
        with pytest.raises(httpx.ReadError, match="transport was closed"):
            await busy
        with pytest.raises(httpx.ConnectError, match="transport was closed"):
            await waiting
        with pytest.raises(RuntimeError, match="closed"):
            await get(transport, upstream)
    gc.collect()


async def test_closing_while_a_connection_is_being_opened() -> None:
    transport = UpstreamTransport()
    async with Upstream(once(b"")) as upstream:
        call = asyncio.create_task(get(transport, upstream))
        await asyncio.sleep(0)
        assert stats(transport, upstream) == (0, 0, 0, 0)
        await transport.aclose()
        with pytest.raises(httpx.ConnectError, match="transport was closed"):
            await call
        assert transport.stats() == {}


async def test_cancelling_at_any_moment_of_a_call_loses_nothing(transport: UpstreamTransport) -> None:
    async with Upstream(answering(answer(headers=["Connection: close"]))) as upstream:
        turns = 0
        while True:
            call = asyncio.create_task(get(transport, upstream))
            for _ in range(turns):
                await asyncio.sleep(0)
            if not call.cancel():
                assert await (await call).read() == b"ok"
                break
            with pytest.raises(asyncio.CancelledError):
                await call
            turns += 1
        await wait_until(lambda: transport.stats() == {})
