"""The job store over several shards: by a job's id, or from all shards at once."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

from shared.jobs.bodies import AS_THEY_ARE, BodyPolicy
from shared.jobs.filters import JobFilter
from shared.jobs.model import UNCHANGED, Job, Priority, RetryChanges
from shared.jobs.parked import ParkedJobs
from shared.jobs.positions import Order, Position
from shared.jobs.shard_ids import one_of, shard_of, shard_of_id
from shared.jobs.store import Finish, JobPage, JobStore, PriorityStats, QueueStats, by_creation
from shared.store.commands import RedisCommands

MOST_CALLERS = 1000


class ShardedParked(ParkedJobs):
    """Parked jobs, each in its shard.

    Args:
        connections: One to each shard, in order.
    """

    def __init__(self, connections: Sequence[RedisCommands]) -> None:
        super().__init__(connections[0])
        self._shards = tuple(map(ParkedJobs, connections))

    async def add(self, job_id: str, limit: str) -> None:
        """See ``ParkedJobs.add``."""
        await one_of(self._shards, job_id).add(job_id, limit)

    async def remove(self, job_id: str) -> None:
        """See ``ParkedJobs.remove``."""
        await one_of(self._shards, job_id).remove(job_id)

    async def count(self) -> Mapping[str, int]:
        """See ``ParkedJobs.count``."""
        counts = await asyncio.gather(*(shard.count() for shard in self._shards))
        return {kind: sum(count[kind] for count in counts) for kind in counts[0]}


class ShardedStore(JobStore):
    """The job store of several shards.

    Args:
        connections: One to each shard, in order.
        bodies: How bodies are stored.
    """

    def __init__(self, connections: Sequence[RedisCommands], bodies: BodyPolicy = AS_THEY_ARE) -> None:
        super().__init__(connections[0], bodies)
        self._shards = tuple(JobStore(commands, bodies) for commands in connections)
        self.parked = ShardedParked(connections)

    async def is_writable(self) -> bool:
        """Tell whether all shards take writes now."""
        return all(await asyncio.gather(*(shard.is_writable() for shard in self._shards)))

    async def get(self, job_id: str) -> Job | None:
        """See ``JobStore.get``."""
        return await one_of(self._shards, job_id).get(job_id)

    async def payload(self, job_id: str) -> bytes | None:
        """See ``JobStore.payload``."""
        return await one_of(self._shards, job_id).payload(job_id)

    async def finish_many(self, items: Sequence[Finish]) -> list[bool]:
        """See ``JobStore.finish_many``; here the items of one shard are written at once."""
        by_shard: dict[int, list[int]] = {}
        for at, item in enumerate(items):
            by_shard.setdefault(shard_of_id(item.claim.id, len(self._shards)), []).append(at)
        written = await asyncio.gather(
            *(self._shards[shard].finish_many([items[at] for at in places]) for shard, places in by_shard.items())
        )
        answers = dict(zip(itertools.chain(*by_shard.values()), itertools.chain(*written), strict=True))
        return [answers[at] for at in range(len(items))]

    async def cancel(self, job_id: str) -> Job:
        """See ``JobStore.cancel``."""
        return await one_of(self._shards, job_id).cancel(job_id)

    async def delete(self, job_id: str) -> bool:
        """See ``JobStore.delete``."""
        return await one_of(self._shards, job_id).delete(job_id)

    async def retry(self, job_id: str, changes: RetryChanges = UNCHANGED) -> Job:
        """See ``JobStore.retry``."""
        return await one_of(self._shards, job_id).retry(job_id, changes)

    async def position(self, owner: str | None, after: str) -> Position:
        """See ``JobStore.position``; it is one in every shard, as creation and id order the jobs of all."""
        return await one_of(self._shards, after).position(owner, after)

    async def page(self, owner: str | None, wanted: JobFilter, order: Order, position: Position, limit: int) -> JobPage:
        """See ``JobStore.page``; read from all shards that may hold such jobs."""
        shards = self._shards
        if owner is not None:  # batches, schedules and jobs of before are in shard 0
            shards = tuple(self._shards[at] for at in sorted({0, shard_of(owner, len(self._shards))}))
        pages = await asyncio.gather(*(shard.page(owner, wanted, order, position, limit) for shard in shards))
        jobs = sorted(_jobs(pages), key=by_creation, reverse=order == "desc")
        return _cut(jobs, pages, limit)

    async def dead_page(self, position: Position, limit: int) -> JobPage:
        """See ``JobStore.dead_page``."""
        pages = await asyncio.gather(*(shard.dead_page(position, limit) for shard in self._shards))
        return _cut(sorted(_jobs(pages), key=lambda job: (job.completed_ms, job.id), reverse=True), pages, limit)

    async def dead_position(self, after: str) -> Position:
        """See ``JobStore.dead_position``."""
        return await one_of(self._shards, after).dead_position(after)

    async def stats(self) -> QueueStats:
        """Return the sums of all shards."""
        return sum_stats(await asyncio.gather(*(shard.stats() for shard in self._shards)))


def sum_stats(all_stats: Sequence[QueueStats]) -> QueueStats:
    """Add up the statistics of shards; pauses are the same in all of them."""
    callers: Counter[str] = Counter()
    for stats in all_stats:
        callers.update(stats.callers)
    return QueueStats(
        priorities={priority: _sum_priority([s.priorities[priority] for s in all_stats]) for priority in Priority},
        deferred=sum(stats.deferred for stats in all_stats),
        running=sum(stats.running for stats in all_stats),
        dead=sum(stats.dead for stats in all_stats),
        callers=dict(callers.most_common(MOST_CALLERS)),
        pauses=all_stats[0].pauses,
    )


def _sum_priority(queues: Sequence[PriorityStats]) -> PriorityStats:
    return PriorityStats(sum(queue.depth for queue in queues), max(queue.oldest_age_s for queue in queues))


def _jobs(pages: Sequence[JobPage]) -> list[Job]:
    return [job for page in pages for job in page.jobs]


def _cut(jobs: Sequence[Job], pages: Sequence[JobPage], limit: int) -> JobPage:
    has_more = len(jobs) > limit or any(page.has_more for page in pages)
    return JobPage(tuple(jobs[:limit]), has_more=has_more)
