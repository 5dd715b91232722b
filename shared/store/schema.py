"""The layout of what is kept in the store, as a number: an older release refuses a store that it cannot read."""

from contextlib import suppress

from redis.exceptions import ResponseError

from shared.store.commands import RedisCommands
from shared.store.errors import StoreRefused
from shared.store.keyspace import Key

SCHEMA = 1
"""Raised by a release whose records or scripts an earlier one would misread."""

SCHEMA_KEY = "finops:schema"

KEYS: tuple[Key, ...] = (
    Key(SCHEMA_KEY, "string", "permanent, one", "the layout of the store; an older release does not start on it"),
)


class NewerSchema(ValueError):
    """The store was written by a newer release; the message says what to do."""


async def check_schema(commands: RedisCommands) -> None:
    """Mark an empty store with this release's schema, and reject a store of a later one.

    Raises:
        NewerSchema: A newer release has written to the store.
        StoreConnectionError: No answer.
    """
    stored: bytes | None = await commands.execute("GET", SCHEMA_KEY, retry_safe=True)
    if stored is None:
        with suppress(StoreRefused, ResponseError):  # a store that takes no writes now is not held against it
            await commands.execute("SET", SCHEMA_KEY, SCHEMA, "NX", retry_safe=True)
        return
    if not stored.isdigit() or int(stored) > SCHEMA:
        raise NewerSchema(
            f"the store has schema {stored[:20].decode(errors='replace')}, and this release knows up to {SCHEMA}: "
            "a newer release has written to it. Upgrade this process, or use another store"
        )
