"""One connection with the commands of many callers: batched per turn of the event loop, answered in order."""

import asyncio
from collections import deque
from typing import Any, cast

import hiredis
from redis.asyncio.connection import DefaultParser

from shared.store.errors import StoreConnectionError

BACK_PRESSURE_BYTES = 1 << 20
# A late turn of the loop fires timers before it reads answers that have arrived meanwhile.
SECOND_CHECK_S = 0.02

_MORE = object()


class Link(asyncio.Protocol):
    """A live connection to the store.

    Commands of one turn of the loop leave in one write. Replies come in the order of the commands
    (https://valkey.io/topics/pipelining/), so a future per command in a queue is all the book-keeping.
    A link that is silent for too long while replies are due has a fault; a large reply that arrives slowly is progress.
    A fault ends the link for good: everything in flight gets `StoreConnectionError` as its reply, as a
    value, which costs less than an exception per future and cannot go unretrieved.

    Attributes:
        open: A command can be sent right now.
        fault: Why the link ended, None while it lives.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, timeout_s: float, max_in_flight: int) -> None:
        self._loop = loop
        self._timeout_s = timeout_s
        self._max_in_flight = max_in_flight
        self._reader = hiredis.Reader(replyError=DefaultParser.parse_error, notEnoughData=_MORE)
        self._transport: asyncio.Transport | None = None
        self._outgoing: list[bytes] = []
        # Future, time it was sent, replies it waits for (0: a single one, not in a list).
        self._pending: deque[tuple[asyncio.Future[Any], float, int]] = deque()
        self._batch: list[Any] = []
        self._sent_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._writable = asyncio.Event()
        self._lost = asyncio.Event()
        self._retired = ""
        self._heard_at = self._opened_at = loop.time()
        self._unsent = 0
        self.open = False
        self.fault: str | None = None

    @property
    def age_s(self) -> float:
        """How long the link has existed."""
        return self._loop.time() - self._opened_at

    def send(self, packed: bytes, replies: int = 0) -> asyncio.Future[Any]:
        """Queue a packed command for this turn's write; call it only while `open`.

        Args:
            packed: The command, or several one after the other.
            replies: How many commands when several: the future's result is then the list of replies.

        Returns:
            A future of the reply. Errors, the link's too, are its result, not its exception.
        """
        future = self._loop.create_future()
        if not self._outgoing:
            self._sent_at = self._loop.time()
            self._loop.call_soon(self._flush)
            if self._timer is None:
                self._timer = self._loop.call_at(self._sent_at + self._timeout_s, self._check_timeout)
        self._outgoing.append(packed)
        self._pending.append((future, self._sent_at, replies))
        if len(self._pending) >= self._max_in_flight:
            self._close_gate()
        return future

    async def until_open(self) -> None:
        """Wait until a command can be sent.

        Raises:
            StoreConnectionError: The link ended.
        """
        while not self.open:
            if self.fault is not None or self._retired:
                raise StoreConnectionError(self.fault or self._retired)
            await self._writable.wait()

    def retire(self, reason: str) -> None:
        """Accept no more commands; the link ends when those in flight are answered."""
        self._retired = reason
        if not self._pending:
            self.fail(reason)
            return
        self._close_gate()
        self._writable.set()

    async def end(self, reason: str) -> None:
        """End the link and wait until its socket is closed."""
        self.fail(reason)
        if self._transport is not None:
            await self._lost.wait()

    def fail(self, reason: str) -> None:
        """End the link now; everything in flight gets StoreConnectionError."""
        if self.fault is not None:
            return
        self.fault = reason
        self.open = False
        self._outgoing = []
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        while self._pending:
            future, _, _ = self._pending.popleft()
            if not future.done():
                future.set_result(StoreConnectionError(reason))
        self._writable.set()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        # uvloop's transports are not derived from asyncio's class.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=BACK_PRESSURE_BYTES)
        self.open = True
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.fail(f"the connection to the store was lost: {exc}" if exc else "the store closed the connection")
        self._lost.set()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`: the server does not read as fast as we write."""
        self._paused = True
        self._close_gate()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._paused = False
        self._open_gate()

    def data_received(self, data: bytes) -> None:
        """Deliver replies to their callers; see `asyncio.Protocol`."""
        self._heard_at = self._loop.time()
        try:
            self._reader.feed(data)
            self._deliver()
        except (hiredis.ProtocolError, IndexError) as error:
            # Garbage, or a reply without a command: from here on replies cannot be matched.
            self.fail(f"the server at the store's address does not speak the Redis protocol: {error}")
        if not self.open:
            self._open_gate()

    def _deliver(self) -> None:
        next_reply, pending = self._reader.gets, self._pending
        while (reply := next_reply()) is not _MORE:
            future, _, replies = pending[0]
            if replies:
                self._batch.append(reply)
                if len(self._batch) < replies:
                    continue
                reply, self._batch = self._batch, []
            pending.popleft()
            if not future.done():  # its caller may have been cancelled; the order stays
                future.set_result(reply)
        if self._retired and not pending:
            self.fail(self._retired)

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if outgoing and self._transport is not None:
            self._transport.write(outgoing[0] if len(outgoing) == 1 else b"".join(outgoing))

    def _close_gate(self) -> None:
        self.open = False
        self._writable.clear()

    def _open_gate(self) -> None:
        """Admit callers again once there is room for many: one by one would wake all of them for each."""
        if (
            self.fault is None
            and not self._retired
            and not self._paused
            and len(self._pending) <= self._max_in_flight // 2
        ):
            self.open = True
            self._writable.set()

    def _check_timeout(self) -> None:
        """Check whether the oldest command is overdue; one timer serves any number of commands.

        A command's time begins again with each byte that arrives, and while what is to be sent before it moves.
        """
        self._timer = None
        if not self._pending:
            return
        oldest, sent_at, _ = self._pending[0]
        before, self._unsent = self._unsent, self._transport.get_write_buffer_size() if self._transport else 0
        if self._unsent and self._unsent != before:
            self._heard_at = self._loop.time()
        due_at = max(sent_at, self._heard_at) + self._timeout_s
        if due_at > self._loop.time():
            self._timer = self._loop.call_at(due_at, self._check_timeout)
        else:
            self._timer = self._loop.call_later(SECOND_CHECK_S, self._check_again, oldest)

    def _check_again(self, overdue: asyncio.Future[Any]) -> None:
        silent = self._loop.time() - self._heard_at >= self._timeout_s
        if silent and self._pending and self._pending[0][0] is overdue:
            self.fail(f"the store did not answer within {self._timeout_s:g} s")
        else:
            self._check_timeout()
