"""Any bytes from a provider: an answer that another parser reads alike, or an error; never a hang, nor a fault."""

import asyncio
import math
from typing import Any, NamedTuple

import h11
import httpx
import pytest
from hypothesis import given

from shared.providers.transport import Timeouts
from shared.providers.transport.connection import Connection
from shared.providers.transport.exchange import Exchange
from tests.examples import examples
from tests.security.memory import MemoryTransport, NoSocket
from tests.security.mutations import CUTS, corpus, cut, mutated

TOKENS = [
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 304 Not\r\n"),
    *(b"HTTP/1.1 999 No\r\n", b"HTTP/1.1 101 Switching\r\n", b"HTTP/0.9 200 OK\r\n", b"ICY 200 OK\r\n"),
    *(b"content-length: 5\r\n", b"content-length: 7\r\n", b"content-length: -1\r\n", b"content-length: 5\r\n" * 2),
    *(b"transfer-encoding: chunked\r\n", b"transfer-encoding: gzip, chunked\r\n", b"transfer-encoding: gzip\r\n"),
    *(b"connection: close\r\n", b"\r\n", b"\n", b" folded\r\n", b"a: \x00b\r\n", b": b\r\n", b"hello"),
    *(
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"0\r\ncontent-length: 9\r\n\r\n",
        b"5;a=b\r\nhello\r\n",
        b"-5\r\n",
        b"fffffffff\r\n",
    ),
]


class Owner:
    """What a connection belongs to."""

    max_idle_s = 60.0

    def __init__(self) -> None:
        self.freed = 0

    def opened(self, connection: Connection) -> None: ...

    def free(self, connection: Connection) -> None:
        self.freed += 1

    def lost(self, connection: Connection) -> None: ...


class Outcome(NamedTuple):
    status: int
    body: bytes
    complete: bool
    reusable: bool


async def receive(pieces: list[bytes]) -> Outcome:
    """Let a connection that waits for an answer receive the pieces, then the end of the stream."""
    loop, owner = asyncio.get_running_loop(), Owner()
    faults: list[Any] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    connection = Connection(loop, owner)
    connection.connection_made(MemoryTransport(NoSocket()))
    exchange = Exchange(Timeouts(), math.inf, head_only=False)
    connection.begin(exchange, b"GET / HTTP/1.1\r\n\r\n")
    for piece in pieces:
        if connection.usable:
            connection.data_received(piece)
    reusable = owner.freed > 0 and connection.usable
    if connection.usable:
        connection.eof_received()
    connection.connection_lost(None)
    await asyncio.sleep(0)
    assert not faults
    assert exchange.settled  # nobody waits for what will never come
    assert exchange.error is None or isinstance(exchange.error, httpx.TransportError)
    return Outcome(exchange.status, exchange.drain(), exchange.complete, reusable)


def as_h11_reads(data: bytes) -> Outcome | None:
    """The answer that another parser finds; None: it finds none, or one that is cut short."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**20)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    client.receive_data(b"")
    try:
        while isinstance(response := client.next_event(), h11.InformationalResponse):
            pass
        if not isinstance(response, h11.Response):
            return None
        body = b""
        while isinstance(event := client.next_event(), h11.Data):
            body += event.data
    except h11.ProtocolError:
        return None
    return Outcome(response.status_code, body, complete=isinstance(event, h11.EndOfMessage), reusable=False)


ANSWERS = mutated("answers", TOKENS)


def check_answers(data: bytes, cuts: list[int]) -> None:
    """Fail if the bytes, at once or in pieces, are read in two ways, or as something else than another parser does."""
    whole, pieces = asyncio.run(receive([data])), asyncio.run(receive(cut(data, cuts)))
    assert (whole.complete, pieces.complete) in {(True, True), (False, False)}
    if whole.complete:
        assert (whole.status, whole.body) == (pieces.status, pieces.body)
    other = as_h11_reads(data)
    if whole.complete and other is not None:
        assert (whole.status, whole.body) == (other.status, other.body)


@examples(600)
@given(ANSWERS, CUTS)
def test_any_bytes_are_an_answer_or_an_error(data: bytes, cuts: list[int]) -> None:
    check_answers(data, cuts)


@pytest.mark.parametrize("name", corpus("answers"))
def test_a_stored_answer_ends_as_its_name_says(name: str) -> None:
    data = corpus("answers")[name]
    outcome = asyncio.run(receive([data]))
    assert outcome.complete == name.endswith("-complete"), outcome
    check_answers(data, [3, 17, 40])
