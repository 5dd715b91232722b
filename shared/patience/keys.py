"""The Redis keys of lanes: their table, and functions that build their names."""

from shared.store.keyspace import Key

TIMES_DAYS = 3
MAX_MODELS = 1000

KEYS: tuple[Key, ...] = (
    Key("finops:lane-times:<day>", "set", "3 days", "models and lanes with times of that day; 1,000 of them"),
    Key("finops:lane-times:<day>:<lane>:<model>", "hash", "3 days", "how many answers took how long"),
    Key("finops:gathering", "sorted set", "permanent, empties itself", "gathered batches, by their next turn"),
    Key("finops:gathering:<group>", "string", "a day more than it is open", "the batch that takes jobs of a group"),
    Key(
        "finops:gathered:<id>", "hash", "9 days, refreshed", "a batch of single jobs: its group, state, provider's ids"
    ),
    Key("finops:gathered:<id>:jobs", "set", "as the record", "its jobs whose lines are not answered"),
)


def gathered_jobs(batch_id: str) -> str:
    """The jobs of a gathered batch whose lines are not answered."""
    return f"finops:gathered:{batch_id}:jobs"


def times_index(day: int) -> str:
    """The set of lanes and models that have times; ``day`` counts from 1970."""
    return f"finops:lane-times:{day}"


def times(day: int, name: str) -> str:
    """The histogram of a lane and model (``lane:provider/model``) on one day."""
    return f"finops:lane-times:{day}:{name}"
