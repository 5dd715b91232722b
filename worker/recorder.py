"""Writes what runs say and how they end, many at a time, in order, through whatever happens to the store."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from shared import clock
from shared.errors import InternalError, StoreUnavailable
from shared.jobs.model import Deferral, Outcome, State
from shared.jobs.queue import JobQueue
from shared.jobs.store import Finish, JobStore
from worker.handle import RunHandle

MAX_ITEMS = 256
MAX_BYTES = 4 * 1024 * 1024
MAX_WORDS = 500

logger = logging.getLogger("finops.worker")

T = TypeVar("T")
Ending = Outcome | Deferral
OnRecorded = Callable[[RunHandle, Ending, bool], None]


def internal_error() -> Outcome:
    """The outcome of a run that failed in a way nobody foresaw."""
    error = InternalError("The job failed inside the gateway; the log has the details under its id.")
    return Outcome(state=State.FAILED, status_code=error.status, error=error.envelope()["error"])


class Recorder:
    """The one writer of a worker's runs.

    What arrives while a write is under way leaves together in the next. A write that the store did not answer is
    repeated until it does; it is fenced, so repeating does no harm, and what another worker has taken over is dropped.

    Args:
        store: Where outcomes go.
        queue: Where deferrals go.
        on_recorded: Told of each ending: whose, what, and whether it counted.
    """

    def __init__(self, store: JobStore, queue: JobQueue, on_recorded: OnRecorded) -> None:
        self._store = store
        self._queue = queue
        self._on_recorded = on_recorded
        self._endings: dict[RunHandle, Ending] = {}
        self._speakers: dict[RunHandle, None] = {}
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def words(self, handle: RunHandle) -> None:
        """A run has said something."""
        if handle not in self._speakers:
            self._speakers[handle] = None
            self._wake()

    def end(self, handle: RunHandle, ending: Ending) -> None:
        """A run has ended; the first ending stays."""
        self._endings.setdefault(handle, ending)
        self._speakers.pop(handle, None)
        self._wake()

    def forget(self, handle: RunHandle) -> None:
        """A run is nobody's business any more; what it said last is dropped."""
        self._speakers.pop(handle, None)

    def is_ending(self, handle: RunHandle) -> bool:
        """Whether its ending waits to be written."""
        return handle in self._endings

    async def until_idle(self) -> None:
        """Wait until everything is written."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._endings or self._speakers:
                await self._write_some()
            self._idle.set()

    def _wake(self) -> None:
        self._idle.clear()
        self._work.set()

    async def _write_some(self) -> None:
        deferred = [(h, e) for h, e in self._endings.items() if isinstance(e, Deferral) and not h.unwritten][:MAX_ITEMS]
        items = self._next_items()
        if items:
            await self._write_items(items)
        if deferred:
            await asyncio.gather(*(self._write_deferral(handle, ending) for handle, ending in deferred))

    def _next_items(self) -> list[tuple[RunHandle, Finish]]:
        """Endings first, each with what its run said before; then what others said."""
        items: list[tuple[RunHandle, Finish]] = []
        size = 0
        for handle in (*self._endings, *self._speakers):
            if len(items) >= MAX_ITEMS or size >= MAX_BYTES:
                break
            ending = self._endings.get(handle)
            words = handle.unwritten[:MAX_WORDS]
            # A run that said more than fits has its ending in a later write.
            outcome = ending if isinstance(ending, Outcome) and len(words) == len(handle.unwritten) else None
            if outcome is None and not words:
                self._speakers.pop(handle, None) if handle not in self._endings else None
                continue
            items.append((handle, Finish(handle.claim, outcome, words, handle.written)))
            size += sum(len(data) for _, data in words) + (len(outcome.result) if outcome else 0)
        return items

    async def _write_items(self, items: Sequence[tuple[RunHandle, Finish]]) -> None:
        batch = [finish for _, finish in items]
        try:
            answers = await self._insist(lambda: self._store.finish_many(batch))
        except Exception as error:  # noqa: BLE001 - nothing may end the writer
            if len(items) > 1:  # find the one that cannot be written; the others must not suffer
                for item in items:
                    await self._write_items([item])
            else:
                self._replace(*items[0], error)
            return
        for (handle, finish), accepted in zip(items, answers, strict=True):
            self._written(handle, finish, accepted)

    async def _insist(self, send: Callable[[], Awaitable[T]]) -> T:
        """Send until answered."""
        failures = 0
        while True:
            try:
                return await send()
            except StoreUnavailable as error:
                if failures == 0:
                    logger.warning(
                        "outcomes wait for the store: %s", error.message, extra={"waiting": len(self._endings)}
                    )
                await asyncio.sleep(clock.back_off_s(failures))
                failures += 1

    def _replace(self, handle: RunHandle, finish: Finish, error: Exception) -> None:
        """What the store refuses to take becomes a failure; when that is refused too, the lease runs out."""
        logger.error("an outcome could not be written", exc_info=error, extra={"job_id": handle.claim.id})
        handle.words_written(len(finish.events))
        self._speakers.pop(handle, None)
        if handle not in self._endings:
            return
        if self._endings[handle] != (failure := internal_error()):
            self._endings[handle] = failure
        else:
            self._on_recorded(handle, self._endings.pop(handle), False)

    def _written(self, handle: RunHandle, finish: Finish, accepted: bool) -> None:
        handle.words_written(len(finish.events))
        if finish.outcome is not None:
            self._endings.pop(handle, None)
            self._on_recorded(handle, finish.outcome, accepted)
        elif not accepted or not handle.unwritten:
            self._speakers.pop(handle, None)

    async def _write_deferral(self, handle: RunHandle, deferral: Deferral) -> None:
        try:
            accepted = await self._insist(lambda: self._queue.defer(handle.claim, deferral))
        except Exception:
            logger.exception("a deferral could not be written", extra={"job_id": handle.claim.id})
            accepted = False
        self._endings.pop(handle, None)
        self._on_recorded(handle, deferral, accepted)
