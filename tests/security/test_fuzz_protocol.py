"""Any bytes at the server's protocol: nothing escapes, and no second parser would see other requests than ours did."""

import asyncio
import re
from typing import Any, NamedTuple

import h11
import pytest
from hypothesis import given
from uvicorn.server import ServerState

from api.server import server_config
from shared.settings.model import ServerSettings, Settings
from tests.examples import examples
from tests.security.memory import MemoryTransport
from tests.security.mutations import CUTS, corpus, cut, mutated

TOKENS = [
    *(b"GET / HTTP/1.1\r\n", b"POST /a?b=c HTTP/1.1\r\n", b"HEAD / HTTP/1.0\r\n", b"GET http://x/ HTTP/1.1\r\n"),
    *(b"host: x\r\n", b"host: y\r\n", b"\r\n", b"\n", b"\r", b" folded\r\n", b"a: b\n", b"a: \x00\r\n"),
    *(b"content-length: 5\r\n", b"content-length: 0\r\n", b"content-length: +5\r\n", b"content-length: 5, 5\r\n"),
    *(b"content-length : 5\r\n", b"content-length: 0x5\r\n", b"content-length: 99999999999999999999\r\n"),
    *(b"transfer-encoding: chunked\r\n", b"transfer-encoding: identity\r\n", b"transfer-encoding:\x0bchunked\r\n"),
    *(b"transfer-encoding: chunked, chunked\r\n", b"Transfer-Encoding : chunked\r\n", b"transfer-encoding: x\r\n"),
    *(b"connection: close\r\n", b"connection: upgrade\r\nupgrade: h2c\r\n", b"expect: 100-continue\r\n"),
    *(b"hello", b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\nx-bf-vk: y\r\n\r\n", b"5;a=b\r\nhello\r\n", b"+5\r\nhello\r\n"),
    *(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"authorization: Bearer x\r\n"),
]
TURNS = 6
SETTINGS = Settings(server=ServerSettings(max_header_kb=4))


class Seen(NamedTuple):
    """What became of the bytes of a connection.

    Attributes:
        requests: Method, target and body of each request that the application got whole.
        statuses: Of the answers, in order.
    """

    requests: list[tuple[bytes, bytes, bytes]]
    statuses: list[int]


class App:
    """An application that answers every whole request, and keeps it."""

    def __init__(self) -> None:
        self.requests: list[tuple[bytes, bytes, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, message = b"", {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        self.requests.append((scope["method"].encode(), target, body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


async def turns() -> None:
    """Let the application go on."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def serve(pieces: list[bytes]) -> Seen:
    """Let a connection receive the pieces, one after the other."""
    app, transport, state = App(), MemoryTransport(), ServerState()
    loop = asyncio.get_running_loop()
    faults: list[Any] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    config = server_config(app, SETTINGS)  # type: ignore[arg-type]
    config.load()
    protocol: Any = config.http_protocol_class(config=config, server_state=state, app_state={}, _loop=loop)  # type: ignore[call-arg, operator]
    protocol.connection_made(transport)
    for piece in pieces:
        if not transport.closed:
            protocol.data_received(piece)
            await turns()
    protocol.connection_lost(None)
    await turns()
    assert not faults
    assert not state.tasks
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", transport.written)]
    return Seen(app.requests, [status for status in statuses if status != 100])


def as_h11_reads(data: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """The requests that another parser finds in the bytes, up to what it refuses."""
    found = []
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
    server.receive_data(data)
    try:
        while True:
            request = server.next_event()
            if not isinstance(request, h11.Request):
                return found
            body = b""
            while isinstance(event := server.next_event(), h11.Data):
                body += event.data
            if not isinstance(event, h11.EndOfMessage):
                return found
            found.append((request.method, request.target, body))
            server.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            server.send(h11.EndOfMessage())
            server.start_next_cycle()
    except h11.ProtocolError:
        return found


def normal(request: tuple[bytes, bytes, bytes]) -> tuple[bytes, bytes, bytes]:
    """The request with its path alone: an absolute target is served by its path."""
    method, target, body = request
    target = target.partition(b"#")[0]
    if b"://" in target.partition(b"/")[0] + b"//" and target.startswith(b"http"):
        target = b"/" + target.split(b"//", 1)[1].partition(b"/")[2]
    return method, target, body


REQUESTS = mutated("requests", TOKENS)


def check_requests(data: bytes, cuts: list[int]) -> None:
    """Fail if the bytes, at once or in pieces, are read in two ways."""
    whole, pieces = asyncio.run(serve([data])), asyncio.run(serve(cut(data, cuts)))
    for seen in (whole, pieces):
        # Each request is answered once, and a refusal ends the connection.
        assert seen.statuses[: len(seen.requests)] == [200] * len(seen.requests)
        refusals = seen.statuses[len(seen.requests) :]
        assert len(refusals) <= 1
        assert all(400 <= status < 600 for status in refusals)
    shorter, longer = sorted((whole.requests, pieces.requests), key=len)
    assert longer[: len(shorter)] == shorter  # however the bytes were cut, the requests are the same
    other = [normal(request) for request in as_h11_reads(data)]
    ours = [normal(request) for request in longer]
    both = min(len(other), len(ours))
    assert ours[:both] == other[:both]


@examples(600)
@given(REQUESTS, CUTS)
def test_any_bytes_get_at_most_one_answer_a_request(data: bytes, cuts: list[int]) -> None:
    check_requests(data, cuts)


@pytest.mark.parametrize("name", corpus("requests"))
def test_a_stored_request_is_read_as_another_parser_reads_it(name: str) -> None:
    data = corpus("requests")[name]
    check_requests(data, [7, 30, 31])
    statuses = asyncio.run(serve([data])).statuses
    assert statuses[-1] == int(name.rpartition("-")[2])
