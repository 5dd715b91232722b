"""The handle of one run: emits events while the job runs, and carries the reason for a cancellation."""

import asyncio
from collections.abc import Callable

from shared.jobs.model import Claim

# As many as a job's event log keeps; a run that emits more while the store is unavailable loses the oldest.
MAX_PENDING_EVENTS = 10_000
DRAIN_ABOVE = 256


class RunHandle:
    """One run of a job, from claim to record.

    Attributes:
        claim: The job and its lease.
        pending_events: Names and data of events that are not in the log yet.
        flushed: How many events were written.
        cancelled: Why the run's task was cancelled: ``cancelled``, ``deadline``, ``lost_lease``, ``shutdown``; or "".
    """

    __slots__ = (
        "_on_event", "_room", "cancelled", "cancelled_at", "claim", "flushed", "pending_events", "started_at", "task",
        "until",
    )  # fmt: skip

    def __init__(self, claim: Claim, started_at: float, until: float, on_event: "Callable[[RunHandle], None]") -> None:
        self.claim = claim
        self.cancelled = ""
        self.started_at = started_at
        self.until = until
        self.cancelled_at = 0.0
        self.task: asyncio.Task[None] | None = None
        self.pending_events: list[tuple[str, bytes]] = []
        self.flushed = 0
        self._on_event = on_event
        self._room: asyncio.Future[None] | None = None

    def emit(self, name: str, data: bytes) -> None:
        """Add an event to the job's event log; written soon, in order, before the outcome.

        Args:
            name: ``delta``, or the provider's own event name; names that begin with ``job.`` are reserved.
            data: JSON.

        Raises:
            ValueError: The name is reserved or has more than one line.
        """
        if name.startswith("job.") or "\n" in name:
            raise ValueError("event names starting with job. are reserved, and a name must be one line")
        if len(self.pending_events) >= MAX_PENDING_EVENTS:
            del self.pending_events[: MAX_PENDING_EVENTS // 10]
        self.pending_events.append((name, data))
        self._on_event(self)

    async def drain(self) -> None:
        """Wait while more than ``DRAIN_ABOVE`` events are pending; for loops that emit a lot."""
        while len(self.pending_events) > DRAIN_ABOVE:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

    def mark_flushed(self, count: int) -> None:
        """Remove the first ``count`` pending events: they are in the log, or the run was dropped."""
        del self.pending_events[:count]
        self.flushed += count
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    def stop(self, why: str, now: float) -> None:
        """Cancel the run; the first reason is kept."""
        if not self.cancelled:
            self.cancelled = why
            self.cancelled_at = now
        if self.task is not None:
            self.task.cancel()
