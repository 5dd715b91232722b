"""What a run holds of the engine: a way to speak while it goes on, and why it is told to stop."""

import asyncio
from collections.abc import Callable

from shared.jobs.model import Claim

# As many as a job's event log keeps; whoever emits more while the store is away loses the oldest.
MAX_UNWRITTEN = 10_000
DRAIN_ABOVE = 256


class RunHandle:
    """One run of a job, from claim to record.

    Attributes:
        claim: The job and its lease.
        cancelled: Why the run's task was cancelled: ``cancelled``, ``deadline``, ``lost_lease``, ``shutdown``; or "".
    """

    __slots__ = (
        "_on_words", "_room", "cancelled", "cancelled_at", "claim", "started_at", "task", "until",
        "unwritten", "written",
    )  # fmt: skip

    def __init__(self, claim: Claim, started_at: float, until: float, on_words: "Callable[[RunHandle], None]") -> None:
        self.claim = claim
        self.cancelled = ""
        self.started_at = started_at
        self.until = until
        self.cancelled_at = 0.0
        self.task: asyncio.Task[None] | None = None
        self.unwritten: list[tuple[str, bytes]] = []
        self.written = 0
        self._on_words = on_words
        self._room: asyncio.Future[None] | None = None

    def emit(self, name: str, data: bytes) -> None:
        """Say something to whoever follows the job's events; written soon, in order, before the outcome.

        Args:
            name: ``delta``, or the provider's own event name; names that begin with ``job.`` are the engine's.
            data: JSON.

        Raises:
            ValueError: The name is the engine's, or no name.
        """
        if name.startswith("job.") or "\n" in name:
            raise ValueError("events named job.* are the engine's own, and a name is one line")
        if len(self.unwritten) >= MAX_UNWRITTEN:
            del self.unwritten[: MAX_UNWRITTEN // 10]
        self.unwritten.append((name, data))
        self._on_words(self)

    async def drain(self) -> None:
        """Wait while too much is unwritten; for loops that emit a lot."""
        while len(self.unwritten) > DRAIN_ABOVE:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

    def words_written(self, count: int) -> None:
        """The first ``count`` unwritten events are in the log (or nobody wants them any more)."""
        del self.unwritten[:count]
        self.written += count
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    def stop(self, why: str, now: float) -> None:
        """Cancel the run; the first reason stays."""
        if not self.cancelled:
            self.cancelled = why
            self.cancelled_at = now
        if self.task is not None:
            self.task.cancel()
