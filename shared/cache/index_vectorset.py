"""Vectors in vector sets, which Redis has from 8 on: one set a partition.

Source: https://redis.io/docs/latest/commands/vsim/
"""

from collections.abc import Sequence

from shared.cache import keyspace
from shared.cache.vectors import Neighbour, Vector
from shared.store.commands import RedisCommands

MOST_IN_PARTITION = 10_000
"""1.2 KB each with 384 dimensions; an insert takes 2 ms of the server."""


class VectorSetIndex:
    """Vector sets; a set that is full loses a random question for each that is added.

    Args:
        commands: The store.
    """

    name = "vectorset"

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands

    async def add(self, partition: str, entry_id: str, vector: Vector, life_s: int) -> None:
        """Add or replace a question's vector."""
        key = keyspace.vectors(partition)
        *_, count = await self._commands.execute_many(
            [("VADD", key, "FP32", vector.tobytes(), entry_id), ("EXPIRE", key, life_s), ("VCARD", key)],
            retry_safe=True,
        )
        if count > MOST_IN_PARTITION:
            victim = await self._commands.execute("VRANDMEMBER", key, retry_safe=True)
            await self.remove(partition, [victim.decode()])

    async def nearest(self, partition: str, vector: Vector, count: int) -> list[Neighbour]:
        """Return the nearest vectors, the nearest first."""
        key = keyspace.vectors(partition)
        reply = await self._commands.execute(
            "VSIM", key, "FP32", vector.tobytes(), "WITHSCORES", "COUNT", count, retry_safe=True
        )
        # A score of 1 is the same direction, 0 the opposite one.
        return [
            Neighbour(entry_id.decode("ascii", "replace"), 2 * float(score) - 1)
            for entry_id, score in zip(reply[::2], reply[1::2], strict=True)
        ]

    async def remove(self, partition: str, entry_ids: Sequence[str]) -> None:
        """Remove vectors whose entries are gone."""
        key = keyspace.vectors(partition)
        if entry_ids:
            await self._commands.execute_many([("VREM", key, each) for each in entry_ids], retry_safe=True)
