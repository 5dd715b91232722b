"""The Redis keys of lanes: their table, and functions that build their names."""

from shared.store.keyspace import Key

TIMES_DAYS = 3
MAX_MODELS = 1000

KEYS: tuple[Key, ...] = (
    Key("finops:lane-times:<day>", "set", "3 days", "models and lanes with times of that day; 1,000 of them"),
    Key("finops:lane-times:<day>:<lane>:<model>", "hash", "3 days", "how many answers took how long"),
)


def times_index(day: int) -> str:
    """The set of lanes and models that have times; ``day`` counts from 1970."""
    return f"finops:lane-times:{day}"


def times(day: int, name: str) -> str:
    """The histogram of a lane and model (``lane:provider/model``) on one day."""
    return f"finops:lane-times:{day}:{name}"
