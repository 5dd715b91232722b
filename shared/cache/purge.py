"""Which stored answers a purge covers. Pure."""

from dataclasses import dataclass

from shared.cache import keyspace
from shared.cache.entry import CacheEntry
from shared.cache.identity import name_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """Which entries to purge: those of all that is given.

    Attributes:
        scope: Hash of a scope; empty: all.
        partition: A cache key of callers; empty: all.
        model: ``provider/model``; empty: all.
        before: Unix seconds; only entries of earlier requests. None: all there are.
    """

    scope: str = ""
    partition: str = ""
    model: str = ""
    before: float | None = None

    @property
    def mark(self) -> str:
        """The key of its mark."""
        any_ = keyspace.ANY
        partition = name_hash(self.partition) if self.partition else any_
        return keyspace.purge_mark(self.scope or any_, partition, name_hash(self.model) if self.model else any_)

    @property
    def vectors(self) -> str:
        """The pattern of the keys of vectors that may be of its requests; losing others is safe: they are a miss."""
        scope, any_ = self.scope or keyspace.ANY, keyspace.ANY
        model = name_hash(self.model) if self.model else any_
        partition = name_hash(self.partition) if self.partition else any_
        return f"{keyspace.VECTORS_AND_QUESTIONS}{scope}-{model}-{partition}-{any_}"

    def covers(self, entry: CacheEntry) -> bool:
        """Whether an entry of its scope is to be purged."""
        if (self.before is not None and entry.at >= self.before) or (
            self.partition and self.partition != entry.partition
        ):
            return False
        return not self.model or self.model == f"{entry.provider}/{entry.model}"
