"""Writes the events and outcomes of runs: in batches, in order, and retried through store outages."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from redis.exceptions import ResponseError

from shared import clock
from shared.errors import InternalError, StoreUnavailable
from shared.jobs.model import UNKNOWN_HISTORY, Deferral, Outcome, State
from shared.jobs.queue import JobQueue
from shared.jobs.store import Finish, JobStore
from worker.handle import RunHandle

MAX_ITEMS = 256
MAX_BYTES = 4 * 1024 * 1024
MAX_EVENTS = 500

logger = logging.getLogger("finops.worker")

T = TypeVar("T")
Ending = Outcome | Deferral
OnRecorded = Callable[[RunHandle, Ending, bool], None]


def internal_error() -> Outcome:
    """Return the outcome of a run that failed unexpectedly."""
    error = InternalError("The job failed inside the gateway; see the log entries with its id.")
    return Outcome(
        state=State.FAILED, status_code=error.status, error=error.envelope()["error"], history=UNKNOWN_HISTORY
    )


class Recorder:
    """The only writer of a worker's runs.

    Whatever arrives during a write is sent together in the next one. A write that got no answer is repeated until it
    does; writes are fenced, so repeating them is harmless, and those of jobs that another worker took over are dropped.
    A write that is refused is repeated too, unless the store takes other writes: then the ending itself is at fault.

    Args:
        store: Takes outcomes.
        queue: Takes deferrals.
        on_recorded: Called for each ending with the handle, the ending, and whether it was accepted.
    """

    def __init__(self, store: JobStore, queue: JobQueue, on_recorded: OnRecorded) -> None:
        self._store = store
        self._queue = queue
        self._on_recorded = on_recorded
        self._endings: dict[RunHandle, Ending] = {}
        self._emitting: dict[RunHandle, None] = {}
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def note_events(self, handle: RunHandle) -> None:
        """Schedule a write of the pending events of a run."""
        if handle not in self._emitting:
            self._emitting[handle] = None
            self._wake()

    def end(self, handle: RunHandle, ending: Ending) -> None:
        """Schedule a write of a run's ending; the first ending is kept."""
        self._endings.setdefault(handle, ending)
        self._emitting.pop(handle, None)
        self._wake()

    def forget(self, handle: RunHandle) -> None:
        """Drop the pending events of a run."""
        self._emitting.pop(handle, None)

    def is_ending(self, handle: RunHandle) -> bool:
        """Tell whether the ending of a run waits to be written."""
        return handle in self._endings

    async def until_idle(self) -> None:
        """Wait until everything is written."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._endings or self._emitting:
                await self._write_some()
            self._idle.set()

    def _wake(self) -> None:
        self._idle.clear()
        self._work.set()

    async def _write_some(self) -> None:
        deferred = [(h, e) for h, e in self._endings.items() if isinstance(e, Deferral) and not h.pending_events][
            :MAX_ITEMS
        ]
        items = self._next_items()
        if items:
            await self._write_items(items)
        if deferred:
            await asyncio.gather(*(self._write_deferral(handle, ending) for handle, ending in deferred))

    def _next_items(self) -> list[tuple[RunHandle, Finish]]:
        """Return the next items to write: endings with the events before them first, then events of other runs."""
        items: list[tuple[RunHandle, Finish]] = []
        size = 0
        for handle in (*self._endings, *self._emitting):
            if len(items) >= MAX_ITEMS or size >= MAX_BYTES:
                break
            ending = self._endings.get(handle)
            events = handle.pending_events[:MAX_EVENTS]
            # A run with more events than fit has its ending in a later write.
            outcome = ending if isinstance(ending, Outcome) and len(events) == len(handle.pending_events) else None
            if outcome is None and not events:
                self._emitting.pop(handle, None) if handle not in self._endings else None
                continue
            items.append((handle, Finish(handle.claim, outcome, events, handle.flushed)))
            size += sum(len(data) for _, data in events) + (len(outcome.result) if outcome else 0)
        return items

    async def _write_items(self, items: Sequence[tuple[RunHandle, Finish]]) -> None:
        batch = [finish for _, finish in items]
        try:
            answers = await self._retry_until_answered(lambda: self._store.finish_many(batch))
        except Exception as error:  # noqa: BLE001 - nothing may end the writer
            if len(items) > 1:  # find the one that cannot be written, so that the others are
                for item in items:
                    await self._write_items([item])
            else:
                self._replace_refused(*items[0], error)
            return
        for (handle, finish), accepted in zip(items, answers, strict=True):
            self._mark_written(handle, finish, accepted)

    async def _retry_until_answered(self, send: Callable[[], Awaitable[T]]) -> T:
        """Send until the store takes it.

        Raises:
            Exception: What was sent is at fault: the store takes other writes.
        """
        failures = 0
        while True:
            try:
                return await send()
            except (StoreUnavailable, ResponseError) as error:
                if isinstance(error, ResponseError) and await self._store.is_writable():
                    raise
                if failures == 0:
                    logger.warning(
                        "outcomes are waiting for the store: %s", error, extra={"waiting": len(self._endings)}
                    )
                await asyncio.sleep(clock.back_off_s(failures))
                failures += 1

    def _replace_refused(self, handle: RunHandle, finish: Finish, error: Exception) -> None:
        """Record a failure if the store rejects an outcome; if that is rejected too, the lease runs out."""
        logger.error("an outcome could not be written", exc_info=error, extra={"job_id": handle.claim.id})
        handle.mark_flushed(len(finish.events))
        self._emitting.pop(handle, None)
        if handle not in self._endings:
            return
        if self._endings[handle] != (failure := internal_error()):
            self._endings[handle] = failure
        else:
            self._on_recorded(handle, self._endings.pop(handle), False)

    def _mark_written(self, handle: RunHandle, finish: Finish, accepted: bool) -> None:
        if finish.events:
            handle.mark_flushed(len(finish.events))
        if finish.outcome is not None:
            self._endings.pop(handle, None)
            self._on_recorded(handle, finish.outcome, accepted)
        elif not accepted or not handle.pending_events:
            self._emitting.pop(handle, None)

    async def _write_deferral(self, handle: RunHandle, deferral: Deferral) -> None:
        try:
            accepted = await self._retry_until_answered(lambda: self._queue.defer(handle.claim, deferral))
        except Exception:
            logger.exception("a deferral could not be written", extra={"job_id": handle.claim.id})
            accepted = False
        self._endings.pop(handle, None)
        self._on_recorded(handle, deferral, accepted)
