"""One Redis subscription per process: watches of a channel are notified when a message came, or may have come."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Self

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from shared import clock
from shared.background import keep_running
from shared.jobs.deadlines import Deadlines

PING_S = 10.0
SUBSCRIBE_CHUNK = 1000

logger = logging.getLogger("finops.jobs")


class Watch:
    """A watch of one channel.

    A watch is *due* when a message came since the last wait, when the subscription was confirmed, and when it was
    confirmed again after a lost connection: a reader that checks the store each time it is due misses nothing.
    """

    __slots__ = ("_due", "_future", "_name", "_signals", "messages", "wanted")

    def __init__(self, signals: "Signals", name: bytes, wanted: frozenset[bytes] | None, *, keep: bool) -> None:
        self._signals = signals
        self._name = name
        self.wanted = wanted
        self.messages: list[bytes] | None = [] if keep else None
        self._due = False
        self._future: asyncio.Future[bool] | None = None

    def __enter__(self) -> Self:
        """Start watching."""
        self._signals.add(self._name, self)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self._signals.discard(self._name, self)

    def notify(self, message: bytes | None) -> None:
        """Make the watch due; None: the subscription was confirmed."""
        if message is not None:
            if self.wanted is not None and message not in self.wanted:
                return
            if self.messages is not None:
                self.messages.append(message)
        self._due = True
        if self._future is not None and not self._future.done():
            self._future.set_result(True)

    async def due(self, timeout_s: float) -> bool:
        """Wait until the watch is due, and reset it; False when the timeout, rounded up to ``TICK_S``, comes first."""
        if not self._due:
            self._future = future = asyncio.get_running_loop().create_future()
            tick = self._signals.deadlines.add(future, timeout_s)
            try:
                if not await future:
                    return False
            finally:
                self._future = None
                self._signals.deadlines.discard(tick, future)
        self._due = False
        return True


class Signals:
    """The shared subscription; it connects on first use, and reconnects until closed.

    Args:
        connect: Creates a client for the subscription alone, without a read timeout.
    """

    def __init__(self, connect: Callable[[], Redis]) -> None:
        self.deadlines = Deadlines()
        self._connect = connect
        self._watches: dict[bytes, list[Watch]] = {}
        self._confirmed: set[bytes] = set()
        self._changed: dict[bytes, None] = {}
        self._connection: AbstractConnection | None = None
        self._listener: asyncio.Task[None] | None = None
        self._flusher: asyncio.Task[None] | None = None
        self._closed = False

    def watch(self, channel: str, wanted: frozenset[bytes] | None = None, *, keep: bool = False) -> Watch:
        """Watch a channel while the ``with`` block lasts.

        Args:
            channel: The channel.
            wanted: Messages to notify of; None: all.
            keep: Collect the messages in ``Watch.messages``; the caller empties it.
        """
        return Watch(self, channel.encode(), wanted, keep=keep)

    def add(self, name: bytes, watch: Watch) -> None:
        """Notify a watch of messages on a channel."""
        watches = self._watches.setdefault(name, [])
        watches.append(watch)
        if len(watches) == 1:
            self._change(name)
        if name in self._confirmed:
            watch.notify(None)

    def discard(self, name: bytes, watch: Watch) -> None:
        """Stop notifying a watch."""
        watches = self._watches[name]
        watches.remove(watch)
        if not watches:
            del self._watches[name]
            self._change(name)

    async def aclose(self) -> None:
        """End the subscription; watches are no longer notified."""
        self._closed = True  # in addition to the cancellation, which Python 3.11's wait_for may swallow
        tasks = [task for task in (self._listener, self._flusher) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener = self._flusher = None

    def _change(self, name: bytes) -> None:
        self._changed[name] = None
        if self._listener is None and not self._closed:
            self._listener = keep_running("signals", self._listen)
        if self._flusher is None and self._connection is not None:
            self._flusher = asyncio.create_task(self._flush(self._connection))

    async def _flush(self, connection: AbstractConnection) -> None:
        """Subscribe and unsubscribe changed channels; one turn of the loop collects many."""
        try:
            while self._changed and connection is self._connection:
                names, self._changed = self._changed, {}
                await self._send(connection, b"SUBSCRIBE", [n for n in names if n in self._watches])
                await self._send(connection, b"UNSUBSCRIBE", [n for n in names if n not in self._watches])
        except (RedisError, OSError):
            pass  # the listener sees the same fault, reconnects and subscribes to all channels
        finally:
            self._flusher = None

    async def _send(self, connection: AbstractConnection, verb: bytes, names: list[bytes]) -> None:
        for start in range(0, len(names), SUBSCRIBE_CHUNK):
            chunk = names[start : start + SUBSCRIBE_CHUNK]
            await connection.send_command(verb, *chunk, check_health=False)

    async def _listen(self) -> None:
        failures = 0
        while not self._closed:
            redis = self._connect()
            try:
                connection = await redis.connection_pool.get_connection()
                await self._subscribe_all(connection)
                failures = 0
                await self._read(connection)
            except (RedisError, OSError) as error:
                if failures == 0:
                    logger.warning("the subscription to the store was lost: %s", error)
            finally:
                self._connection = None
                self._confirmed.clear()
                await _close(redis)
            await asyncio.sleep(clock.back_off_s(failures))
            failures += 1

    async def _subscribe_all(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._changed = {}
        await self._send(connection, b"SUBSCRIBE", list(self._watches))

    async def _read(self, connection: AbstractConnection) -> None:
        """Dispatch messages; a silent connection gets a ping, and is dropped when that is not answered."""
        pinged = False
        while not self._closed:
            reply = await connection.read_response(timeout=PING_S)
            if reply is not None:
                pinged = False
                self._take(reply)
            elif pinged:
                raise ConnectionError("no answer to a ping")
            else:
                pinged = True
                await connection.send_command("PING", check_health=False)

    def _take(self, reply: Any) -> None:  # noqa: ANN401 - whatever the server says
        if not isinstance(reply, list):
            return
        if reply[0] == b"message":
            for watch in self._watches.get(reply[1], ()):
                watch.notify(reply[2])
        elif reply[0] == b"unsubscribe":
            self._confirmed.discard(reply[1])
        elif reply[0] == b"subscribe" and reply[1] in self._watches:
            self._confirmed.add(reply[1])
            for watch in self._watches.get(reply[1], ()):
                watch.notify(None)


async def _close(redis: Redis) -> None:
    with contextlib.suppress(RedisError, OSError):
        await redis.connection_pool.disconnect(inuse_connections=True)
        await redis.aclose()
