"""Follows batches that providers run: looks at each under a lease, and books its lines when it has ended."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from shared.batches.files import FileStore
from shared.batches.store import BatchStore
from shared.errors import GatewayError, StoreUnavailable
from shared.governance.keys.authenticate import Authenticator
from shared.governance.keys.caller import Caller
from shared.governance.ledger.batch_views import ENDED
from shared.governance.ledger.followed_batches import (
    CLOSE,
    NO_LINES,
    BatchTurn,
    BatchTurnLost,
    BookedLines,
    FollowedBatch,
    FollowedBatches,
)
from shared.inference.provider_batches import VIDEOS, ProviderBatches
from shared.jobs.bodies import BodyPolicy
from shared.settings.model import Settings
from worker.batch_booking import BatchBooking
from worker.batch_rescue import LOOK_MS, BatchRescue
from worker.rescue_files import RescueFiles

log = logging.getLogger("finops.batches")

IDLE_S = 1.0
PAUSE_S = 1.0
GIVE_UP_MS = 8 * 86_400_000
"""Age at which a batch that cannot be read is charged what was reserved: providers run one for a day at most."""
UNLIMITED_BYTES = 2**53
"""Results of a batch are kept whatever else its owner keeps."""
_VIDEO_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
UNCONFIRMED_MS = 25 * 3_600_000


class ProviderBatchLoop:
    """Takes turns at the batches that are followed."""

    def __init__(self, booking: BatchBooking, governance: Authenticator, rescue: BatchRescue) -> None:
        self._followed = booking.followed
        self._batches = booking.batches
        self._governance = governance
        self._booking = booking
        self._rescue = rescue

    async def run(self) -> None:
        """Take turns until cancelled; outages of the store and of providers are waited out."""
        while True:
            try:
                if not await self.take_turn():
                    await asyncio.sleep(IDLE_S)
            except StoreUnavailable:
                log.warning("batches of providers are waiting for the store")
                await asyncio.sleep(PAUSE_S)

    async def take_turn(self) -> bool:
        """Look at one batch; False: none was due.

        Raises:
            StoreUnavailable: No answer; the turn is taken again when its lease ends.
        """
        turn = await self._followed.take()
        if turn is None:
            return False
        with suppress(BatchTurnLost):
            try:
                await self._step(turn)
            except StoreUnavailable:
                raise
            except GatewayError as error:
                await self._after_failure(turn, error)
            except Exception:
                log.exception("a provider's batch could not be booked", extra={"batch_id": turn.batch.batch})
        return True

    async def _step(self, turn: BatchTurn) -> None:
        batch = turn.batch
        if not batch.batch:  # its creation was cut off: it stays reserved for as long as it could run
            over = turn.now_ms - batch.created_ms >= UNCONFIRMED_MS
            await (self._close(batch, NO_LINES) if over else self._wait(batch, UNCONFIRMED_MS))
            return
        found = await self._batches.look(batch)
        if batch.endpoint == VIDEOS:
            await self._step_video(batch, found)
        elif batch.rescue:
            await self._rescue.step(turn, found)
        elif found.get("status") in ENDED:
            await self._booking.book(batch, found, then=CLOSE)
        else:
            await self._wait(batch, LOOK_MS)

    async def _step_video(self, video: FollowedBatch, found: Mapping[str, Any]) -> None:
        """Book a video that has ended; an unknown state is one that goes on."""
        if found.get("status") not in _VIDEO_ENDED:
            await self._wait(video, LOOK_MS)
            return
        owner = await self._governance.owner(video.owner)
        await self._close(video, self._batches.charge_of_video(video, owner, found))

    async def _after_failure(self, turn: BatchTurn, error: GatewayError) -> None:
        """Look again later; what is gone, or not readable for days, is charged what was reserved."""
        batch = turn.batch
        if error.status == 404 or turn.now_ms - batch.created_ms > GIVE_UP_MS:
            await self._charge_estimate(batch, "batch_results_gone")
            return
        log.warning(
            "a provider's batch cannot be read",
            extra={"batch_id": batch.batch, "provider": batch.provider, "reason": error.code},
        )
        await self._wait(batch, LOOK_MS)

    async def _charge_estimate(self, batch: FollowedBatch, code: str) -> None:
        owner: Caller = await self._governance.owner(batch.owner)
        lines = self._batches.charge_of_estimate(batch, owner, code)
        await self._close(batch, lines)

    async def _close(self, batch: FollowedBatch, lines: BookedLines) -> None:
        await self._followed.book(batch, batch.lines + 1, booked=lines, before=batch.lines, then=CLOSE)

    async def _wait(self, batch: FollowedBatch, delay_ms: int) -> None:
        await self._followed.book(batch, batch.lines, booked=NO_LINES, before=batch.lines, then=delay_ms)


def follow_batches(
    settings: Settings,
    bodies: BodyPolicy,
    followed: FollowedBatches,
    batches: ProviderBatches,
    governance: Authenticator,
) -> ProviderBatchLoop:
    """Build what follows the batches of providers, books their lines and rescues them."""
    commands = followed.commands
    store = FileStore(commands, max_owner_bytes=UNLIMITED_BYTES, bodies=bodies)
    files = RescueFiles(store, batches, ttl_s=settings.files.ttl_s)
    booking = BatchBooking(followed, batches, governance)
    rescue = BatchRescue(booking, files, BatchStore(commands), settings.batches)
    return ProviderBatchLoop(booking, governance, rescue)
