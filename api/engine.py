"""The job engine as the API tier uses it: over one connection, or over one to each shard."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from shared.background import keep_running
from shared.governance.bookings.carrier import BookingCarrier, waiting_bookings
from shared.governance.bookings.loop import BookingLoop
from shared.jobs.bodies import BodyPolicy
from shared.jobs.events import EventLog
from shared.jobs.operations import OperationStore
from shared.jobs.overview import OverviewReader
from shared.jobs.pauses import PauseStore
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.shard_ids import shard_of_id
from shared.jobs.sharded.operations import ShardedOperations
from shared.jobs.sharded.queue import ShardedQueue
from shared.jobs.sharded.reading import ShardedEvents, ShardedOverview, ShardedPauses, ShardedWaiters
from shared.jobs.sharded.store import ShardedStore
from shared.jobs.store import JobStore
from shared.jobs.waiting import OutcomeWaiters
from shared.store.commands import PooledCommands, RedisCommands

Subscription = Callable[[], Redis]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConnections:
    """Connections to a shard.

    Attributes:
        commands: The shared one.
        durable: For submits that wait for disk or replicas; None: none does.
        subscription: Creates a client for a subscription.
    """

    commands: RedisCommands
    durable: PooledCommands | None
    subscription: Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEngine:
    """What endpoints use of the job engine.

    Attributes:
        shards: Connections to each shard, in order.
        carriers: What carries the bookings of shards 1 and on to shard 0.
    """

    queue: JobQueue
    store: JobStore
    events: EventLog
    waiters: OutcomeWaiters
    operations: OperationStore
    pauses: PauseStore
    overview: OverviewReader
    shards: tuple[StoreConnections, ...]
    carriers: tuple[BookingCarrier, ...] = ()
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """Begin to carry bookings; with one shard there is nothing to do."""
        for connections, carrier in zip(self.shards[1:], self.carriers, strict=True):
            loop = BookingLoop(connections.commands, carrier, f"api-{uuid.uuid4().hex}")
            self._tasks.append(keep_running("bookings", loop.run))

    async def waiting_bookings(self) -> int:
        """Return how many bookings of all shards are not carried yet; with one shard, 0 without a round trip.

        Raises:
            StoreConnectionError: No answer.
        """
        return sum(await asyncio.gather(*(waiting_bookings(shard.commands) for shard in self.shards[1:])))

    async def settle(self, job_id: str) -> None:
        """Carry what is booked of a job's shard, before its costs are reserved once more.

        Raises:
            StoreUnavailable: No answer.
        """
        shard = shard_of_id(job_id, len(self.shards))
        if shard:
            await self.carriers[shard - 1].carry_all()

    async def aclose(self) -> None:
        """Close every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.waiters.aclose()
        for connections in self.shards:
            await connections.commands.aclose()
            if connections.durable is not None:
                await connections.durable.aclose()


def build_engine(shards: Sequence[StoreConnections], limits: QueueLimits, bodies: BodyPolicy) -> JobEngine:
    """Build the job engine; nothing is connected yet.

    Args:
        shards: Connections to each shard, in order.
        limits: As configured.
        bodies: How bodies are stored.
    """
    return _build_one(shards[0], limits, bodies) if len(shards) == 1 else _build_several(shards, limits, bodies)


def _build_one(shard: StoreConnections, limits: QueueLimits, bodies: BodyPolicy) -> JobEngine:
    commands = shard.commands
    store, events = JobStore(commands, bodies), EventLog(commands, bodies.cipher)
    return JobEngine(
        queue=JobQueue(commands, limits, durable=shard.durable, bodies=bodies),
        store=store,
        events=events,
        waiters=OutcomeWaiters(store, events, shard.subscription),
        operations=OperationStore(commands),
        pauses=PauseStore(commands),
        overview=OverviewReader(commands),
        shards=(shard,),
    )


def _build_several(shards: Sequence[StoreConnections], limits: QueueLimits, bodies: BodyPolicy) -> JobEngine:
    connections = [shard.commands for shard in shards]
    store, events = ShardedStore(connections, bodies), ShardedEvents(connections, bodies.cipher)
    return JobEngine(
        queue=ShardedQueue(connections, limits, durable=[shard.durable for shard in shards], bodies=bodies),
        store=store,
        events=events,
        waiters=ShardedWaiters(store, events, [shard.subscription for shard in shards]),
        operations=ShardedOperations(connections),
        pauses=ShardedPauses(connections),
        overview=ShardedOverview(connections),
        shards=tuple(shards),
        carriers=tuple(BookingCarrier(commands, connections[0]) for commands in connections[1:]),
    )
