"""Tracks requests that wait for jobs, so that a stopping process can answer them at once."""

import asyncio
from types import TracebackType


class LongPolls:
    """The long-polls and event streams of a process.

    Attributes:
        ending: Whether the process is stopping; new requests do not wait.
    """

    def __init__(self) -> None:
        self.ending = False
        self._tasks: set[asyncio.Task[object]] = set()

    def interruptible(self) -> "Interruptible":
        """A context that is left early, without an error, when the process stops."""
        return Interruptible(self, self._tasks)

    @property
    def open(self) -> int:
        """The number of waiting requests."""
        return len(self._tasks)

    def end(self) -> None:
        """Stop all waits; their requests answer with the current state."""
        self.ending = True
        for task in self._tasks:
            task.cancel()


class Interruptible:
    """See ``LongPolls.interruptible``."""

    __slots__ = ("_task", "_tasks", "_waits")

    def __init__(self, waits: LongPolls, tasks: set["asyncio.Task[object]"]) -> None:
        self._waits = waits
        self._tasks = tasks
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> None:
        """Be known from here on."""
        self._task = asyncio.current_task()
        if self._task is not None:
            self._tasks.add(self._task)

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        """Forget it; swallow the cancellation that the end of the process has caused."""
        if self._task is None:
            return False
        self._tasks.discard(self._task)
        return kind is asyncio.CancelledError and self._waits.ending and self._task.uncancel() == 0
