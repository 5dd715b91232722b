"""The server protocol with limits: what a caller without a key can do to the process is decided here.

A request's checks cost some 2 us; everything that takes time is left to one sweep over all connections a second.
"""

import asyncio
import os
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from api.http.connection_limits import (
    MIN_DRAINED_BYTES,
    MIN_DRAINED_SHARE,
    MIN_PROGRESS_BYTES,
    SMALL_BODY_BYTES,
    ConnectionLimits,
)
from api.http.errors import error_reply, surface_of
from api.http.joined_writes import JoinedWrites
from api.http.protocol import JoiningProtocol
from api.http.request_head import check_headers, check_size, head_too_large
from shared.errors import GatewayError, InvalidRequest, Overloaded, RequestTimeout

# How long the rest of a refused request is taken off the wire: a connection that is closed on unread bytes is reset,
# and the caller then never sees why.
LINGER_S = 2.0
# How long a connection without a request yet may still send its first one while the process ends: its caller connected
# before the listener closed, and cannot know.
FIRST_REQUEST_S = 1.0
# Refused connections linger too; past so many more than the limit they are dropped without a word.
MAX_REFUSED = 1000


# Which part of a request is being received; plain numbers, as looking up a member of an enumeration costs 50 ns.
IDLE, HEAD, BODY = 0, 1, 2
LARGE_DIGITS = 5  # a `content-length` with more digits is checked against the budget before the body comes


class Refused(Exception):
    """Ends the parsing of a connection with a response."""

    def __init__(self, error: GatewayError, reason: str) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason


class GuardedProtocol(JoiningProtocol):
    """``JoiningProtocol`` that refuses what is too large, too slow or ambiguous, and closes the connection then.

    Args:
        limits: Shared by the server's connections.
    """

    def __init__(self, *args: Any, limits: ConnectionLimits, **options: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **options)
        self.url = b""  # of no request yet
        self._limits = limits
        self._max_head, self._max_headers = limits.max_head_bytes, limits.max_headers
        self._phase = HEAD  # a new connection is to send a request
        self._since: float | None = (
            None  # when this phase began, or last made progress; None while the application works
        )
        self._progress = 0
        self._chunk = 0  # bytes of what is being parsed
        self._first = 0  # bytes of the chunk in which the request began: at least its part of the head
        self._fed = 0  # bytes after that chunk, without any of a body
        self._held = 0  # bytes of bodies, part of `limits.body_bytes`
        self._closing = False
        self._ending = False  # the process ends: one more request at most
        self._unsent = 0  # of answers, when the caller last took enough of them
        self._drained = 0
        self._stalled_since: float | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection, or refuse it where there are too many."""
        super().connection_made(transport)
        self._since = self.loop.time()
        if not self._limits.add(self, self.loop):
            if len(self.connections) > self._limits.max_connections + MAX_REFUSED:
                self._closing = True
                transport.abort()
                return
            error = Overloaded("The gateway has too many connections (server.max_connections).", retry_after_s=1)
            self._refuse(Refused(error, "connections"))

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._limits.remove(self)
        self._release()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Begin an orderly end: what runs is answered, and so is a first request that is under way."""
        self._ending = True
        if self._is_unused() and not self._closing:
            self.loop.call_later(FIRST_REQUEST_S, self._close_unused)
        else:
            super().shutdown()

    def _is_unused(self) -> bool:
        """Whether no request has arrived: uvicorn's `cycle` is None until then, whatever its type is."""
        return cast("object | None", self.cycle) is None

    def _close_unused(self) -> None:
        if self._is_unused():
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse what the caller sent; after a refusal it is discarded."""
        if self._closing:
            return
        self._chunk = len(data)
        self._fed += self._chunk
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Refused) else _invalid())
        except httptools.HttpParserError:
            self._refuse(_invalid())
        except httptools.HttpParserUpgrade:
            self._refuse(_upgrade())
        else:
            if self._phase is not IDLE:
                self._note_progress()
            # A head, an extension of a chunk or trailers without an end.
            if self._fed > self._max_head or (self._phase is HEAD and self._unfinished_head() > self._max_head):
                self._refuse(Refused(head_too_large(self._max_head), "head"))

    def _unfinished_head(self) -> int:
        """Bytes of a head so far; behind another request in the same chunk, only those after that chunk."""
        return self._fed + (self._first if self._is_unused() else 0)

    def _note_progress(self) -> None:
        if self._since is None:
            self._since = self.loop.time()
        if self._phase is BODY:
            self._progress += self._chunk
            if self._progress >= MIN_PROGRESS_BYTES:
                self._since, self._progress = self.loop.time(), 0

    # The parser's callbacks; Refused ends the parsing

    def on_message_begin(self) -> None:
        """Begin a request's head."""
        self._phase, self._since = HEAD, None
        self._first, self._fed = self._chunk, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Check the head, and begin the request."""
        headers = self.headers
        found = dict(headers)
        if (
            self._first + self._fed > self._max_head
            or len(headers) > self._max_headers
            or len(found) != len(headers)
            or b"host" not in found
            or b"transfer-encoding" in found
            or b"upgrade" in found
        ):
            self._check_head(found)
        declared = found.get(b"content-length")
        if declared is not None and len(declared) > LARGE_DIGITS and not self._limits.has_room(0, int(declared)):
            raise _no_room()
        self._phase, self._since, self._progress, self._fed = BODY, None, 0, 0
        self.begin_request(found)
        if self._ending:
            self.cycle.keep_alive = False
        self.headers = []  # what the parser reports from here on are trailers: they are dropped

    def _check_head(self, found: dict[bytes, bytes]) -> None:
        try:
            check_size(self.parser.get_method(), self.url, self.headers, self._max_head)
            check_headers(self.headers, found, self.parser.get_http_version(), self._max_headers)
        except GatewayError as error:
            raise Refused(error, "head") from None
        if b"upgrade" in found and self.parser.should_upgrade():
            raise _upgrade()

    def on_body(self, body: bytes) -> None:
        """Keep a part of a body, if there is room for it; uvicorn's own asks for upgrades here, which cannot be."""
        self._fed = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        size = len(body)
        if self._held + size > SMALL_BODY_BYTES and not self._limits.has_room(self._held, size):
            raise _no_room()
        self._held += size
        self._limits.body_bytes += size
        if cycle.add_body(body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """End a request's body."""
        self._phase, self._since, self._fed = IDLE, None, 0
        cycle = self.cycle
        if cycle.response_complete:
            self._since = self.loop.time()
        else:
            cycle.more_body = False
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        """End an exchange, and begin the next one if it is here.

        The sweep ends a connection that stays idle: a timer for each request would take 1 us.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._release()
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        if self._held:
            self._release()
        if self._phase is IDLE:
            self._since = self.loop.time()

    # Refusals

    def _refuse(self, refused: Refused) -> None:
        """Answer with an error and close; a response that has begun is cut instead."""
        self._closing = True
        self._limits.refused(refused.reason)
        running = self._running
        if running is not None and not running.response_complete:
            if running is not self.cycle or self._phase is not BODY:
                running.keep_alive = False  # a whole request, which is still answered; what came after it is not
                return
            self._end_running()
            if running.response_started:
                self.transport.abort()
                return
        self.transport.write(_encoded(refused.error, self.url))
        self.transport.flush()  # type: ignore[attr-defined] # of `JoinedWrites`
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _end_running(self) -> None:
        """Tell the running request, whose body will never be complete, that its caller is gone."""
        running = self._running
        assert running is not None  # noqa: S101 - checked by the caller
        running.disconnected = True
        line = running.message_event
        line.set()
        line.hang_up()

    def _release(self) -> None:
        self._limits.body_bytes -= self._held
        self._held = 0

    # The sweep

    def check_progress(self, now: float) -> int:
        """Close the connection if it has stalled; return the bytes of answers that wait for the caller."""
        unsent = self.transport.get_write_buffer_size()
        self._check_writes(now, unsent)
        if not self._closing and self._since is not None:
            self._check_reads(now, self._since)
        return unsent

    def _check_reads(self, now: float, since: float) -> None:
        if self._phase is IDLE:
            if now - since >= self.timeout_keep_alive:
                self.transport.close()
        elif self._phase is HEAD:
            if now - since >= self._limits.header_timeout_s:
                self._time_out("head", "The headers", self._limits.header_timeout_s)
        elif self.flow.read_paused:  # it is we who do not read
            self._since = now
        elif now - since >= self._limits.body_stall_s:
            self._time_out("body", "The body", self._limits.body_stall_s)

    def _time_out(self, reason: str, part: str, limit_s: float) -> None:
        if self._first == 0 and self._fed == 0:  # nobody has asked anything
            self._closing = True
            self.transport.close()
            return
        error = RequestTimeout(f"{part} of the request did not arrive within {limit_s:g} s.")
        self._refuse(Refused(error, f"{reason}_timeout"))

    def _check_writes(self, now: float, unsent: int) -> None:
        if unsent == 0:
            self._stalled_since = None
            return
        drained = cast("JoinedWrites", self.transport).sent - unsent
        needed = min(self._unsent, max(MIN_DRAINED_BYTES, self._unsent // MIN_DRAINED_SHARE))
        if self._stalled_since is None or drained - self._drained >= needed:
            self._stalled_since, self._drained, self._unsent = now, drained, unsent
        elif now - self._stalled_since >= self._limits.write_stall_s:
            self._limits.refused("write_timeout")
            self.transport.abort()


def _invalid() -> Refused:
    return Refused(InvalidRequest("The request is not valid HTTP/1.1."), "malformed")


def _upgrade() -> Refused:
    error = InvalidRequest("Protocol upgrades are not supported; send plain HTTP/1.1.", param="upgrade")
    return Refused(error, "upgrade")


def _no_room() -> Refused:
    error = Overloaded("The gateway holds too many bytes of requests (server.max_inflight_mb).", retry_after_s=1)
    return Refused(error, "inflight_bytes")


def _encoded(error: GatewayError, url: bytes) -> bytes:
    """Encode a whole response, in the envelope of the surface that the URL belongs to."""
    request_id = f"req_{os.urandom(16).hex()}"
    reply = error_reply(error, surface_of(url[:64].decode("latin-1")), request_id)
    status = STATUS_LINE[reply.status]
    lines = b"".join(b"%b: %b\r\n" % line for line in reply.headers)
    return b"%b%bx-request-id: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (
        status,
        lines,
        request_id.encode(),
        len(reply.body),
        reply.body,
    )
