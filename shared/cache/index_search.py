"""Vectors in hashes under a search index (``FT.*``): Redis Stack, Redis 8 with its modules, valkey-search.

Source: https://redis.io/docs/latest/develop/ai/search-and-query/vectors/
"""

from collections.abc import Sequence

from redis.exceptions import ResponseError

from shared.cache import keyspace
from shared.cache.identity import name_hash
from shared.cache.vectors import Neighbour, Vector
from shared.store.commands import RedisCommands


class SearchIndex:
    """One hash a vector, which expires by itself, and one index for each number of dimensions.

    Args:
        commands: The store.
    """

    name = "search"

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands
        self._made: set[int] = set()

    async def add(self, partition: str, entry_id: str, vector: Vector, life_s: int) -> None:
        """Add or replace a question's vector."""
        await self._make(len(vector))
        key = keyspace.vector(partition, entry_id)
        await self._commands.execute_many(
            [("HSET", key, "p", name_hash(partition), f"v{len(vector)}", vector.tobytes()), ("EXPIRE", key, life_s)],
            retry_safe=True,
        )

    async def nearest(self, partition: str, vector: Vector, count: int) -> list[Neighbour]:
        """Return the nearest vectors, the nearest first."""
        size = len(vector)
        await self._make(size)
        # The tag is a hash, as tags are split at punctuation and know no escapes everywhere.
        query = f"(@p:{{{name_hash(partition)}}})=>[KNN {int(count)} @v{size} $q AS d]"
        reply = await self._commands.execute(
            *("FT.SEARCH", keyspace.vector_index(size), query, "PARAMS", 2, "q", vector.tobytes()),
            *("SORTBY", "d", "RETURN", 1, "d", "DIALECT", 2),
            retry_safe=True,
        )
        prefix = keyspace.vector(partition, "")
        return [
            Neighbour(key.decode("ascii", "replace").removeprefix(prefix), 1 - float(fields[1]))
            for key, fields in zip(reply[1::2], reply[2::2], strict=True)
        ]

    async def remove(self, partition: str, entry_ids: Sequence[str]) -> None:
        """Remove vectors whose entries are gone."""
        if entry_ids:
            await self._commands.execute(
                "UNLINK", *(keyspace.vector(partition, each) for each in entry_ids), retry_safe=True
            )

    async def _make(self, size: int) -> None:
        """Make the index of a number of dimensions, unless there is one."""
        if size in self._made:
            return
        name = keyspace.vector_index(size)
        try:
            await self._commands.execute(
                *("FT.CREATE", name, "ON", "HASH", "PREFIX", 1, keyspace.VECTORS, "SCHEMA", "p", "TAG"),
                *(f"v{size}", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32", "DIM", size, "DISTANCE_METRIC", "COSINE"),
                retry_safe=True,
            )
        except ResponseError as error:
            if "exist" not in str(error).lower():
                raise
        self._made.add(size)
