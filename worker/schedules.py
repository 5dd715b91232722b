"""Fires schedules: every worker takes turns at those that are due, under a lease that ends with the worker."""

import asyncio
from typing import Protocol

from redis.exceptions import RedisError

from shared.errors import GatewayError
from shared.schedules.store import ScheduleStore, Turn
from worker.outage import OutageLog

POLL_S = 0.5
"""Longest wait until the next look: a schedule that is created or changed meanwhile may be due by then."""
PAUSE_S = 1.0


class Steps(Protocol):
    """What a turn does."""

    async def step(self, turn: Turn) -> None:
        """Handle the due firings of a schedule."""


class ScheduleLoop:
    """Takes turns at the schedule that is due first.

    Args:
        outage: Logs outages of the store, for several loops.
    """

    def __init__(self, store: ScheduleStore, turns: Steps, outage: OutageLog | None = None) -> None:
        self._store = store
        self._turns = turns
        self._outage = outage or OutageLog()

    async def run(self) -> None:
        """Take turns until cancelled; store outages are waited out."""
        task = asyncio.current_task()
        while task is None or not task.cancelling():  # a cancellation may be lost on its way, see BatchLoop
            try:
                wait_s = await self.take_turn()
                self._outage.back()
                await asyncio.sleep(min(wait_s, POLL_S))
            except (GatewayError, RedisError) as error:
                self._outage.away(error)
                await asyncio.sleep(PAUSE_S)

    async def take_turn(self) -> float:
        """Handle the schedule that is due first; return the seconds until another one may be due.

        Raises:
            StoreUnavailable: No answer; the turn is taken again when its lease ends.
        """
        turn = await self._store.take()
        if not isinstance(turn, Turn):
            return turn
        await self._turns.step(turn)
        return 0.0
