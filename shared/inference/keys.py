"""The Redis keys of conversations: their table, and the function that builds their names."""

import hashlib

from shared.store.keyspace import Key

KEYS: tuple[Key, ...] = (
    Key(
        "finops:response:<id>",
        "string",
        "30 days, refreshed when read",
        "a stored response and its input, used by `previous_response_id`",
    ),
    Key(
        "finops:owned:<hash>",
        "string",
        "400 days, refreshed when used",
        "the virtual key that owns an object in a provider's account",
    ),
)


def stored_response(response_id: str) -> str:
    """Return the key of a stored response."""
    return f"finops:response:{response_id}"


def owned_id(provider: str, resource_id: str) -> str:
    """Return the key of an id's owner; hashed, as the id is a provider's or a caller's text."""
    digest = hashlib.sha256(f"{provider}\0{resource_id}".encode("utf-8", "replace"))
    return f"finops:owned:{digest.hexdigest()[:40]}"
