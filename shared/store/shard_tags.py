"""The hash tags of shards: each is a job engine, whose keys have one tag.

Shard 0 has the names of a store without shards. The others have their tag on every server, so that one server can hold
several; a cluster spreads them over its primaries.
"""

from functools import cache

from shared.store.hash_tag import HashTag, engine_tag

MAX_SHARDS = 64
# Chosen so that the slots of the first N tags, that of shard 0 among them, lie evenly over up to 12 primaries that have
# equal parts of the slots, for every N: a primary has one more than another, or two from 9 primaries on. They are for
# life: jobs are found by them.
_SUFFIXES = (
    772, 136, 150, 277, 83, 393, 518, 220, 246, 105, 163, 507, 561, 350, 336, 1018, 131, 544, 192, 1233, 434, 26, 160,
    461, 407, 278, 59, 346, 386, 242, 38, 415, 743, 279, 152, 606, 440, 766, 363, 143, 370, 417, 26, 350, 613, 267, 222,
    91, 457, 56, 356, 169, 422, 82, 28, 217, 252, 377, 332, 242, 757, 9, 296,
)  # fmt: skip


def shard_tag(shard: int, *, is_cluster: bool) -> HashTag | None:
    """Return the hash tag of a shard's keys on a store; None: they have none."""
    return cluster_tag(shard) if shard or is_cluster else None


@cache
def cluster_tag(shard: int) -> HashTag:
    """Return the hash tag of a shard's keys on a cluster; one object, so that all its connections know the scripts."""
    return engine_tag() if shard == 0 else HashTag(f"s{shard}x{_SUFFIXES[shard - 1]}")
