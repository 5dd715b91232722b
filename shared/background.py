"""Background parts of a process: one that fails is logged and started again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

RESTART_S = 1.0

logger = logging.getLogger("finops.background")


def keep_running(name: str, run: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    """Run a part until it returns or its task is cancelled; after an error it is run again.

    Args:
        name: Names the task ``finops-<name>``, and the part in the log.
        run: The part; called again ``RESTART_S`` after each error that it raises.
    """
    return asyncio.create_task(_keep_running(name, run), name=f"finops-{name}")


async def _keep_running(name: str, run: Callable[[], Awaitable[None]]) -> None:
    failures = 0
    while True:
        try:
            await run()
        except Exception:
            failures += 1
            logger.exception("a background part failed", extra={"part": name, "failures": failures})
        else:
            return
        await asyncio.sleep(RESTART_S)
