"""Takes turns at work of one kind in the store: every worker runs such loops, under leases that end with the worker."""

import asyncio
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError

from shared.errors import GatewayError
from worker.outage import OutageLog

POLL_S = 0.5
"""Longest wait until the next look: what is made or changed meanwhile may be due by then."""
PAUSE_S = 1.0


class TurnLoop:
    """Takes one turn after the other.

    Args:
        take_turn: Takes a turn at what is due first, and returns the seconds until another may be due.
        outage: Logs outages of the store, for several loops.
        poll_s: Longest wait until the next look, in seconds.
    """

    def __init__(
        self, take_turn: Callable[[], Awaitable[float]], outage: OutageLog | None = None, *, poll_s: float = POLL_S
    ) -> None:
        self._take_turn = take_turn
        self._outage = outage or OutageLog()
        self._poll_s = poll_s

    async def run(self) -> None:
        """Take turns until cancelled; store outages are waited out."""
        task = asyncio.current_task()
        while task is None or not task.cancelling():  # a cancellation may be lost on its way, see BatchLoop
            try:
                wait_s = await self._take_turn()
                self._outage.back()
                await asyncio.sleep(min(wait_s, self._poll_s))
            except (GatewayError, RedisError) as error:
                self._outage.away(error)
                await asyncio.sleep(PAUSE_S)
