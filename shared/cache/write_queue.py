"""Writes that no call waits for: in order, and under load many in one write to the socket."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice, takewhile

AT_ONCE = 64
PAUSE_S = 0.005
"""Between two writes. One by one, at a thousand a second, they took a process 100 us each: mostly system calls."""

Write = Callable[[], Awaitable[None]]


class WriteQueue:
    """Runs writes in a task of its own while there are any. They must not raise.

    Args:
        name: Of the task.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: deque[tuple[Write, bool]] = deque()
        self._written_at = 0.0
        self.task: asyncio.Task[None] | None = None

    def add(self, write: Write, *, alone: bool = False) -> None:
        """Run a write soon.

        Args:
            write: What to run.
            alone: Whether it must not start before all that were added earlier have ended.
        """
        self._queue.append((write, alone))
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    async def flush(self) -> None:
        """Wait until everything is written."""
        while self.task is not None and not self.task.done():
            await asyncio.wait([self.task])

    async def _run(self) -> None:
        queue, loop = self._queue, asyncio.get_running_loop()
        while queue:
            if queue[0][1]:
                await queue.popleft()[0]()
                continue
            wait_s = self._written_at + PAUSE_S - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._written_at = loop.time()
            together = list(takewhile(lambda each: not each[1], islice(queue, AT_ONCE)))
            for _ in together:
                queue.popleft()
            await asyncio.gather(*(write() for write, _ in together))
