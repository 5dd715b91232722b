"""One HTTP/1.1 connection: bytes out, parsed answers in, one exchange at a time."""

import asyncio
import math
import socket
import ssl
from collections.abc import Coroutine
from typing import Any, Protocol, cast

import httptools
import httpx

from shared.providers.transport.alarm import Alarm
from shared.providers.transport.exchange import MAX_QUEUED_BYTES, Exchange, Phase

MAX_HEAD_BYTES = 64 * 1024
_TIMER_SLACK_S = 0.001  # uvloop's clock ticks in milliseconds
_DISCONNECTED = "the upstream closed the connection before the response was complete"


class ConnectionOwner(Protocol):
    """Owner of a connection between exchanges: the pool."""

    max_idle_s: float

    def opened(self, connection: "Connection") -> None:
        """Note an opened connection."""

    def free(self, connection: "Connection") -> None:
        """Take back a connection that can serve again."""

    def lost(self, connection: "Connection") -> None:
        """Forget a closed connection."""


class Connection(asyncio.Protocol):
    """Writes requests, parses what comes back with llhttp, and returns to its owner after each complete answer.

    Attributes:
        made: Was open once, and so its owner knows of it.
        usable: Open, as far as is known.
        closed: Done when the socket is.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: ConnectionOwner) -> None:
        self._loop = loop
        self._owner = owner
        self._alarm = Alarm(loop, self._on_alarm)
        self._transport: asyncio.Transport
        self._parser: httptools.HttpResponseParser
        self._exchange: Exchange | None = None  # while busy
        self._answer: Exchange  # what the parser's callbacks fill; outlives `_exchange` by nothing but their calls
        self._served = 0
        self._idle_until = math.inf
        self._unproductive = 0  # bytes read since the last byte of a body: heads, trailers, chunk extensions
        self._keep_alive = self._surplus = self._writing = False
        self.made = self.usable = False
        self.closed: asyncio.Future[None] = loop.create_future()

    # Called by the pool and by the task that sends

    def begin(self, exchange: Exchange, payload: bytes) -> None:
        """Write a request (or its head, with the body to follow through `write`) and expect its answer."""
        if not self.usable:
            exchange.fail(httpx.RemoteProtocolError(_DISCONNECTED))
            return
        self._exchange = self._answer = exchange
        self._unproductive = 0
        self._surplus = False
        self._transport.write(payload)

    async def write(self, exchange: Exchange, data: bytes) -> None:
        """Write a piece of the body and wait until the socket wants more; silent when nobody listens any more.

        Raises:
            httpx.WriteTimeout: No progress for `write_s`.
        """
        if self._exchange is exchange:
            self._transport.write(data)
        await self._wait_written(exchange)

    async def wait_head(self, exchange: Exchange) -> None:
        """Wait until the final head is here.

        Raises:
            httpx.TransportError: It will not come.
        """
        if self._writing:
            await self._wait_written(exchange)
        until = self._loop.time() + exchange.timeouts.first_byte_s
        while not exchange.head_done and exchange.error is None:
            await self._wait(exchange, Phase.HEAD, until)
        if not exchange.head_done and exchange.error is not None:
            raise exchange.error

    def wait_body(self, exchange: Exchange, *, keep: bool = False) -> Coroutine[Any, Any, None]:
        """Wait until there may be more of the body, or nothing more will come; not a coroutine itself, as it is hot.

        Args:
            exchange: Whose body.
            keep: Whether the connection stays open when the wait is cancelled, so that the body can be read on.
        """
        return self._wait(exchange, Phase.BODY, self._loop.time() + exchange.timeouts.idle_s, keep=keep)

    def resume(self, exchange: Exchange) -> None:
        """Read on, if reading was paused for this exchange."""
        if exchange.paused and self._exchange is exchange:
            exchange.paused = False
            self._transport.resume_reading()

    def abandon(self, exchange: Exchange, error: httpx.TransportError) -> None:
        """Close the connection if it is still busy with this exchange."""
        if self._exchange is exchange:
            self.drop(error)

    def drop(self, error: httpx.TransportError) -> None:
        """Close at once, whatever is in progress."""
        if self.usable:
            self.usable = False
            self._alarm.cancel()
            self._transport.abort()
            self._owner.lost(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.fail(error)

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; asyncio has set TCP_NODELAY already."""
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpResponseParser(self)
        self.made = self.usable = True
        _probe_when_silent(transport)
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came and let the waiting task look, once for all of it."""
        exchange = self._exchange
        if exchange is None:
            self.drop(httpx.RemoteProtocolError("the upstream sent unsolicited bytes"))
            return
        exchange.received = True
        self._unproductive += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._surplus = True
            if not exchange.complete:
                self.drop(_explain(error))
                return
        if exchange.complete:
            self._finish(exchange)
        elif self._unproductive > MAX_HEAD_BYTES:
            self.drop(_too_large())
        elif exchange.queued > MAX_QUEUED_BYTES and not exchange.whole and not exchange.paused:
            exchange.paused = True
            self._transport.pause_reading()
        exchange.wake()

    def eof_received(self) -> None:
        """Close. A clean end completes a body that has no other end."""
        exchange = self._exchange
        if exchange is not None and exchange.ends_at_close() and _ended_cleanly(self._transport):
            exchange.complete = True
            self._keep_alive = False
            self._finish(exchange)
            exchange.wake()
        else:
            self._disconnect(httpx.RemoteProtocolError(_DISCONNECTED))

    def connection_lost(self, exc: Exception | None) -> None:
        """Settle what was in progress; without `eof_received` before it, it was cut."""
        if exc is None:
            self._disconnect(httpx.RemoteProtocolError(_DISCONNECTED))
        else:
            message = f"the connection broke: {exc}"
            self._disconnect(httpx.ReadError(message))
        self.closed.set_result(None)

    def pause_writing(self) -> None:
        """The upstream takes no more for now."""
        self._writing = True

    def resume_writing(self) -> None:
        """The upstream takes more again."""
        self._writing = False
        self._answer.wake()

    # Called by the parser

    def on_message_begin(self) -> None:
        """Start a head; one after the final answer is surplus and forbids reuse."""
        if self._answer.complete:
            self._surplus = True
        else:
            self._answer.restart_head()

    def on_status(self, reason: bytes) -> None:
        """Collect the reason phrase, which may come in parts."""
        if not self._answer.head_done:
            self._answer.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; trailers are dropped."""
        answer = self._answer
        if not answer.head_done:
            answer.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Decide whether this is the answer, and whether it has a body."""
        answer = self._answer
        if answer.complete:
            return
        if self._unproductive > MAX_HEAD_BYTES and _size(answer.headers) > MAX_HEAD_BYTES:
            raise _too_large()
        status = self._parser.get_status_code()
        if status < 100 or status == 101:
            message = f"the upstream answered with status {status}, which was not asked for"
            raise httpx.RemoteProtocolError(message)
        if status < 200:
            return
        answer.status = status
        answer.head_done = True
        self._keep_alive = self._parser.should_keep_alive()
        if answer.head_only:
            answer.complete = True  # llhttp would wait for the body that the head describes

    def on_body(self, piece: bytes) -> None:
        """Queue a piece of the body."""
        answer = self._answer
        if answer.complete:
            self._surplus = True
            return
        answer.pieces.append(piece)
        answer.queued += len(piece)
        self._unproductive = 0

    def on_message_complete(self) -> None:
        """End the exchange, unless it was an interim response."""
        if self._answer.head_done:
            self._answer.complete = True

    # Inside

    async def _wait_written(self, exchange: Exchange) -> None:
        while self._writing and not exchange.head_done and not exchange.settled:
            exchange.unsent = self._transport.get_write_buffer_size()
            await self._wait(exchange, Phase.WRITE, self._loop.time() + exchange.timeouts.write_s)

    async def _wait(self, exchange: Exchange, phase: Phase, until: float, *, keep: bool = False) -> None:
        waiter = exchange.waiter = self._loop.create_future()
        exchange.phase = phase
        exchange.phase_at = until
        self._alarm.set(min(until, exchange.total_at))
        try:
            await waiter
        except asyncio.CancelledError:
            if not keep:
                self.abandon(exchange, httpx.ReadError("the caller gave up"))
            raise
        finally:
            exchange.waiter = None

    def _finish(self, exchange: Exchange) -> None:
        self._exchange = None
        self._served += 1
        unsent = exchange.sending or self._transport.get_write_buffer_size() > 0
        if unsent or self._surplus or not self._keep_alive:
            self.drop(httpx.ReadError(_DISCONNECTED))
            return
        if exchange.head_only:  # the parser waits for the body that the head describes
            self._parser = httptools.HttpResponseParser(self)
        if exchange.paused:
            self._transport.resume_reading()
        self._idle_until = self._loop.time() + self._owner.max_idle_s
        self._alarm.set(self._idle_until)
        self._owner.free(self)

    def _disconnect(self, error: httpx.TransportError) -> None:
        exchange = self._exchange
        if exchange is not None:
            exchange.stale = self._served > 0 and not exchange.received
        self.drop(error)

    def _on_alarm(self) -> None:
        now = self._loop.time() + _TIMER_SLACK_S
        exchange = self._exchange
        if exchange is None:
            if now >= self._idle_until:
                self.drop(httpx.ReadError("idle for too long"))
            else:
                self._alarm.set(self._idle_until)
            return
        due = exchange.total_at if exchange.waiter is None else min(exchange.phase_at, exchange.total_at)
        if now >= due and now < exchange.total_at and exchange.phase is Phase.WRITE:
            due = self._extend_write(exchange, due)
        if now >= due:
            self.drop(exchange.expire(total=now >= exchange.total_at))
        else:
            self._alarm.set(due)

    def _extend_write(self, exchange: Exchange, due: float) -> float:
        """Give a slow upload more time for as long as it moves at all."""
        unsent = self._transport.get_write_buffer_size()
        if unsent >= exchange.unsent:
            return due
        exchange.unsent = unsent
        exchange.phase_at = self._loop.time() + exchange.timeouts.write_s
        return min(exchange.phase_at, exchange.total_at)


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)


def _too_large() -> httpx.RemoteProtocolError:
    message = f"more than {MAX_HEAD_BYTES} bytes of head or trailers"
    return httpx.RemoteProtocolError(message)


def _explain(error: Exception) -> httpx.TransportError:
    if isinstance(error.__context__, httpx.TransportError):  # raised in one of our callbacks
        return error.__context__
    message = f"the response is not valid HTTP/1.1: {error}"
    return httpx.RemoteProtocolError(message)


def _ended_cleanly(transport: asyncio.BaseTransport) -> bool:
    """Whether the peer itself ended the connection: under TLS anybody on the path can send a bare FIN."""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if tls is None:
        return True
    try:
        return not tls.read(1)  # empty after a close_notify
    except ssl.SSLError:
        return False


def _probe_when_silent(transport: asyncio.BaseTransport) -> None:
    """Have the kernel notice peers that vanished without a word: after a minute, within another."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wanted = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
    for name in wanted.keys() & vars(socket).keys():  # not every system has all of them
        sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), wanted[name])
