"""Background parts of a process, one that fails is logged and started again; and work on large bodies in threads."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

RESTART_S = 1.0
LARGE_BYTES = 128 * 1024
"""Larger JSON is parsed in steps and worked on in threads; a smaller one has 65,536 values at most: 10 ms."""

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("finops.background")


async def beside_loop(body: bytes, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Do work on a body; on a large one in a thread, so that the loop serves others meanwhile.

    A thread has the interpreter for 5 ms at most while the loop waits for it, and for each call of a function in C
    longer: work on large bodies does not scan, hash or write all of one in a single call.
    """
    return await asyncio.to_thread(work, *args, **named) if len(body) > LARGE_BYTES else work(*args, **named)


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
