"""Streams that are read on after their callers have left, until their providers have counted them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

MOST_BYTES = 16 * 1024 * 1024
# Events after the last word: the finish, the usage and the end. A caller who misses no more has missed nothing.
ENDING_EVENTS = 4


class LateReads:
    """Keeps the tasks that read on, and ends them at shutdown."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, reading: Coroutine[Any, Any, None]) -> None:
        """Read on in the background."""
        task = asyncio.get_running_loop().create_task(reading, name="finops-late-read")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait(self) -> None:
        """Wait until nothing is being read any more."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def aclose(self) -> None:
        """Stop reading; what has not been counted is charged as reserved."""
        await asyncio.sleep(0)  # a task that is cancelled before its first step would settle nothing
        for task in self._tasks:
            task.cancel()
        await self.wait()
