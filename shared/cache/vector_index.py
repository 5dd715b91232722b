"""Chooses where vectors are kept: what the store offers, else this process's memory."""

from redis.exceptions import ResponseError

from shared.cache import keyspace
from shared.cache.index_bounds import BoundedIndex
from shared.cache.index_memory import MemoryIndex
from shared.cache.index_search import SearchIndex
from shared.cache.index_vectorset import VectorSetIndex
from shared.cache.vectors import VectorIndex
from shared.settings.cache import IndexKind
from shared.store.commands import RedisCommands
from shared.store.errors import StoreRefused

MOST_BYTES = 64 * 1024 * 1024


async def open_index(
    commands: RedisCommands, kind: IndexKind, *, sealed: bool, most_bytes: int = MOST_BYTES
) -> VectorIndex:
    """Return the index of a kind.

    Args:
        commands: The store.
        kind: As configured; ``auto``: the first that the store offers of vector sets and search.
        sealed: Whether stored bodies are encrypted: vectors, which say much of a text, then stay in memory unless a
            kind is configured.
        most_bytes: Of all vectors in the store together; in memory their number is bounded.

    Raises:
        StoreConnectionError: No answer.
    """
    if kind == "vectorset" or (kind == "auto" and not sealed and await _knows(commands, "VCARD", keyspace.VECTORS)):
        return BoundedIndex(VectorSetIndex(commands), commands, most_bytes)
    if kind == "search" or (kind == "auto" and not sealed and await _knows(commands, "FT._LIST")):
        return BoundedIndex(SearchIndex(commands), commands, most_bytes)
    return MemoryIndex()


async def _knows(commands: RedisCommands, *command: str) -> bool:
    try:
        await commands.execute(*command, retry_safe=True)
    except ResponseError:
        return False
    except StoreRefused as error:
        if error.code != "NOPERM":
            raise
        return False
    return True
