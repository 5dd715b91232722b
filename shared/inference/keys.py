"""The Redis keys of conversations: their table, and the function that builds their names."""

from shared.store.keyspace import Key

KEYS: tuple[Key, ...] = (
    Key(
        "finops:response:<id>",
        "string",
        "30 days, refreshed when read",
        "a stored response and its input, used by `previous_response_id`",
    ),
)


def stored_response(response_id: str) -> str:
    """Return the key of a stored response."""
    return f"finops:response:{response_id}"
