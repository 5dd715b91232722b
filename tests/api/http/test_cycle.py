"""One request and its response without a socket: what is written, and when it has to go another way."""

import asyncio
from collections.abc import Callable

import pytest

from api.http.cycle import Cycle
from api.http.joined_writes import JoinedWrites
from api.http.protocol import LightFlow, read_url
from api.http.request_context import Reply, RequestContext, ResponseSender, send_reply
from shared.background import LARGE_BYTES

DATE = (b"date", b"Sun, 29 Nov 2026 00:00:00 GMT")
TEXT = (b"content-type", b"text/plain")


class Written(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Request:
    """A cycle, its transport, and how often its response became complete."""

    def __init__(self, method: str = "POST", *, keep_alive: bool = True, expects_continue: bool = False) -> None:
        self.transport = Written()
        self.completed = 0
        writes = JoinedWrites(self.transport, asyncio.get_running_loop())
        self.flow = LightFlow(writes)  # type: ignore[arg-type]
        self.cycle = Cycle(
            {"type": "http", "method": method},
            writes,
            self.flow,
            default_headers=[DATE],
            keep_alive=keep_alive,
            expects_continue=expects_continue,
            on_response=self._complete,
        )
        self.context = RequestContext("req_1", {}, started=0.0)
        self.send = ResponseSender(self.cycle.send, self.context)

    def _complete(self) -> None:
        self.completed += 1


async def test_a_whole_response_is_written_at_once():
    request = Request()
    request.context.lines = ((b"x-bf-warning", b"w"),)
    await send_reply(request.send, Reply(200, b"hello", (TEXT,)))
    assert request.transport.data == (
        b"HTTP/1.1 200 OK\r\ndate: Sun, 29 Nov 2026 00:00:00 GMT\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n"
        b"x-request-id: req_1\r\nx-bf-warning: w\r\n\r\nhello"
    )
    assert (request.context.status, request.completed, request.transport.closed) == (200, 1, False)


async def test_a_large_body_is_written_as_it_is():
    request = Request()
    body = b"x" * (LARGE_BYTES + 1)
    await send_reply(request.send, Reply(200, body))
    assert request.transport.data.endswith(b"x-request-id: req_1\r\n\r\n" + body)
    assert request.cycle.transport.sent == len(request.transport.data)


@pytest.mark.parametrize(("keep_alive", "lines"), [(False, (TEXT,)), (True, (TEXT, (b"connection", b"close")))])
async def test_a_connection_that_ends_says_so_once_and_is_closed(keep_alive: bool, lines):
    request = Request(keep_alive=keep_alive)
    await send_reply(request.send, Reply(200, b"", lines))
    assert request.transport.data.count(b"connection: close\r\n") == 1
    assert request.transport.closed


async def test_a_response_to_head_is_its_head_alone():
    request = Request("HEAD")
    await send_reply(request.send, Reply(200, b"hello"))
    assert b"content-length: 5\r\n" in request.transport.data
    assert request.transport.data.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\x00", b"a\x7f"])
async def test_a_header_with_a_control_character_is_refused_and_nothing_is_written(value: bytes):
    request = Request()
    with pytest.raises(RuntimeError):
        request.cycle.send_whole(200, ((b"x-a", value),), b"")
    assert not request.transport.data
    assert not request.cycle.response_started


async def test_a_tab_in_a_header_is_sent():
    request = Request()
    assert request.cycle.send_whole(200, ((b"x-a", b"a\tb"),), b"")


def _slow(request: Request) -> None:
    request.flow.pause_writing()


def _gone(request: Request) -> None:
    request.cycle.disconnected = True


def _begun(request: Request) -> None:
    request.cycle.response_started = True


@pytest.mark.parametrize("change", [_slow, _gone, _begun])
async def test_a_response_that_cannot_be_sent_at_once_is_left_to_messages(change: Callable[[Request], None]):
    request = Request()
    change(request)
    assert not request.send.send_whole(Reply(200, b"hello"))
    assert not request.transport.data


async def test_a_slow_caller_gets_the_response_once_it_takes_more():
    request = Request()
    request.flow.pause_writing()
    sending = asyncio.create_task(send_reply(request.send, Reply(200, b"hello")))
    await asyncio.sleep(0)
    assert not request.transport.data
    request.flow.resume_writing()
    await sending
    request.cycle.transport.flush()
    assert request.transport.data.endswith(b"content-length: 5\r\nx-request-id: req_1\r\n\r\nhello")


async def test_parts_of_a_stream_follow_its_head():
    request = Request()
    await request.send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    assert request.send.send_part(b"one")
    assert request.send.send_part(b"two")
    await request.send({"type": "http.response.body", "body": b""})
    request.cycle.transport.flush()
    head, _, body = request.transport.data.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


@pytest.mark.parametrize("change", [_slow, _gone])
async def test_a_part_for_a_slow_or_lost_caller_is_left_to_messages(change: Callable[[Request], None]):
    request = Request()
    await request.send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    change(request)
    assert not request.send.send_part(b"one")


async def test_no_part_goes_out_before_the_head_nor_an_empty_one_which_would_end_the_stream():
    request = Request()
    assert not request.send.send_part(b"one")
    await request.send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    assert not request.send.send_part(b"")


async def test_another_server_is_sent_messages():
    sent = []

    async def send(message) -> None:
        sent.append(message["type"])

    sender = ResponseSender(send, RequestContext("req_1", {}, started=0.0))
    await send_reply(sender, Reply(200, b"hello"))
    assert sent == ["http.response.start", "http.response.body"]
    assert not sender.send_part(b"x")


@pytest.mark.parametrize("parts", [[b"one"], [b"one", b"two"], [b"one", b"two", b"three"]])
async def test_a_body_is_taken_whole_once_its_last_part_is_here(parts: list[bytes]):
    request = Request()
    for part in parts:
        request.cycle.add_body(part)
    assert request.cycle.take_body() is None
    request.cycle.more_body = False
    assert request.cycle.take_body() == b"".join(parts)


async def test_a_body_is_received_in_messages():
    request = Request()
    assert request.cycle.add_body(b"one") == 3
    assert await request.cycle.receive() == {"type": "http.request", "body": b"one", "more_body": True}
    receiving = asyncio.create_task(request.cycle.receive())
    await asyncio.sleep(0)
    request.cycle.more_body = False
    request.cycle.message_event.set()
    assert await receiving == {"type": "http.request", "body": b"", "more_body": False}
    request.cycle.disconnected = True
    assert await request.cycle.receive() == {"type": "http.disconnect"}


async def test_a_caller_that_waits_for_leave_to_send_its_body_is_given_it():
    request = Request(expects_continue=True)
    request.cycle.more_body = False
    assert request.cycle.take_body() is None
    request.cycle.message_event.set()
    await request.cycle.receive()
    request.cycle.transport.flush()
    assert request.transport.data == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert request.cycle.take_body() == b""


async def test_reading_that_was_paused_goes_on_when_the_body_is_taken():
    request = Request()
    request.cycle.more_body = False
    request.flow.pause_reading()
    assert request.cycle.take_body() == b""
    assert not request.flow.read_paused


@pytest.mark.parametrize(
    ("url", "path", "raw_path", "query"),
    [
        (b"/v1/models", "/v1/models", b"/v1/models", b""),
        (b"/a%20b?key=1", "/a b", b"/a%20b", b"key=1"),
        (b"http://host:8080/a?b", "/a", b"/a", b"b"),
        (b"//host/a", "//host/a", b"//host/a", b""),
    ],
)
def test_the_target_of_a_request_has_a_path_and_a_query(url: bytes, path: str, raw_path: bytes, query: bytes):
    assert read_url(url) == (path, raw_path, query)
