"""Writes that no call waits for: in order, and under load many answers in one command."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

AT_ONCE = 64
BYTES_AT_ONCE = 1024 * 1024
"""An answer that is larger leaves by itself."""
PAUSE_S = 0.005
"""Between two writes. One by one, at a thousand a second, they took a process 100 us each: mostly system calls."""

Write = Callable[[], Awaitable[None]]
T = TypeVar("T")


class _After(NamedTuple):
    """A write that must not start before all that were added earlier have ended."""

    write: Write


class WriteQueue(Generic[T]):
    """Writes what is added in a task of its own while there is any.

    Args:
        name: Of the task.
        together: Writes some of what was added; must not raise.
        size_of: Returns the bytes of what was added.
    """

    def __init__(
        self, name: str, together: Callable[[Sequence[T]], Awaitable[None]], size_of: Callable[[T], int]
    ) -> None:
        self._name = name
        self._together = together
        self._size_of = size_of
        self._queue: deque[T | _After] = deque()
        self._written_at = 0.0
        self.task: asyncio.Task[None] | None = None

    def add(self, item: T) -> None:
        """Write something soon."""
        self._put(item)

    def after(self, write: Write) -> None:
        """Run a write soon, after all that were added earlier; it must not raise."""
        self._put(_After(write))

    async def flush(self) -> None:
        """Wait until everything is written."""
        while self.task is not None and not self.task.done():
            await asyncio.wait([self.task])

    def _put(self, item: T | _After) -> None:
        self._queue.append(item)
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    async def _run(self) -> None:
        queue, loop = self._queue, asyncio.get_running_loop()
        while queue:
            if isinstance(first := queue[0], _After):
                queue.popleft()
                await first.write()
                continue
            wait_s = self._written_at + PAUSE_S - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._written_at = loop.time()
            await self._together(self._taken())

    def _taken(self) -> list[T]:
        """Take the next items that may be written together off the queue, one at least."""
        queue, taken, size = self._queue, list[T](), 0
        while queue and len(taken) < AT_ONCE and not isinstance(item := queue[0], _After):
            size += self._size_of(item)
            if taken and size > BYTES_AT_ONCE:
                break
            taken.append(item)
            queue.popleft()
        return taken
