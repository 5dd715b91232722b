"""The connections of one origin: used ones kept for a while, the newest first, never more than a limit."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import httpx

from shared.providers.transport.connection import Connection
from shared.providers.transport.origin import Limits, Timeouts

Connect = Callable[[Connection, float], Awaitable[None]]


class OriginStats(NamedTuple):
    """Connections of an origin: open, idle and in use; and requests that wait."""

    open: int
    idle: int
    in_flight: int
    waiting: int


class OriginPool:
    """Hands out connections: an idle one, a new one, or, at the limit, the next that becomes free.

    A slot is held for every connection that is open or being opened. It goes from a closed connection straight to
    the first request that waits, so that late arrivals cannot overtake.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        connect: Connect,
        on_empty: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._limits = limits
        self._connect = connect
        self._on_empty = on_empty
        self._slots = 0
        self._asking = 0  # requests inside `open`
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._closed = False
        self.max_idle_s = limits.max_idle_s
        self.time = loop.time  # looking the loop up for each request asks the kernel for the process id

    def take_idle(self) -> Connection | None:
        """The connection used last, if one is idle: it is the least likely to have been closed by the peer."""
        return self._idle.pop() if self._idle else None

    async def open(self, timeouts: Timeouts, total_at: float) -> Connection:
        """Get a connection when none is idle, or when an idle one is not wanted.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout: It cannot be made.
            httpx.PoolTimeout: The limit is reached and none became free in time.
        """
        self._asking += 1
        try:
            connection = await self._wait_for_turn(min(self._loop.time() + timeouts.pool_s, total_at))
            if connection is None:
                connection = await self._fill_slot(min(timeouts.connect_s, total_at - self._loop.time()))
        finally:
            self._asking -= 1
            self._retire_if_unused()
        if self._closed:
            connection.drop(_closed())
            raise _closed()
        return connection

    def opened(self, connection: Connection) -> None:
        """Count a connection in, which holds its slot itself from now on."""
        self._open.add(connection)

    def free(self, connection: Connection) -> None:
        """Take a connection back, or pass it on."""
        waiter = self._next_waiter()
        if waiter is None:
            self._idle.append(connection)
        else:
            waiter.set_result(connection)

    def lost(self, connection: Connection) -> None:
        """Forget a closed connection and give its slot to whoever waits."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._release_slot()

    def stats(self) -> OriginStats:
        """Count."""
        opened, idle = len(self._open), len(self._idle)
        return OriginStats(opened, idle, opened - idle, len(self._waiters))

    async def aclose(self) -> None:
        """Close every connection and wait until the sockets are gone; nothing is opened any more."""
        self._closed = True
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(_closed())
        connections = list(self._open)
        for connection in connections:
            connection.drop(httpx.ReadError("the transport was closed"))
        await asyncio.gather(*(connection.closed for connection in connections))

    def _claim_slot(self) -> bool:
        """Get room for a new connection, if need be in place of the one idle for longest."""
        if self._slots >= self._limits.max_connections and not self._idle:
            return False
        self._slots += 1
        if self._slots > self._limits.max_connections:
            self._idle[0].drop(httpx.ReadError("made room for another"))
        return True

    async def _wait_for_turn(self, until: float) -> Connection | None:
        """Get a connection, or None: a slot to fill."""
        while not self._claim_slot():
            waiter: asyncio.Future[Connection | None] = self._loop.create_future()
            connection = await self._queue_up(waiter, until)
            if connection is None or connection.usable:
                return connection
        return None

    async def _fill_slot(self, limit_s: float) -> Connection:
        connection = Connection(self._loop, self)
        try:
            await self._connect(connection, limit_s)
        except BaseException:
            if connection.made:
                connection.drop(_closed())
            else:
                self._release_slot()
            raise
        return connection

    async def _queue_up(self, waiter: asyncio.Future[Connection | None], until: float) -> Connection | None:
        """Wait for a connection, or for None: a slot to fill."""
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout_at(None if until == math.inf else until):
                return await waiter
        except TimeoutError:
            self._withdraw(waiter)
            message = f"all {self._limits.max_connections} connections stayed busy"
            raise httpx.PoolTimeout(message) from None
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise

    def _withdraw(self, waiter: asyncio.Future[Connection | None]) -> None:
        """Stop waiting, and pass on what had just been handed over."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if waiter.cancelled() or waiter.exception() is not None:
            return
        connection = waiter.result()
        if connection is None:
            self._release_slot()
        elif connection.usable:
            self.free(connection)

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _release_slot(self) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(None)
            return
        self._slots -= 1
        self._retire_if_unused()

    def _retire_if_unused(self) -> None:
        if self._slots == 0 and self._asking == 0:
            self._on_empty()


def _closed() -> httpx.ConnectError:
    return httpx.ConnectError("the transport was closed")
