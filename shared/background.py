"""Background parts of a process, one that fails is logged and started again; and work on large bodies in threads."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

RESTART_S = 1.0
LARGE_BYTES = 128 * 1024
"""Larger JSON is parsed in steps and worked on in threads; a smaller one has 65,536 values at most: 10 ms."""

MAPPED_BYTES = 1024 * 1024
_M_MMAP_THRESHOLD = -3  # https://man7.org/linux/man-pages/man3/mallopt.3.html

RECENT_S = 600.0
"""Failures of the last so many seconds are reported; one that stays alone is forgotten."""
MAX_NOTED = 1000

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("finops.background")


class PartFailures:
    """Which background parts of the process have failed lately."""

    def __init__(self) -> None:
        self._failed: dict[str, deque[float]] = {}

    def note(self, part: str) -> None:
        """Count a failure, or an end that nobody asked for."""
        self._failed.setdefault(part, deque(maxlen=MAX_NOTED)).append(time.monotonic())

    def recent(self, within_s: float = RECENT_S) -> dict[str, int]:
        """Return how often each part has failed in the last ``within_s`` seconds; parts that have not are left out."""
        since = time.monotonic() - within_s
        counts = {part: sum(at >= since for at in times) for part, times in sorted(self._failed.items())}
        return {part: count for part, count in counts.items() if count}


PART_FAILURES = PartFailures()
"""Of this process; health and the worker's announcement report them."""


async def beside_loop(body: bytes, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Do work on a body; on a large one in a thread, so that the loop serves others meanwhile.

    A thread has the interpreter for 5 ms at most while the loop waits for it, and for each call of a function in C
    longer: work on large bodies does not scan, hash or write all of one in a single call.
    """
    return await asyncio.to_thread(work, *args, **named) if len(body) > LARGE_BYTES else work(*args, **named)


def map_large_blocks() -> bool:
    """Have blocks of a megabyte and more mapped one by one: they grow without a copy, and are returned when freed.

    glibc raises that limit to 32 MB as such blocks are freed, and then copies a body that grows again and again: 30 ms
    at one piece, where it is 1 ms.

    Returns:
        Whether the limit is set; False with another C library.
    """
    import ctypes  # noqa: PLC0415 - it takes 5 ms, and only processes that serve need it

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES))


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
            PART_FAILURES.note(name)
            logger.exception("a background part failed", extra={"part": name, "failures": failures})
        else:
            return
        await asyncio.sleep(RESTART_S)
