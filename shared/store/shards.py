"""The number of a store's shards, on which all processes must agree: each is a job engine of its own."""

from contextlib import suppress

from redis.exceptions import ResponseError

from shared.store.commands import RedisCommands
from shared.store.errors import StoreRefused
from shared.store.keyspace import Key

SHARDS_KEY = "finops:shards"
KEYS: tuple[Key, ...] = (Key(SHARDS_KEY, "string", "permanent, one", "the number of shards, once it is more than one"),)


class ShardsChanged(ValueError):
    """The store has another number of shards than the configuration; the message says what to do."""


async def check_shards(commands: RedisCommands, shards: int) -> None:
    """Write the number of shards into the store, where it is more than one, and reject another than it has.

    Args:
        commands: The store, shard 0.
        shards: As configured.

    Raises:
        ShardsChanged: The store has another number.
        StoreConnectionError: No answer.
    """
    stored = await read_shards(commands)
    if stored == shards:
        return
    if stored == 1:
        with suppress(StoreRefused, ResponseError):  # a store that takes no writes now is not held against it
            await commands.execute("SET", SHARDS_KEY, shards, "NX", retry_safe=True)
            stored = await read_shards(commands)
            if stored == shards:
                return
    raise ShardsChanged(
        f"the store has {stored} shards, and [redis] shards is {shards}: jobs are found by this number, so that it "
        f"changes only from 1 to more, and once. Set [redis] shards = {stored}, or use another store"
    )


async def read_shards(commands: RedisCommands) -> int:
    """Return the number of shards of a store.

    Raises:
        StoreConnectionError: No answer.
    """
    stored: bytes | None = await commands.execute("GET", SHARDS_KEY, retry_safe=True)
    return int(stored) if stored is not None and stored.isdigit() else 1
