"""The Redis keys by which processes share the health of providers."""

from shared.store.keyspace import Key

HASH = "finops:health"
CHANNEL = "finops:health:changes"

KEYS: tuple[Key, ...] = (
    Key(HASH, "hash", "24 hours", "provider health that processes share"),
    Key(CHANNEL, "channel", "none", "changes of it, as they happen"),
)
