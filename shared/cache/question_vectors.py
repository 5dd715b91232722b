"""Vectors of questions whose submits found no answer: their jobs' runs take them instead of embedding again."""

from array import array

from shared.cache.vectors import MOST_DIMENSIONS, Vector
from shared.errors import BodyUndecryptable
from shared.store.commands import RedisCommands
from shared.store.encryption import BodyCipher

KEPT_S = 3600
"""A job that waits longer embeds its question again."""
FLOAT_BYTES = 4


class QuestionVectors:
    """Passes vectors from submits to runs, through the store.

    Args:
        commands: The store.
        cipher: Seals vectors, which say much of a text.
    """

    def __init__(self, commands: RedisCommands, cipher: BodyCipher) -> None:
        self._commands = commands
        self._cipher = cipher

    def keep(self, key: str, vector: Vector) -> None:
        """Store a vector, with this turn's other commands; returns at once, and an error loses it.

        Args:
            key: ``keyspace.question``.
            vector: Of the question.
        """
        self._commands.begin("SET", key, self._cipher.seal(vector.tobytes(), key), "EX", KEPT_S)

    async def take(self, key: str) -> Vector | None:
        """Return a stored vector, and remove it; None: there is none that can be read.

        Args:
            key: ``keyspace.question``.

        Raises:
            StoreConnectionError, ResponseError: See ``RedisCommands.execute``.
        """
        data = await self._commands.execute("GETDEL", key, retry_safe=True)
        try:
            stored = self._cipher.open(data, key) if isinstance(data, bytes) else b""
        except BodyUndecryptable:
            return None
        is_vector = 0 < len(stored) <= MOST_DIMENSIONS * FLOAT_BYTES and len(stored) % FLOAT_BYTES == 0
        return array("f", stored) if is_vector else None
