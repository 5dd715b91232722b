"""Counts of look-ups and stored answers by day, written to the store every second."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from redis.exceptions import ResponseError

from shared.cache import keyspace
from shared.store.commands import RedisCommands
from shared.store.errors import StoreConnectionError

COUNT_EVERY_S = 1.0
COUNTS_S = 35 * 86_400

logger = logging.getLogger("finops.cache")


class DailyCounts:
    """Adds up counts and writes them; those of a store that is away are lost.

    Args:
        commands: The store.
    """

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands
        self._counts: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def add(self, name: str, amount: int = 1) -> None:
        """Add to today's counts, soon."""
        self._counts[name] += amount
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(COUNT_EVERY_S, self._start_writing)

    def _start_writing(self) -> None:
        self._timer = None
        self._writing = asyncio.create_task(self.flush(), name="finops-cache-counts")

    async def flush(self) -> None:
        """Write what was added."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        key = keyspace.counts(datetime.now(UTC).strftime("%Y-%m-%d"))
        commands: list[tuple[str | int, ...]] = [("HINCRBY", key, name, amount) for name, amount in counts.items()]
        try:
            await self._commands.execute_many([*commands, ("EXPIRE", key, COUNTS_S)])
        except (StoreConnectionError, ResponseError) as error:
            logger.warning("the cache's counts were not written: %s", error)

    def stop(self) -> asyncio.Task[None] | None:
        """Start no more writes; return the one that is in progress."""
        if self._timer is not None:
            self._timer.cancel()
        return self._writing


def summed(stored: Sequence[Sequence[bytes]]) -> dict[str, int]:
    """Return the sums of days' hashes, each a list of names and values in turn."""
    sums: Counter[str] = Counter()
    for pairs in stored:
        for name, amount in zip(pairs[::2], pairs[1::2], strict=True):
            sums[name.decode()] += int(amount)
    return dict(sums)
