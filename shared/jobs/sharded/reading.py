"""Events, waits, pauses and figures over several shards."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from redis.asyncio import Redis

from shared.errors import NotFound
from shared.jobs.events import EventLog
from shared.jobs.filters import JobFilter
from shared.jobs.model import Claim, Event, Job, State
from shared.jobs.overview import Overview, OverviewReader
from shared.jobs.pauses import Pause, PauseStore
from shared.jobs.positions import START
from shared.jobs.shard_ids import one_of
from shared.jobs.sharded.store import sum_stats
from shared.jobs.store import JobStore, by_creation
from shared.jobs.waiting import OutcomeWaiters
from shared.store.commands import RedisCommands
from shared.store.encryption import PLAIN, BodyCipher

_FAILED = JobFilter(states=(State.FAILED,))


class ShardedEvents(EventLog):
    """The event logs of several shards.

    Args:
        connections: One to each shard, in order.
        cipher: Seals what runs emit.
    """

    def __init__(self, connections: Sequence[RedisCommands], cipher: BodyCipher = PLAIN) -> None:
        super().__init__(connections[0], cipher)
        self._shards = tuple(EventLog(commands, cipher) for commands in connections)

    async def append(self, claim: Claim, events: Sequence[tuple[str, bytes]]) -> bool:
        """See ``EventLog.append``."""
        return await one_of(self._shards, claim.id).append(claim, events)

    async def read(self, job_id: str, after: str = "0", count: int = 500) -> list[Event]:
        """See ``EventLog.read``."""
        return await one_of(self._shards, job_id).read(job_id, after, count)


class ShardedWaiters(OutcomeWaiters):
    """Wakes the waiters of jobs of several shards, over a subscription to each.

    Args:
        store: Reads jobs.
        events: Reads event logs.
        connects: For each shard, what creates a client for its subscription alone, without a read timeout.
    """

    def __init__(self, store: JobStore, events: EventLog, connects: Sequence[Callable[[], Redis]]) -> None:
        super().__init__(store, events, connects[0])
        self._shards = tuple(OutcomeWaiters(store, events, connect) for connect in connects)

    async def wait(self, job_id: str, timeout_s: float) -> Job:
        """See ``OutcomeWaiters.wait``."""
        return await one_of(self._shards, job_id).wait(job_id, timeout_s)

    def follow(self, job_id: str, after: str = "0") -> AsyncIterator[Event]:
        """See ``OutcomeWaiters.follow``."""
        return one_of(self._shards, job_id).follow(job_id, after)

    async def aclose(self) -> None:
        """End the subscriptions."""
        await asyncio.gather(*(shard.aclose() for shard in self._shards))


class ShardedPauses(PauseStore):
    """Pauses of several shards: all of them have every pause.

    Args:
        connections: One to each shard, in order.
    """

    def __init__(self, connections: Sequence[RedisCommands]) -> None:
        super().__init__(connections[0])
        self._shards = tuple(map(PauseStore, connections))

    async def put(self, pause: Pause) -> None:
        """See ``PauseStore.put``; shard 0, which is listed, comes last: what is listed holds everywhere."""
        await asyncio.gather(*(shard.put(pause) for shard in self._shards[1:]))
        await self._shards[0].put(pause)

    async def delete(self, scope: str) -> None:
        """See ``PauseStore.delete``; shard 0 comes last, so that an end that failed half-way can be asked for again."""
        ends = await asyncio.gather(*(shard.delete(scope) for shard in self._shards[1:]), return_exceptions=True)
        for error in ends:
            if isinstance(error, BaseException) and not isinstance(error, NotFound):
                raise error
        await self._shards[0].delete(scope)

    async def list(self) -> tuple[Pause, ...]:
        """See ``PauseStore.list``."""
        return await self._shards[0].list()


class ShardedOverview(OverviewReader):
    """Figures of several shards; spend and strings are in shard 0.

    Args:
        connections: One to each shard, in order.
    """

    def __init__(self, connections: Sequence[RedisCommands]) -> None:
        super().__init__(connections[0])
        self._others = tuple(map(JobStore, connections[1:]))

    async def read(self, failed: int, strings: Sequence[str] = ()) -> Overview:
        """See ``OverviewReader.read``."""
        first, stats, pages = await asyncio.gather(
            super().read(failed, strings),
            asyncio.gather(*(shard.stats() for shard in self._others)),
            asyncio.gather(*(shard.page(None, _FAILED, "desc", START, failed) for shard in self._others)),
        )
        jobs = [*first.failed, *(job for page in pages for job in page.jobs)]
        newest = sorted(jobs, key=by_creation, reverse=True)[:failed]
        return replace(first, stats=sum_stats([first.stats, *stats]), failed=tuple(newest))
