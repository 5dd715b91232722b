"""The heartbeat of a worker: keys that `arq --check` reads, its capacity, and its entry among the workers."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from redis.exceptions import RedisError

from shared.errors import StoreUnavailable
from shared.jobs import keys
from shared.jobs.capacity import CapacityReport
from shared.jobs.scripts import EngineScripts
from shared.jobs.workers import WorkerRecord
from shared.store.commands import Command

EVERY_S = 1.0
TTL_MS = 5000

logger = logging.getLogger("finops.worker")


class Heartbeat:
    """Refreshes two short-lived keys: this worker's own, and one that all workers share.

    The shared key exists while any worker runs, so `arq --check` succeeds exactly while jobs are processed.

    Args:
        scripts: The store.
        worker_id: The worker.
        describe: Returns the text of the keys, in arq's format.
        capacity: What the worker can do, written along with the keys.
        record: Returns the worker's entry among the running workers; None: it has none.
    """

    def __init__(
        self,
        scripts: EngineScripts,
        worker_id: str,
        describe: Callable[[], str],
        capacity: CapacityReport,
        record: Callable[[], WorkerRecord] | None = None,
    ) -> None:
        self._scripts = scripts
        self._key = keys.worker_health(worker_id)
        self._describe = describe
        self._capacity = capacity
        self._worker_id = worker_id
        self._record = record

    async def run(self) -> None:
        """Refresh the keys until cancelled."""
        while True:
            text = f"{datetime.now(UTC):%b-%d %H:%M:%S} {self._describe()}"
            marks: list[Command] = [("SET", key, text, "PX", TTL_MS) for key in (self._key, keys.HEALTH)]
            entry = self._record().announcement() if self._record else ()
            try:
                await self._scripts.execute_many([*marks, *entry, *self._capacity.commands()])
            except StoreUnavailable:
                logger.debug("heartbeat skipped: the store is unavailable")
            except Exception:  # a missed heartbeat is no reason to stop work
                logger.exception("heartbeat failed")
            await asyncio.sleep(EVERY_S)

    async def end(self) -> None:
        """Delete this worker's key and entry; the shared one expires when no other worker refreshes it."""
        try:
            gone: list[Command] = [("DEL", self._key), ("HDEL", keys.WORKERS, self._worker_id)]
            await self._scripts.execute_many([*gone, *self._capacity.leave()])
        except (StoreUnavailable, RedisError):
            logger.debug("the heartbeat key was not deleted; it expires by itself")
