"""The layout of what is kept in the store, as a number: an older release refuses a store that it cannot read."""

from contextlib import suppress

from redis.exceptions import ResponseError

from shared.store.commands import RedisCommands
from shared.store.errors import StoreRefused
from shared.store.keyspace import Key

SCHEMA = 1
"""Raised by a release whose records or scripts an earlier one would misread."""

SCHEMA_KEY = "finops:schema"
MIGRATING = b"migrating:"
"""How the mark of a store begins to which `finops store migrate` copies; its number is the last thing written."""

KEYS: tuple[Key, ...] = (
    Key(SCHEMA_KEY, "string", "permanent, one", "the layout of the store; an older release does not start on it"),
    Key("finops:incoming", "string", "permanent, one, until `finops store migrate` ends", "a key that it copies"),
)


class NewerSchema(ValueError):
    """The store was written by a newer release; the message says what to do."""


class UnfinishedMigration(NewerSchema):
    """The store holds only part of what `finops store migrate` copies to it."""


async def check_schema(commands: RedisCommands) -> None:
    """Mark an empty store with this release's schema, and reject a store of a later one.

    Raises:
        NewerSchema: A newer release has written to the store.
        UnfinishedMigration: It is the target of a migration that has not ended.
        StoreConnectionError: No answer.
    """
    stored: bytes | None = await commands.execute("GET", SCHEMA_KEY, retry_safe=True)
    if stored is None:
        with suppress(StoreRefused, ResponseError):  # a store that takes no writes now is not held against it
            await commands.execute("SET", SCHEMA_KEY, SCHEMA, "NX", retry_safe=True)
        return
    if stored.startswith(MIGRATING):
        raise UnfinishedMigration("`finops store migrate` has not copied all keys to this store: run it until it ends")
    if not stored.isdigit() or int(stored) > SCHEMA:
        raise NewerSchema(
            f"the store has schema {stored[:20].decode(errors='replace')}, and this release knows up to {SCHEMA}: "
            "a newer release has written to it. Upgrade this process, or use another store"
        )
