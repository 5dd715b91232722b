"""Single flight across processes: one of them calls, the others wait for what it stores."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from redis.exceptions import ResponseError

from shared.cache import keyspace
from shared.cache.store import CacheStore, Found, Slot
from shared.store.errors import StoreConnectionError

LOCK_S = 10.0
"""When a process dies that calls, another one takes over within this time."""
AWAITED_S = 3.0
POLL_S = 0.05


class FlightLock:
    """The right to call upstream for an entry.

    Args:
        store: The stored answers.
        slot: The entry's.
    """

    def __init__(self, store: CacheStore, slot: Slot) -> None:
        self._store = store
        self._slot = slot
        self._lock_ms = round(LOCK_S * 1000)
        self._token = secrets.token_hex(8)
        self._timer: asyncio.TimerHandle | None = None  # while it is held
        self._tasks: set[asyncio.Task[None]] = set()

    async def acquire(self, max_age_s: float) -> Found | None:
        """Wait until this process may call, or the answer is stored.

        Args:
            max_age_s: The oldest answer that is served.

        Returns:
            The answer; None: call, as this process holds the lock, or the store does not answer.
        """
        waits = False
        while True:
            try:
                held, found = await self._ask(waits=waits)
            except (StoreConnectionError, ResponseError):
                return None
            if held:
                self._hold()
            if found.is_fresh(max_age_s):
                self.release()
                return found
            if held:
                return None
            waits = True
            await asyncio.sleep(POLL_S)

    async def _ask(self, *, waits: bool) -> tuple[bool, Found]:
        """Try to lock, then read: an answer that was stored before its lock was released is seen."""
        commands: list[tuple[str | int, ...]] = [
            ("SET", keyspace.lock(self._slot.id), self._token, "NX", "PX", self._lock_ms),
            ("MGET", *self._slot.keys()),
        ]
        if waits:
            commands.append(("SET", keyspace.awaited(self._slot.id), 1, "PX", round(AWAITED_S * 1000)))
        locked, replies, *_ = await self._store.commands.execute_many(commands)
        return locked is not None, self._store.read(self._slot, replies)

    def _hold(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._lock_ms / 3000, self._renew)

    def _renew(self) -> None:
        self._start(self._extend(self._lock_ms))
        self._hold()

    def release(self) -> None:
        """Let another process call, after what waits to be stored is written; does nothing unless it is held."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self._store.after_writes(lambda: self._extend(0))

    async def _extend(self, lock_ms: int) -> None:
        """Renew the lock if it is still this one; 0: remove it."""
        try:
            await self._store.run("lock", (keyspace.lock(self._slot.id),), (self._token, lock_ms))
        except (StoreConnectionError, ResponseError):
            return  # it ends by itself

    def stop_when_unwanted(self, stop: Callable[[], None]) -> None:
        """Call ``stop`` as soon as no other process waits for the answer."""
        self._start(self._watch(stop))

    async def _watch(self, stop: Callable[[], None]) -> None:
        while self._timer is not None:
            try:
                awaited = await self._store.commands.execute("EXISTS", keyspace.awaited(self._slot.id))
            except (StoreConnectionError, ResponseError):
                awaited = 0
            if not awaited:
                stop()
                return
            await asyncio.sleep(AWAITED_S / 3)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="finops-cache-flight")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
