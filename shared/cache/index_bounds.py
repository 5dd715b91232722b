"""Bounds the vectors in a store: those that have expired, and the oldest beyond a number, leave it."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from shared.cache import keyspace
from shared.cache.vectors import Neighbour, Vector, VectorIndex
from shared.store.commands import RedisCommands

FLOAT_BYTES = 4
AGES_S = 38 * 86_400  # longer than any vector is kept
REMOVED_AT_ONCE = 32
"""More than are added at once, so that their number falls."""


class BoundedIndex:
    """An index in a store whose vectors take a bounded room, whatever callers ask for.

    Args:
        index: Keeps the vectors.
        commands: The store.
        most_bytes: Of all vectors together, 4 bytes a number.
        now: Returns Unix seconds.
    """

    def __init__(
        self, index: VectorIndex, commands: RedisCommands, most_bytes: int, now: Callable[[], float] = time.time
    ) -> None:
        self.name = index.name
        self._index = index
        self._commands = commands
        self._most_bytes = most_bytes
        self._now = now

    async def add(self, partition: str, entry_id: str, vector: Vector, life_s: int) -> None:
        """Add or replace a question's vector."""
        await self._index.add(partition, entry_id, vector, life_s)
        now = self._now()
        key = keyspace.VECTOR_AGES
        _, _, gone, count = await self._commands.execute_many(
            [
                ("ZADD", key, round(now + life_s), f"{partition}:{entry_id}"),
                ("EXPIRE", key, AGES_S),
                ("ZRANGEBYSCORE", key, "-inf", round(now), "LIMIT", 0, REMOVED_AT_ONCE),
                ("ZCARD", key),
            ],
            retry_safe=True,
        )
        if count > self._most_bytes // (len(vector) * FLOAT_BYTES):
            gone = [*gone, *await self._commands.execute("ZRANGE", key, 0, REMOVED_AT_ONCE - 1, retry_safe=True)]
        if gone:
            await self._forget(gone)

    async def _forget(self, members: Sequence[bytes]) -> None:
        by_partition: dict[str, list[str]] = defaultdict(list)
        for member in members:
            partition, _, entry_id = member.decode("ascii", "replace").rpartition(":")
            by_partition[partition].append(entry_id)
        for partition, entry_ids in by_partition.items():
            await self._index.remove(partition, entry_ids)
        await self._commands.execute("ZREM", keyspace.VECTOR_AGES, *members, retry_safe=True)

    async def nearest(self, partition: str, vector: Vector, count: int) -> list[Neighbour]:
        """Return the nearest vectors, the nearest first."""
        return await self._index.nearest(partition, vector, count)

    async def remove(self, partition: str, entry_ids: Sequence[str]) -> None:
        """Remove vectors whose entries are gone."""
        await self._index.remove(partition, entry_ids)
