"""The Redis keys of schedules: their table, functions that build their names, and the ids in them."""

import uuid

from shared.store.keyspace import Key
from shared.surfaces import minted_ids

_KEPT = "400 days, refreshed at each firing and change; longer where the next firing is later"

KEYS: tuple[Key, ...] = (
    Key("finops:schedule:<id>", "hash", _KEPT, "a schedule: times, request, state, last firing"),
    Key("finops:owner:<owner>:schedules", "sorted set", _KEPT, "an owner's schedules by age"),
    Key("finops:schedules:all", "sorted set", "permanent, 10,000 ids", "all schedules by age"),
    Key("finops:schedules:due", "sorted set", "permanent, empties itself", "active schedules, by their next turn"),
)

ALL = "finops:schedules:all"
DUE = "finops:schedules:due"
PREFIX = "sched_"
_FIRINGS = uuid.UUID("6f2a4e0c-6d0e-5b7e-9d5b-1f6d8f0a7c11")


def schedule(schedule_id: str) -> str:
    """The record of a schedule."""
    return f"finops:schedule:{schedule_id}"


def owner_schedules(owner: str) -> str:
    """An owner's schedules by age; an empty owner has its own list."""
    return f"finops:owner:{owner or '-'}:schedules"


def mint_schedule_id() -> str:
    """Create a schedule id."""
    return minted_ids.mint(PREFIX)


def is_schedule_id(text: str) -> bool:
    """Tell whether ``mint_schedule_id`` made an id; no other text may become part of a key."""
    return minted_ids.is_minted(PREFIX, text)


def firing_job_id(schedule_id: str, fire_ms: int) -> str:
    """Return the id of a firing's job, a UUID and the same in every process."""
    return str(uuid.uuid5(_FIRINGS, f"{schedule_id}:{fire_ms}"))
