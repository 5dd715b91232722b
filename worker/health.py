"""A worker's sign of life, where `arq --check` looks for it."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from shared.errors import StoreUnavailable
from shared.jobs import keys
from shared.jobs.scripts import EngineScripts

EVERY_S = 1.0
TTL_MS = 5000

logger = logging.getLogger("finops.worker")


class SignOfLife:
    """Keeps two short-lived keys: this worker's own, and the one that all workers share.

    The shared one lives as long as any worker does, so `arq --check` tells whether jobs are being worked off.

    Args:
        scripts: The store.
        worker_id: Whose.
        describe: The figures that the keys hold, as arq words them.
    """

    def __init__(self, scripts: EngineScripts, worker_id: str, describe: Callable[[], str]) -> None:
        self._scripts = scripts
        self._key = keys.worker_health(worker_id)
        self._describe = describe

    async def run(self) -> None:
        """Keep them until cancelled."""
        while True:
            text = f"{datetime.now(UTC):%b-%d %H:%M:%S} {self._describe()}"
            try:
                await self._scripts.execute_many([("SET", key, text, "PX", TTL_MS) for key in (self._key, keys.HEALTH)])
            except StoreUnavailable:
                logger.debug("no sign of life: the store is away")
            await asyncio.sleep(EVERY_S)

    async def end(self) -> None:
        """Take the own key away; the shared one goes by itself when nobody else keeps it."""
        try:
            await self._scripts.execute("DEL", self._key)
        except StoreUnavailable:
            logger.debug("the sign of life ends by itself")
