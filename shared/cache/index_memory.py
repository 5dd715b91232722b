"""Vectors in this process's memory, for stores without a vector search: each process knows what it stored itself.

Candidates are found by the signs of their numbers (0.3 ms of CPU for 1,000 of them), the best are compared exactly.
"""

import heapq
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from shared.cache.vectors import Neighbour, Vector, cosine

MOST_IN_PARTITION = 2_000
MOST_VECTORS = 10_000
"""Of 1,536 dimensions: 60 MB."""
COMPARED = 16


class _Stored(NamedTuple):
    vector: Vector
    signs: int
    expires_at: float


class MemoryIndex:
    """Vectors of this process; those that were used longest ago go first.

    Args:
        now: Returns Unix seconds.
    """

    name = "memory"

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._partitions: OrderedDict[str, OrderedDict[str, _Stored]] = OrderedDict()
        self._count = 0

    async def add(self, partition: str, entry_id: str, vector: Vector, life_s: int) -> None:
        """Add or replace a question's vector."""
        stored = self._partitions.setdefault(partition, OrderedDict())
        self._partitions.move_to_end(partition)
        if stored.pop(entry_id, None) is None:
            self._count += 1
        stored[entry_id] = _Stored(vector, _signs(vector), self._now() + life_s)
        if len(stored) > MOST_IN_PARTITION:
            stored.popitem(last=False)
            self._count -= 1
        while self._count > MOST_VECTORS:
            _, gone = self._partitions.popitem(last=False)
            self._count -= len(gone)

    async def nearest(self, partition: str, vector: Vector, count: int) -> list[Neighbour]:
        """Return the nearest vectors, the nearest first."""
        stored = self._partitions.get(partition)
        if stored is None:
            return []
        self._partitions.move_to_end(partition)
        now = self._now()
        await self.remove(partition, [entry_id for entry_id, each in stored.items() if each.expires_at <= now])
        signs = _signs(vector)
        likely = heapq.nsmallest(COMPARED, stored.items(), key=lambda item: (item[1].signs ^ signs).bit_count())
        found = [Neighbour(entry_id, cosine(vector, each.vector)) for entry_id, each in likely]
        return heapq.nlargest(count, found, key=lambda neighbour: neighbour.similarity)

    async def remove(self, partition: str, entry_ids: Sequence[str]) -> None:
        """Remove vectors whose entries are gone."""
        stored = self._partitions.get(partition, OrderedDict())
        for entry_id in entry_ids:
            if stored.pop(entry_id, None) is not None:
                self._count -= 1
        if not stored:
            self._partitions.pop(partition, None)


def _signs(vector: Vector) -> int:
    return int("".join("1" if number > 0 else "0" for number in vector), 2)
