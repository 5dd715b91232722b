"""Tells whether the store takes writes."""

from redis.exceptions import ResponseError

from shared.store.commands import RedisCommands
from shared.store.errors import StoreConnectionError
from shared.store.keyspace import Key

PROBE = "finops:probe"
PROBE_TTL_MS = 10_000

KEYS = (Key(PROBE, "string", "10 s", "written to see whether the store takes writes"),)


async def check_writable(commands: RedisCommands) -> None:
    """Write a key that expires soon.

    Raises:
        StoreConnectionError: The store does not answer, is a replica, is full, or lacks replicas or disk.
        redis.exceptions.ResponseError: It refuses for an unknown reason.
    """
    await commands.execute("SET", PROBE, "1", "PX", PROBE_TTL_MS, retry_safe=True)


async def is_writable(commands: RedisCommands) -> bool:
    """Tell whether the store takes writes now."""
    try:
        await check_writable(commands)
    except (StoreConnectionError, ResponseError):
        return False
    return True
