"""Rescues the lines of providers' batches: those that a provider fails, expires or leaves are run by the gateway.

::

    watched ──► asked ──► running ──► published        a provider's batch, as ``Rescue`` has it
       │  ended with open lines ▲                      asked: shortly before its window ends, it is cancelled there
       └────────────────────────┘                      published: one result a line; it may still run at its provider

Each step is one turn, is fenced, and may be repeated by any worker after a kill.
"""

import logging
from collections.abc import Mapping
from typing import Any

from shared.batches import keys
from shared.batches.model import Batch, Status
from shared.batches.store import BatchStore, NewBatch
from shared.errors import GatewayError, StoreUnavailable
from shared.governance.ledger.batch_views import DONE, ENDED, RESCUING
from shared.governance.ledger.followed_batches import (
    CLOSE,
    SETTLE,
    BatchTurn,
    FollowedBatch,
    Rescue,
)
from shared.inference.provider_batch_lines import failed_at_provider
from shared.settings.model import BatchSettings
from worker.batch_booking import BatchBooking
from worker.rescue_files import RescueFiles, Results

log = logging.getLogger("finops.batches")

LOOK_MS = 15_000
"""Between looks at a running batch: its lines are to be booked within a minute of its end."""
RESCUE_LOOK_MS = 1000
DAY_S = 86_400
LEAST_WINDOW_S = 3600
"""Time that the gateway gives its own runs when the provider's window is over already."""


class BatchRescue:
    """Takes the steps of a rescue.

    Args:
        booking: Reads, cancels and books the providers' batches.
        files: Composes files.
        store: The gateway's own batches, one for each rescue.
        settings: When a rescue begins.
    """

    def __init__(self, booking: BatchBooking, files: RescueFiles, store: BatchStore, settings: BatchSettings) -> None:
        self._followed = booking.followed
        self._batches = booking.batches
        self._booking = booking
        self._files = files
        self._store = store
        self._before_s = settings.rescue_before_s

    async def step(self, turn: BatchTurn, found: Mapping[str, Any]) -> None:
        """Take the next step of a batch.

        Args:
            turn: The turn.
            found: The batch as its provider has it.

        Raises:
            BatchTurnLost: Another worker has the turn.
            GatewayError: The step is repeated in the next turn.
        """
        batch = turn.batch
        view = await self._followed.view(batch.provider, batch.batch)
        stopped = view is not None and view.stopped
        if found.get("status") in ENDED and not batch.ended:
            rescued = not stopped and self._goes_on(batch, found)
            await self._booking.book(batch, found, then=SETTLE, rescued=rescued)
        elif batch.rescue is Rescue.RUNNING:
            await self._await_runs(turn, found, stopped=stopped)
        elif batch.rescue is Rescue.PUBLISHED:
            await self._end(batch)
        elif batch.ended:
            await self._after_end(turn, found, stopped=stopped)
        else:
            await self._watch(turn, found, stopped=stopped)

    @staticmethod
    def _goes_on(batch: FollowedBatch, found: Mapping[str, Any]) -> bool:
        """Whether lines without a result are run, given how a batch ended."""
        match found.get("status"):
            case "failed":
                return failed_at_provider(found)
            case "cancelled":  # by whom, if not by the gateway?
                return batch.rescue is not Rescue.WATCHED
            case _:
                return True

    async def _watch(self, turn: BatchTurn, found: Mapping[str, Any], *, stopped: bool) -> None:
        """Begin the rescue of a running batch shortly before its window ends."""
        batch = turn.batch
        left_s = _ends_s(batch, found) - turn.now_ms / 1000
        if stopped or left_s > self._before_s:
            await self._wait(batch, LOOK_MS)
        elif left_s <= self._before_s / 2:  # a cancel does not end it
            await self._begin(turn, found, Results())
        elif batch.rescue is Rescue.WATCHED:  # noted first: the cancel is then ours, whoever dies
            await self._followed.note(batch, state=RESCUING, look_ms=0, rescue=str(Rescue.ASKED))
        else:
            if found.get("status") != "cancelling":
                await self._batches.cancel(batch)
            await self._wait(batch, LOOK_MS)

    async def _after_end(self, turn: BatchTurn, found: Mapping[str, Any], *, stopped: bool) -> None:
        """Run the lines without a result of a batch that has ended, or show it as it is."""
        batch = turn.batch
        if not stopped and self._goes_on(batch, found):
            await self._begin(turn, found, await self._files.results(batch, found))
            return
        await self._show_as_is(batch)

    async def _begin(self, turn: BatchTurn, found: Mapping[str, Any], results: Results) -> None:
        """Make a batch of the gateway's own of the lines without a result."""
        batch = turn.batch
        try:
            file_id = await self._files.write_input(batch, found, results)
        except StoreUnavailable:
            raise
        except GatewayError as error:
            log.warning("a batch cannot be rescued", extra={"batch_id": batch.batch, "reason": error.message})
            await self._show_as_is(batch)
            return
        if file_id is None:
            await self._all_answered(turn, found)
            return
        left_s = round(_ends_s(batch, found) - turn.now_ms / 1000)
        new = NewBatch(
            owner=batch.owner,
            endpoint=f"/v1/{batch.endpoint.strip('/').removeprefix('v1/')}",
            input=file_id,
            scope="rescue",
            idempotency_key=batch.id,
            fingerprint=batch.id,
            dimensions=batch.dimensions,
            run=batch.run,
            window_s=max(left_s, LEAST_WINDOW_S),
            listed=False,
        )
        own = await self._store.create(new)
        await self._followed.note(
            batch,
            state=RESCUING,
            look_ms=RESCUE_LOOK_MS,
            rescue=str(Rescue.RUNNING),
            rescue_batch=own.id,
            output_file=keys.mint_file_id(),
            error_file=keys.mint_file_id(),
        )
        log.info("lines of a provider's batch are run here", extra={"batch_id": batch.batch, "rescue_batch": own.id})

    async def _await_runs(self, turn: BatchTurn, found: Mapping[str, Any], *, stopped: bool) -> None:
        """Publish the results when the gateway has run its lines."""
        batch = turn.batch
        own = await self._store.get(batch.rescue_batch)
        if own is None or own.status.terminal:
            await self._publish(turn, found, own, stopped=stopped)
            return
        if stopped and own.status is not Status.CANCELLING:
            await self._store.cancel(own.id)
        await self._wait(batch, RESCUE_LOOK_MS)

    async def _publish(self, turn: BatchTurn, found: Mapping[str, Any], own: Batch | None, *, stopped: bool) -> None:
        batch = turn.batch
        published = await self._files.publish(batch, found, own)
        counts = {"completed": published.completed, "failed": published.failed}
        final = _final(turn, found, Status.CANCELLED if stopped else Status.COMPLETED) | {
            "output_file_id": published.output_file,
            "error_file_id": published.error_file,
            "request_counts": {"total": sum(counts.values()), **counts},
        }
        await self._followed.note(batch, state=DONE, final=final, look_ms=0, rescue=str(Rescue.PUBLISHED))

    async def _all_answered(self, turn: BatchTurn, found: Mapping[str, Any]) -> None:
        """Show a batch as completed that was cancelled too late to leave any line open; others are as they are."""
        batch = turn.batch
        if batch.rescue is Rescue.WATCHED:
            await self._show_as_is(batch)
            return
        final = _final(turn, found, Status.COMPLETED)
        await self._followed.note(batch, state=DONE, final=final, look_ms=0, rescue=str(Rescue.PUBLISHED))

    async def _show_as_is(self, batch: FollowedBatch) -> None:
        await self._followed.note(batch, state="", look_ms=0, rescue=str(Rescue.PUBLISHED))

    async def _end(self, batch: FollowedBatch) -> None:
        """Follow a batch no longer once its provider has ended it."""
        if not batch.ended:
            await self._wait(batch, LOOK_MS)
            return
        if batch.rescue_batch:
            await self._files.discard(await self._store.get(batch.rescue_batch))
        await self._followed.book(batch, batch.lines, before=batch.lines, then=CLOSE)

    async def _wait(self, batch: FollowedBatch, delay_ms: int) -> None:
        await self._followed.book(batch, batch.lines, before=batch.lines, then=delay_ms)


def _ends_s(batch: FollowedBatch, found: Mapping[str, Any]) -> float:
    """Return the end of a batch's window in unix seconds; a day after its creation if its provider says none."""
    ends = found.get("expires_at")
    return ends if isinstance(ends, int | float) and ends > 0 else batch.created_ms / 1000 + DAY_S


def _final(turn: BatchTurn, found: Mapping[str, Any], status: Status) -> dict[str, Any]:
    """Return the fields in which an ended batch differs from its provider's."""
    now_s = turn.now_ms // 1000
    stamps = dict.fromkeys((f"{ended}_at" for ended in sorted(ENDED)), None)
    stopped = status is Status.CANCELLED
    return {
        **stamps,
        "status": str(status),
        "errors": None,
        "finalizing_at": found.get("finalizing_at") or now_s,
        "cancelling_at": found.get("cancelling_at") if stopped else None,
        f"{status}_at": now_s,
    }
