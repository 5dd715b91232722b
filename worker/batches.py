"""Advances open batches: a loop in every worker that takes turns at them, under a lease that ends with its worker."""

import asyncio
import logging
from contextlib import suppress

from shared.batches.lines import fault
from shared.batches.model import Batch
from shared.batches.store import BatchStore, Turn, TurnLost
from shared.errors import GatewayError
from worker.batch_turns import IDLE_MS, BatchTurns

log = logging.getLogger("finops.batches")

POLL_S = 0.5
PAUSE_S = 1.0
MAX_TRIES = 50
"""Turns in a row that come to no end, because they fail or lose their worker, after which a batch is given up."""


class BatchLoop:
    """Takes turns at whichever batch has waited longest."""

    def __init__(self, store: BatchStore, turns: BatchTurns) -> None:
        self._store = store
        self._turns = turns
        self._wait_s = POLL_S

    async def run(self) -> None:
        """Go on until cancelled; the store's outages are waited out."""
        while True:
            try:
                if not await self.take_turn():
                    wait_s, self._wait_s = self._wait_s, POLL_S
                    await asyncio.sleep(wait_s)
            except GatewayError as error:
                log.warning("batches wait for the store", extra={"reason": type(error).__name__})
                await asyncio.sleep(PAUSE_S)

    async def take_turn(self) -> bool:
        """Advance one batch by a step; False: none was due.

        Raises:
            StoreUnavailable: No answer; the turn is taken again when its lease ends.
        """
        turn = await self._store.take()
        if turn is None:
            return False
        with suppress(TurnLost):
            await self._advance(turn)
        return True

    async def _advance(self, turn: Turn) -> None:
        batch = turn.batch
        try:
            pause_ms = await self._step(turn)
        except asyncio.CancelledError:
            # The process stops: somebody else may go on at once.
            with suppress(GatewayError, TurnLost):
                await self._store.end_turn(batch, 0)
            raise
        if pause_ms is not None:
            await self._store.end_turn(batch, pause_ms)
            self._wait_s = min(self._wait_s, pause_ms / 1000)

    async def _step(self, turn: Turn) -> int | None:
        try:
            if turn.batch.tries > MAX_TRIES:
                await self._give_up(turn.batch)
                return None
            return await self._turns.step(turn)
        except (GatewayError, TurnLost):
            raise
        except Exception:
            log.exception("a batch's turn failed", extra={"batch_id": turn.batch.id})
            await self._store.advance(turn.batch, hold_ms=IDLE_MS)
            raise TurnLost(turn.batch.id) from None

    async def _give_up(self, batch: Batch) -> None:
        log.error("a batch is given up", extra={"batch_id": batch.id})
        said = "The batch failed inside the gateway; the log has the details under its id."
        await self._turns.fail(batch, fault("internal_error", said))
