"""The background part that carries a shard's bookings: API processes and workers run it, one at a time works."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from shared.errors import StoreUnavailable
from shared.governance.bookings.carrier import BATCH, BookingCarrier
from shared.governance.keyspace import CARRIER
from shared.store.commands import RedisCommands
from shared.store.errors import StoreConnectionError

LEASE_MS = 2_000
LED_S = 1.0
"""A leader renews its lease after this."""
LOOK_S = 0.5
"""Between two looks of a process that does not lead."""
BUSY_S = 0.02
IDLE_S = 0.1
RETRY_S = 1.0

log = logging.getLogger("finops.governance")


class BookingLoop:
    """Carries bookings while this process has the lease; without one, two would only do the same work twice.

    Args:
        shard: A connection to the shard.
        carrier: Carries its bookings.
        name: Unique among processes.
        monotonic: A clock in seconds.
    """

    def __init__(
        self,
        shard: RedisCommands,
        carrier: BookingCarrier,
        name: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shard = shard
        self._carrier = carrier
        self._name = name.encode()
        self._monotonic = monotonic
        self._leads_until = float("-inf")

    async def run(self) -> None:
        """Carry until cancelled; store outages are waited out. The lease is given up at the end."""
        away = False
        try:
            while True:
                try:
                    wait_s = await self.turn()
                except (StoreConnectionError, StoreUnavailable) as error:
                    if not away:
                        log.warning("bookings of shard %d are not carried: %s", self._shard.shard, error)
                    away, wait_s = True, RETRY_S
                else:
                    away = False
                await asyncio.sleep(wait_s)
        finally:
            if self._leads_until > self._monotonic():
                with suppress(StoreConnectionError):
                    await self._shard.execute("DEL", CARRIER)

    async def turn(self) -> float:
        """Carry once, if this process leads; return the seconds until the next turn.

        Raises:
            StoreConnectionError, StoreUnavailable: No answer.
        """
        if self._monotonic() >= self._leads_until and not await self._lead():
            return LOOK_S
        carried = await self._carrier.carry()
        return 0.0 if carried == BATCH else BUSY_S if carried else IDLE_S

    async def _lead(self) -> bool:
        """Take or renew the lease."""
        now = self._monotonic()
        taken = await self._shard.execute("SET", CARRIER, self._name, "NX", "PX", LEASE_MS, retry_safe=True)
        if taken is None:
            if await self._shard.execute("GET", CARRIER, retry_safe=True) != self._name:
                return False
            await self._shard.execute("PEXPIRE", CARRIER, LEASE_MS, retry_safe=True)
        self._leads_until = now + LED_S
        return True
