"""Carries what a shard's jobs cost, and the changes of their reservations, to shard 0, where money is.

The engine's scripts write both into a stream of their shard, in the script that changes the job. Whoever carries reads
its oldest entries, has one script of shard 0 book them, and trims them. That script keeps the id of the last entry that
it booked: several may carry at once, and may be killed at any point, and each entry is booked once.
"""

from typing import Any

from shared.errors import StoreUnavailable
from shared.governance.keyspace import BOOKINGS
from shared.governance.limits.guard import governance_scripts
from shared.store.commands import Argument, RedisCommands
from shared.store.errors import StoreConnectionError

BATCH = 200
"""Entries of one script: 3 to 6 ms of the store, for which others wait."""


class BookingCarrier:
    """Carries the bookings of one shard.

    Args:
        shard: A connection to the shard.
        money: One to shard 0.
        batch: Most entries of one script.
    """

    def __init__(self, shard: RedisCommands, money: RedisCommands, *, batch: int = BATCH) -> None:
        self._batch = batch
        self._shard = shard
        self._money = money
        self._script = governance_scripts()["book_shard"]

    async def carry(self) -> int:
        """Carry the oldest entries.

        Returns:
            How many there were, a batch at most; 0: none are left.

        Raises:
            StoreUnavailable: No answer.
        """
        try:
            return await self._carry()
        except StoreConnectionError as error:
            raise StoreUnavailable from error

    async def carry_all(self) -> None:
        """Carry all entries that were written before the call, and perhaps later ones.

        Raises:
            StoreUnavailable: No answer.
        """
        while await self.carry() == self._batch:
            pass

    async def _carry(self) -> int:
        entries = await self._shard.execute("XRANGE", BOOKINGS, "-", "+", "COUNT", self._batch, retry_safe=True)
        if not entries:
            return 0
        args: list[Argument] = [self._shard.shard]
        for entry_id, fields in entries:
            args += (entry_id, *fields)
        await self._money.script(self._script, (), args, retry_safe=True)
        await self._shard.execute("XTRIM", BOOKINGS, "MINID", _after(entries[-1][0]), retry_safe=True)
        return len(entries)


async def waiting_bookings(shard: RedisCommands) -> int:
    """Return how many entries of a shard are not trimmed yet.

    Raises:
        StoreConnectionError: No answer.
    """
    waiting: Any = await shard.execute("XLEN", BOOKINGS, retry_safe=True)
    return int(waiting)


def _after(entry_id: bytes) -> str:
    """Return the first id after an entry's."""
    milliseconds, _, number = entry_id.decode().partition("-")
    return f"{milliseconds}-{int(number) + 1}"
