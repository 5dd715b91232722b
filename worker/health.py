"""The heartbeat keys of a worker, which `arq --check` reads."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from redis.exceptions import RedisError

from shared.errors import StoreUnavailable
from shared.jobs import keys
from shared.jobs.capacity import CapacityReport
from shared.jobs.scripts import EngineScripts
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
    """

    def __init__(
        self, scripts: EngineScripts, worker_id: str, describe: Callable[[], str], capacity: CapacityReport
    ) -> None:
        self._scripts = scripts
        self._key = keys.worker_health(worker_id)
        self._describe = describe
        self._capacity = capacity

    async def run(self) -> None:
        """Refresh the keys until cancelled."""
        while True:
            text = f"{datetime.now(UTC):%b-%d %H:%M:%S} {self._describe()}"
            marks: list[Command] = [("SET", key, text, "PX", TTL_MS) for key in (self._key, keys.HEALTH)]
            try:
                await self._scripts.execute_many([*marks, *self._capacity.commands()])
            except StoreUnavailable:
                logger.debug("heartbeat skipped: the store is unavailable")
            except Exception:  # a missed heartbeat is no reason to stop work
                logger.exception("heartbeat failed")
            await asyncio.sleep(EVERY_S)

    async def end(self) -> None:
        """Delete this worker's key; the shared one expires when no other worker refreshes it."""
        try:
            await self._scripts.execute_many([("DEL", self._key), *self._capacity.leave()])
        except (StoreUnavailable, RedisError):
            logger.debug("the heartbeat key was not deleted; it expires by itself")
