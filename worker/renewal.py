"""Keeps the leases of running jobs alive, from a thread: a busy event loop must not look like a dead worker."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence

from redis.exceptions import RedisError

from shared.errors import StoreUnavailable
from shared.jobs.queue import JobQueue, QueueLimits
from shared.store.commands import PooledCommands
from shared.store.connection import connect

logger = logging.getLogger("finops.worker")

Leases = Sequence[tuple[str, str]]


class Renewal:
    """The heartbeat thread.

    Args:
        url: The store.
        limits: The lease.
        leases: Gives the ids and tokens in hand; called from the thread.
        last_moved: When the event loop was last seen to move, by ``time.monotonic``; called from the thread.
        stall_s: An event loop that stands still for longer is given up: its jobs may run elsewhere.
        report: Told how many leases were renewed and which tokens are lost; called from the thread.
    """

    def __init__(
        self,
        url: str,
        limits: QueueLimits,
        *,
        leases: Callable[[], Leases],
        last_moved: Callable[[], float],
        stall_s: float,
        report: Callable[[int, list[str]], None],
    ) -> None:
        self._url = url
        self._limits = limits
        self._leases = leases
        self._last_moved = last_moved
        self._stall_s = stall_s
        self._report = report
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="finops-leases", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    async def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopped.set()
        await asyncio.to_thread(self._thread.join)

    def _beat(self) -> None:
        period_s = self._limits.lease_s / 3
        stalled = False
        with asyncio.Runner() as runner:
            queue, commands = self._open()
            try:
                while not self._stopped.wait(period_s):
                    if self._stands_still():
                        if not stalled:
                            logger.error("the event loop stands still; leases are not renewed any more")
                        stalled = True
                        continue
                    stalled = False
                    runner.run(self._renew(queue))
            finally:
                runner.run(commands.aclose())

    def _open(self) -> tuple[JobQueue, PooledCommands]:
        limits = QueueLimits(lease_s=self._limits.lease_s)
        timeout_s = max(self._limits.lease_s / 3, 0.5)
        commands = PooledCommands(
            connect(self._url, timeout_s=timeout_s, connect_timeout_s=timeout_s, client_name="finops-leases")
        )
        return JobQueue(commands, limits), commands

    def _stands_still(self) -> bool:
        return time.monotonic() - self._last_moved() > self._stall_s

    async def _renew(self, queue: JobQueue) -> None:
        """Once, or until the store answers: then the next beat must not be waited for."""
        while not self._stopped.is_set() and not self._stands_still():
            leases = self._leases()
            if not leases:
                return
            try:
                lost = await queue.renew(leases)
            except (StoreUnavailable, RedisError):
                await asyncio.sleep(min(self._limits.lease_s / 10, 0.2))
                continue
            self._report(len(leases) - len(lost), lost)
            return
