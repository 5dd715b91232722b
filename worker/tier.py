"""What the parts of a worker process share, and the parts that each shard of the store has."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from shared.governance.bookings.carrier import BookingCarrier
from shared.governance.bookings.loop import BookingLoop
from shared.governance.keys.authenticate import Authenticator
from shared.inference.billing import Billing
from shared.inference.inference import Inference
from shared.inference.submission import Submitter, nothing_to_settle
from shared.jobs.blobs import ListedBlobs
from shared.jobs.bodies import Bodies
from shared.jobs.operations import OperationStore
from shared.jobs.queue import JobQueue
from shared.jobs.sharded.store import ShardedParked, ShardedStore
from shared.jobs.store import JobStore
from shared.patience.times import LaneTimes
from shared.settings.model import Settings
from shared.store.connection import connect
from shared.store.multiplexed import MultiplexedClient
from shared.telemetry.metrics import Metrics
from shared.telemetry.tracing import Tracing
from worker.blob_sweep import BlobSweep
from worker.delivery_lane import DeliveryLane
from worker.lane_runs import LaneRuns
from worker.leased_worker import LeasedWorker, WorkerOptions
from worker.operation_turns import OperationTurns
from worker.outage import OutageLog
from worker.outbox import Outbox
from worker.sharded_worker import ShardedWorker
from worker.tasks import JobRunner
from worker.traced import traced_run
from worker.turn_loop import TurnLoop
from worker.watched import WatchedParts
from worker.webhooks import WebhookDelivery


@dataclass(frozen=True, slots=True)
class Tier:
    """What the parts of a worker share.

    Attributes:
        url: Of the store.
        commands: A connection to shard 0, where everything but jobs is.
        engines: One to each shard; the first is ``commands``.
    """

    settings: Settings
    options: WorkerOptions
    metrics: Metrics
    url: str
    commands: MultiplexedClient
    engines: tuple[MultiplexedClient, ...]
    inference: Inference
    governance: Authenticator
    billing: Billing

    def jobs(self, shard: int = 0) -> JobStore:
        """Return a store of a shard's jobs."""
        return JobStore(self.engines[shard], self.options.bodies)

    def all_jobs(self) -> JobStore:
        """Return a store of the jobs of all shards."""
        return self.jobs() if len(self.engines) == 1 else ShardedStore(self.engines, self.options.bodies)

    def runner(self, delivery: WebhookDelivery, shard: int) -> JobRunner:
        """Return what runs a shard's jobs."""
        bodies, streams = Bodies(self.engines[shard], self.options.bodies), self.settings.streams_jobs
        lanes = LaneRuns(self.inference, LaneTimes(self.commands), self.metrics.lane_tried)
        return JobRunner(self.inference, self.governance, delivery, bodies=bodies, streams=streams, lanes=lanes)

    def submitter(self, shard: int = 0) -> Submitter:
        """Return what submits jobs of batches and schedules, and of operations on a shard."""
        engine = self.engines[shard]
        queue = JobQueue(engine, self.options.limits, bodies=self.options.bodies)
        carrier = BookingCarrier(engine, self.commands)

        async def settle(_job_id: str) -> None:
            await carrier.carry_all()

        return Submitter(self.inference, queue, self.jobs(shard), settle if shard else nothing_to_settle)


def connect_engines(
    url: str, commands: MultiplexedClient, shards: int, exits: AsyncExitStack
) -> tuple[MultiplexedClient, ...]:
    """Return connections to all shards, of which the first is given; ``exits`` closes the others."""
    others = [MultiplexedClient(url, client_name="finops-worker", shard=shard) for shard in range(1, shards)]
    for engine in others:
        exits.push_async_callback(engine.aclose)
    return (commands, *others)


def share_parked(billing: Billing, engines: Sequence[MultiplexedClient]) -> None:
    """List parked jobs in their shards."""
    if len(engines) > 1:
        billing.parked = ShardedParked(engines)


def connect_worker(tier: Tier, delivery: WebhookDelivery, tracing: Tracing | None) -> LeasedWorker | ShardedWorker:
    """Create what claims and runs jobs."""
    runs = [traced_run(tier.runner(delivery, shard).run, tracing) for shard in range(len(tier.engines))]
    if len(runs) == 1:
        return LeasedWorker.connect(tier.url, runs[0], tier.options, metrics=tier.metrics)
    return ShardedWorker.connect(tier.url, runs, tier.options, metrics=tier.metrics)


def operation_turns(tier: Tier, shard: int) -> OperationTurns:
    """Build what works on a shard's part of bulk operations."""
    return OperationTurns(
        OperationStore(tier.engines[shard]),
        tier.jobs(shard),
        tier.submitter(shard),
        tier.governance,
        ended=_ignore if shard else tier.metrics.operation_ended,
    )


def start_engine_parts(
    parts: WatchedParts,
    tier: Tier,
    outage: OutageLog,
    exits: AsyncExitStack,
    *,
    delivery: WebhookDelivery,
    lane: DeliveryLane,
) -> None:
    """Start the parts that each shard has: its part of bulk operations, its outbox, its objects, and its bookings."""
    blobs, name, count = tier.options.bodies.blobs, tier.options.worker_id, tier.metrics.alerted
    for shard, engine in enumerate(tier.engines):
        seen = OutageLog() if shard else outage  # the outage of one shard is not that of the others
        parts.start("operations", TurnLoop(operation_turns(tier, shard).take_turn, seen).run)
        reader = connect(tier.url, timeout_s=None, max_connections=1, client_name="finops-outbox", shard=shard)
        exits.push_async_callback(reader.aclose)
        outbox = Outbox(reader, delivery, name, count=count, wake=lane.wake, outage=seen, shard=shard)
        parts.start("outbox", outbox.run)
        if blobs is not None:
            parts.start("blobs", BlobSweep(ListedBlobs(engine, blobs), OutageLog()).run)
        if shard:
            carrier = BookingCarrier(engine, tier.commands)
            parts.start("bookings", BookingLoop(engine, carrier, name).run)


def _ignore(_action: str, _status: str) -> None:
    """Count an operation once: where shard 0 ends it."""
