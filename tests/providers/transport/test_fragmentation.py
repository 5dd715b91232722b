"""However an answer is cut into reads, it is the same answer."""

import asyncio
import math
from itertools import pairwise
from typing import NamedTuple

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.providers.transport import RawResponse, Timeouts, UpstreamTransport
from shared.providers.transport.connection import MAX_HEAD_BYTES, Connection
from shared.providers.transport.exchange import MAX_QUEUED_BYTES, Exchange
from tests.examples import examples
from tests.providers.transport.scripted import Peer, Upstream

TIMEOUTS = Timeouts()


class Outcome(NamedTuple):
    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    complete: bool


class Answer(NamedTuple):
    data: bytes
    outcome: Outcome
    head_size: int
    ends_at_close: bool


async def silent(peer: Peer) -> None:
    await peer.hang_up_seen()


async def begin(transport: UpstreamTransport, upstream: Upstream) -> tuple[Connection, Exchange]:
    connection = await transport._pool(upstream.origin).open(TIMEOUTS, math.inf)
    exchange = Exchange(TIMEOUTS, math.inf, head_only=False)
    connection.begin(exchange, b"GET / HTTP/1.1\r\n\r\n")
    return connection, exchange


async def play(fragments: list[bytes]) -> Outcome:
    """Hand these reads to a connection, then the end of the stream, as the event loop does."""
    async with UpstreamTransport() as transport, Upstream(silent) as upstream:
        connection, exchange = await begin(transport, upstream)
        for fragment in fragments:
            connection.data_received(fragment)
        connection.eof_received()
        body = b""
        try:
            await connection.wait_head(exchange)
            async for chunk in RawResponse(connection, exchange).chunks():
                body += chunk
        except httpx.RemoteProtocolError:
            assert not exchange.complete
        return Outcome(exchange.status, exchange.reason, exchange.headers, body, exchange.complete)


def frame(pieces: list[bytes], framing: str, trailers: bool) -> tuple[list[tuple[bytes, bytes]], bytes]:
    body = b"".join(pieces)
    if framing == "length":
        return [(b"Content-Length", b"%d" % len(body))], body
    if framing == "close":
        return [], body
    coded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return [(b"Transfer-Encoding", b"chunked")], coded + b"0\r\n" + b"X-Sum: 1\r\n" * trailers + b"\r\n"


VALUE = st.text('abc =;,/\t"\\', max_size=12).map(lambda text: text.strip().encode())


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    pieces = draw(st.lists(st.binary(max_size=40), max_size=6))
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    headers, coded = frame(pieces, framing, draw(st.booleans()))
    names = st.sampled_from([b"X-A", b"server", b"Content-Type", b"x_y"])
    headers = draw(st.lists(st.tuples(names, VALUE), max_size=4)) + headers
    status = draw(st.sampled_from([200, 201, 404, 429, 529]))
    reason = draw(st.sampled_from([b"", b"OK", b"Too Many Requests"]))
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n"]))
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    head = interim + b"HTTP/1.1 %d %b\r\n" % (status, reason) + lines + b"\r\n"
    outcome = Outcome(status, reason, headers, b"".join(pieces), True)
    return Answer(head + coded, outcome, len(head), framing == "close")


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in at}), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if end > start]


CUTS = st.lists(st.integers(0, 2000), max_size=30)


@examples(150)
@given(answers(), CUTS)
def test_any_fragmentation_gives_the_same_answer(answer: Answer, cuts: list[int]) -> None:
    assert asyncio.run(play(cut(answer.data, cuts))) == answer.outcome


@examples(25)
@given(answers())
def test_byte_by_byte_gives_the_same_answer(answer: Answer) -> None:
    assert asyncio.run(play(cut(answer.data, list(range(len(answer.data)))))) == answer.outcome


@examples(150)
@given(answers(), CUTS, st.integers(1, 2000))
def test_an_answer_cut_short_is_never_complete(answer: Answer, cuts: list[int], missing: int) -> None:
    kept = answer.data[: max(0, len(answer.data) - missing)]
    if answer.ends_at_close and len(kept) >= answer.head_size:
        return  # indistinguishable: the protocol's own weakness
    outcome = asyncio.run(play(cut(kept, cuts)))
    assert not outcome.complete
    assert answer.outcome.body.startswith(outcome.body)


async def test_huge_head_in_a_single_read_is_refused(transport: UpstreamTransport) -> None:
    async with Upstream(silent) as upstream:
        connection, exchange = await begin(transport, upstream)
        connection.data_received(b"HTTP/1.1 200 OK\r\nX: " + b"a" * MAX_HEAD_BYTES + b"\r\nContent-Length: 1\r\n\r\nx")
        with pytest.raises(httpx.RemoteProtocolError, match="65536 bytes of head"):
            await connection.wait_head(exchange)


async def test_connection_paused_by_its_last_reads_is_read_again_when_it_is_idle(
    transport: UpstreamTransport,
) -> None:
    """Under TLS a read that was already deciphered may still come after the pause."""
    async with Upstream(silent) as upstream:
        connection, exchange = await begin(transport, upstream)
        size = MAX_QUEUED_BYTES + 2
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * (size - 1))
        assert exchange.paused
        connection.data_received(b"y")
        assert exchange.complete
        assert transport.stats()[upstream.origin].idle == 1
        assert connection._transport.is_reading()
