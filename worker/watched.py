"""Background parts of a worker process: one that ends by an error is started again; one that keeps failing ends it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from shared.background import PART_FAILURES

RESTART_S = 1.0
MAX_FAILURES = 5
CALM_S = 60.0
"""A part that has run for so long counts as healthy: its failures before are forgotten."""

logger = logging.getLogger("finops.worker")


class WatchedParts:
    """Runs background parts until cancelled.

    Args:
        give_up: Called when a part has failed ``MAX_FAILURES`` times in a row: the process ends in order, and whoever
            started it starts another.
        restart_s: Pause before a part is started again, in seconds.
    """

    def __init__(self, give_up: Callable[[], None], restart_s: float = RESTART_S) -> None:
        self._give_up = give_up
        self._restart_s = restart_s
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a part in the background; ``run`` is called again after each failure."""
        self._tasks.append(asyncio.create_task(self._keep_running(name, run), name=f"finops-{name}"))

    async def aclose(self) -> None:
        """Cancel every part and wait for its end."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _keep_running(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while True:
            started = time.monotonic()
            try:
                await run()
            except Exception:
                logger.exception("a background part failed", extra={"part": name, "failures": failures + 1})
            else:
                logger.error("a background part ended", extra={"part": name, "failures": failures + 1})
            PART_FAILURES.note(name)
            failures = 1 if time.monotonic() - started > CALM_S else failures + 1
            if failures >= MAX_FAILURES:
                logger.critical("a background part keeps failing; the worker stops", extra={"part": name})
                self._give_up()
                return
            await asyncio.sleep(self._restart_s)
