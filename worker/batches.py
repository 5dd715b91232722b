"""Advances open batches: every worker runs a loop that takes turns at them, under a lease that ends with the worker."""

import asyncio
import logging
from contextlib import suppress

from redis.exceptions import RedisError

from shared.batches.lines import fault
from shared.batches.model import Batch
from shared.batches.store import BatchStore, Turn, TurnLost
from shared.errors import BodyUndecryptable, GatewayError
from worker.batch_turns import IDLE_MS, BatchTurns
from worker.outage import OutageLog

log = logging.getLogger("finops.batches")

POLL_S = 0.5
PAUSE_S = 1.0
SEALED_MS = 60_000
"""How long a batch waits whose bodies cannot be decrypted."""
MAX_TRIES = 50
"""Turns in a row that fail or lose their worker, after which a batch is abandoned."""


class BatchLoop:
    """Takes turns at the batch that has waited longest.

    Args:
        outage: Logs outages of the store, for several loops.
    """

    def __init__(self, store: BatchStore, turns: BatchTurns, outage: OutageLog | None = None) -> None:
        self._outage = outage or OutageLog()
        self._store = store
        self._turns = turns
        self._wait_s = POLL_S

    async def run(self) -> None:
        """Take turns until cancelled; store outages are waited out.

        A cancellation may be lost on its way here: in Python 3.11 ``asyncio.wait_for``, through which redis-py sends
        (5.3), drops one that meets the end of what it waits for. One stop in ten hung on it with turns of 1 ms, so
        the loop also looks itself.
        """
        task = asyncio.current_task()
        while task is None or not task.cancelling():
            try:
                taken = await self.take_turn()
                self._outage.back()
                if not taken:
                    wait_s, self._wait_s = self._wait_s, POLL_S
                    await asyncio.sleep(wait_s)
            except (GatewayError, RedisError) as error:
                self._outage.away(error)
                await asyncio.sleep(PAUSE_S)

    async def take_turn(self) -> bool:
        """Advance one batch by one step; False: none was due.

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
            # The process stops: another worker may continue at once.
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
        except BodyUndecryptable as error:  # with its key the batch goes on
            log.error("a batch waits: %s", error.message, extra={"batch_id": turn.batch.id})  # noqa: TRY400
            return SEALED_MS
        except (GatewayError, TurnLost):
            raise
        except Exception:
            log.exception("a batch's turn failed", extra={"batch_id": turn.batch.id})
            await self._store.advance(turn.batch, hold_ms=IDLE_MS)
            raise TurnLost(turn.batch.id) from None

    async def _give_up(self, batch: Batch) -> None:
        log.error("a batch was abandoned after too many failed turns", extra={"batch_id": batch.id})
        message = "The batch failed inside the gateway; see the log entries with its id."
        await self._turns.fail(batch, fault("internal_error", message))
