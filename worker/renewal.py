"""Renews the leases of running jobs from a thread, so that a busy event loop does not look like a dead worker."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

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
        limits: The lease time.
        leases: Returns ids and tokens of the running jobs; called from the thread.
        last_moved: Returns when the event loop last ran, by ``time.monotonic``; called from the thread.
        stall_s: After an event loop has stalled for longer, leases are no longer renewed: other workers take its jobs.
        report: Called with the number of renewed leases and the lost tokens; called from the thread.
        shard: Whose leases they are.
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
        shard: int = 0,
    ) -> None:
        self._shard = shard
        self._url = url
        self._limits = limits
        self._leases = leases
        self._last_moved = last_moved
        self._stall_s = stall_s
        self._report = report
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="finops-leases", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def stop(self) -> None:
        """Stop the thread and wait for it."""
        self._stopped.set()
        await asyncio.to_thread(self._thread.join)

    def _beat(self) -> None:
        period_s = self._limits.lease_s / 3
        stalled = False
        with asyncio.Runner() as runner:
            queue, commands = self._open()
            try:
                while not self._stopped.wait(period_s):
                    if self._is_stalled():
                        if not stalled:
                            logger.error("the event loop is stalled; leases are no longer renewed")
                        stalled = True
                        continue
                    stalled = False
                    runner.run(self._renew(queue))
            finally:
                with suppress(RedisError):  # a busy machine takes longer to close a connection than redis-py waits
                    runner.run(commands.aclose())

    def _open(self) -> tuple[JobQueue, PooledCommands]:
        limits = QueueLimits(lease_s=self._limits.lease_s)
        timeout_s = max(self._limits.lease_s / 3, 0.5)
        commands = PooledCommands(
            connect(
                self._url,
                timeout_s=timeout_s,
                connect_timeout_s=timeout_s,
                client_name="finops-leases",
                shard=self._shard,
            ),
            shard=self._shard,
        )
        return JobQueue(commands, limits), commands

    def _is_stalled(self) -> bool:
        return time.monotonic() - self._last_moved() > self._stall_s

    async def _renew(self, queue: JobQueue) -> None:
        """Renew all leases once, retrying until the store answers rather than waiting for the next period."""
        while not self._stopped.is_set() and not self._is_stalled():
            leases = self._leases()
            if not leases:
                return
            try:
                lost = await queue.renew(leases)
            except Exception as error:
                if not isinstance(error, StoreUnavailable | RedisError):
                    logger.exception("leases could not be renewed; trying again")
                await asyncio.sleep(min(self._limits.lease_s / 10, 0.2))
                continue
            self._report(len(leases) - len(lost), lost)
            return
