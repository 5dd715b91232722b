"""One request and its response, between the connection and the application: uvicorn's cycle with less work for each.

uvicorn takes a response as two messages, and checks each header with two regular expressions; here a whole response
goes out in one step, with one check of its head.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from api.http.joined_writes import JoinedWrites
from api.http.request_context import DirectSender, HeaderLine, Message, Receive

# What may not stand in a header; CR and LF end its line, so they are counted.
_CONTROLS = bytes(byte for byte in (*range(32), 127) if byte != ord("\t"))
_CLOSE: HeaderLine = (b"connection", b"close")


class Flag:
    """The part of ``asyncio.Event`` that uvicorn uses, without its deque.

    Attributes:
        raised: Whether it is raised.
    """

    __slots__ = ("_waiting", "raised")

    def __init__(self, *, raised: bool = False) -> None:
        self.raised = raised
        self._waiting: tuple[asyncio.Future[None], ...] = ()

    def set(self) -> None:
        """Raise it."""
        self.raised = True
        if self._waiting:
            waiting, self._waiting = self._waiting, ()
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def clear(self) -> None:
        """Lower it."""
        self.raised = False

    async def wait(self) -> Literal[True]:
        """Return once it is raised."""
        while not self.raised:
            future = asyncio.get_running_loop().create_future()
            self._waiting = (*self._waiting, future)
            await future
        return True


class CallerLine(Flag):
    """One request's connection to its caller: set when there is something to receive; reports the hang-up."""

    __slots__ = ("_flow", "_gone", "_on_hang_up")

    def __init__(self, flow: FlowControl) -> None:
        self.raised = False
        self._waiting = ()
        self._flow = flow
        self._on_hang_up: Callable[[], object] | None = None
        self._gone = False

    def watch(self, on_hang_up: Callable[[], object] | None) -> None:
        """Have a function called at the hang-up, also one that was before; None: no more."""
        self._on_hang_up = on_hang_up
        if self._gone:
            asyncio.get_running_loop().call_soon(self.hang_up)
        elif on_hang_up is not None:
            self._flow.resume_reading()  # a long body may have stopped it; the end of a connection is read too

    def hang_up(self) -> None:
        """The caller is gone."""
        self._gone = True
        on_hang_up, self._on_hang_up = self._on_hang_up, None
        if on_hang_up is not None:
            on_hang_up()


class Cycle(RequestResponseCycle, DirectSender):
    """One request and its response.

    Args:
        scope: The request's.
        transport: To its caller.
        flow: Of the transport.
        default_headers: The server's own: the date.
        keep_alive: Whether the connection serves on after it.
        expects_continue: Whether its caller waits for a 100 before it sends the body.
        on_response: Called when the response is complete.
    """

    # How each begins; only what changes is set on the instance.
    logger = logging.getLogger("uvicorn.error")
    disconnected = response_started = response_complete = access_log = False
    more_body = True
    body: Any = b""  # bytes while it has one part, as nearly every one has
    chunked_encoding: bool | None = None
    expected_content_length = 0
    message_event: CallerLine  # type: ignore[assignment]
    transport: JoinedWrites  # type: ignore[assignment]

    def __init__(
        self,
        scope: Any,  # noqa: ANN401 - uvicorn's own type
        transport: Any,  # noqa: ANN401 - uvicorn types it as the real one
        flow: FlowControl,
        *,
        default_headers: list[HeaderLine],
        keep_alive: bool,
        expects_continue: bool,
        on_response: Callable[[], None],
    ) -> None:
        self.scope = scope
        self.transport = transport
        self.flow = flow
        self.message_event = CallerLine(flow)
        self.default_headers = default_headers
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expects_continue
        self.on_response = on_response

    @property
    def _without_body(self) -> bool:
        """Whether the response is its head alone."""
        return self.scope["method"] == "HEAD"

    def add_body(self, part: bytes) -> int:
        """Keep a part of the body; return the length of what waits to be read."""
        if not self.body:
            self.body = part
        elif isinstance(self.body, bytearray):
            self.body += part
        else:
            self.body = bytearray(self.body)
            self.body += part
        self.message_event.set()
        return len(self.body)

    def take_body(self) -> bytes | None:
        """Return the whole body where it is here and nothing stands in the way; None: receive its messages."""
        if self.more_body or self.disconnected or self.response_complete or self.waiting_for_100_continue:
            return None
        if self.flow.read_paused:
            self.flow.resume_reading()
        self.message_event.clear()
        body, self.body = self.body, b""
        return bytes(body)

    def send_whole(self, status: int, lines: Sequence[HeaderLine], body: bytes) -> bool:
        """Send a whole response at once; see ``DirectSender``."""
        if self.response_started or self.flow.write_paused or self.disconnected:
            return False
        if self.default_headers:
            lines = (*self.default_headers, *lines)
        parts = [STATUS_LINE[status]]
        for name, value in lines:
            parts += (name, b": ", value, b"\r\n")
        if _CLOSE in lines:
            self.keep_alive = False
        elif not self.keep_alive:
            lines = (*lines, _CLOSE)
            parts.append(b"connection: close\r\n")
        head = b"".join(parts)
        if len(head) - len(head.translate(None, _CONTROLS)) != 2 * (len(lines) + 1):
            raise RuntimeError("A header of the response holds a control character.")
        self.response_started = self.response_complete = True
        self.transport.write_whole(head + b"\r\n", b"" if self._without_body else body)
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True

    def send_part(self, part: bytes) -> bool:
        """Send a part of a response that goes on; see ``DirectSender``."""
        if not self.chunked_encoding or not part or self.flow.write_paused or self.disconnected or self._without_body:
            return False
        self.transport.write_now(b"%x\r\n%b\r\n" % (len(part), part))
        return True

    async def receive(self) -> Message:  # type: ignore[override]
        """Return a part of the body, or the end of the connection, once either is here."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            if self.flow.read_paused:
                self.flow.resume_reading()
            if not self.message_event.raised:
                await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = self.body, b""
        return {"type": "http.request", "body": bytes(body), "more_body": self.more_body}


def line_to_caller(receive: Receive) -> CallerLine | None:
    """Return the line that a request's ``receive`` belongs to; None where it is another server's, or wrapped."""
    line = getattr(getattr(receive, "__self__", None), "message_event", None)
    return line if isinstance(line, CallerLine) else None
