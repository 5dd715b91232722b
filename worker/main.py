"""The composition root of a worker process."""

import asyncio
import dataclasses
import gc
import importlib.metadata
import logging
import os
import signal
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial

import uvloop

from shared.alerts.evaluation import AlertEvaluator
from shared.alerts.figures import FigureWriter, uses_figures
from shared.alerts.rules import alert_scripts
from shared.background import map_large_blocks
from shared.batches.files import FileStore
from shared.batches.scripts import batch_scripts
from shared.batches.store import BatchStore
from shared.blobs.blob_store import BlobsMisconfigured
from shared.cache.store import cache_scripts
from shared.governance.forecasts.anomalies import AnomalyWatch
from shared.governance.keys.authenticate import Authenticator
from shared.governance.keys.cache import VirtualKeyCache
from shared.governance.limits.guard import governance_scripts
from shared.governance.pricing.prices import PriceBook
from shared.hangup import on_hangup
from shared.inference.assembly import SharedStore, build_billing, build_inference, build_tracing
from shared.inference.submission import Submitter
from shared.jobs.bodies import BodyPolicy
from shared.jobs.model import Priority
from shared.jobs.queue import QueueLimits
from shared.jobs.scripts import SHARD_LIBRARIES, engine_scripts
from shared.patience.scripts import patience_scripts
from shared.providers.configuration import Configuration
from shared.providers.references import check_references
from shared.providers.registry import IncompleteProvider, configured_providers
from shared.providers.senders import check_senders
from shared.schedules.scripts import schedule_scripts
from shared.schedules.store import ScheduleStore
from shared.settings.model import Settings
from shared.store.address import names_cluster, parse_address
from shared.store.connection import connect
from shared.store.encryption import EncryptionUnavailable
from shared.store.errors import StoreConnectionError
from shared.store.multiplexed import MultiplexedClient
from shared.store.reloads import ReloadListener
from shared.store.requirements import StoreUnsuitable, check_server
from shared.telemetry.logs import configure
from shared.telemetry.metrics import Metrics
from shared.telemetry.provider_metrics import watch_providers
from shared.telemetry.snapshots import folder_of
from shared.telemetry.tracing import Tracing, exemplar_source
from shared.webhooks.scripts import webhook_scripts
from worker.alerts import watch_rules, watch_spending
from worker.batch_lines import LineJobs
from worker.batch_turns import BatchTurns
from worker.batches import BatchLoop
from worker.delivery_lane import DeliveryLane
from worker.exposition import serve_metrics
from worker.lane_batches import gathered_batches
from worker.lane_tools import LaneTools
from worker.leased_worker import WorkerOptions
from worker.outage import OutageLog
from worker.provider_batches import follow_batches
from worker.schedule_turns import ScheduleTurns
from worker.succession import Shift, Succession
from worker.tier import Tier, connect_engines, connect_worker, share_parked, start_engine_parts
from worker.traced import traced_delivery
from worker.turn_loop import TurnLoop
from worker.watched import WatchedParts

BATCH_LOOPS = 2
VERSION = importlib.metadata.version("finops-gateway")  # here, as a read would block a running loop
COLLECTIONS = (700, 10, 10)  # as Python has them; a start collects more rarely
CANCEL_AGAIN_S = 0.2
BATCH_WINDOW = 1000
"""Most lines of a batch that are jobs at once: enough for any concurrency, few enough for the store's memory."""


logger = logging.getLogger("finops.worker")


def run_worker(
    settings: Settings,
    *,
    queues: Sequence[Priority] = tuple(Priority),
    concurrency: int | None = None,
    metrics_port: int | None = None,
    metrics_host: str = "127.0.0.1",
    environ: Mapping[str, str] | None = None,
    supervised: bool = False,
) -> int:
    """Process jobs until SIGTERM or SIGINT; an unavailable store is waited for.

    SIGHUP, and an announcement on the store, read the configuration again.

    Args:
        queues: Priorities to serve.
        concurrency: Concurrent jobs; None: as configured.
        metrics_port: Port for metrics and health checks; None: not served.
        environ: Variables with the providers' keys; default: the process's.
        supervised: A supervisor reloads the configuration, by replacing this process.

    Returns:
        The exit code: 0 after an orderly end, 1 when it could not start.
    """
    configure(settings.log, "worker")
    if settings.redis.url is None:
        return _refuse("no job store is configured: set FINOPS_REDIS_URL or [redis] url")
    try:
        parse_address(settings.redis.url.get_secret_value())
    except ValueError as error:
        return _refuse(f"invalid configuration: {error}")
    options = partial(_options, queues=queues, concurrency=concurrency)
    metrics_address = None if metrics_port is None else (metrics_host, metrics_port)
    _read_files(settings)
    environ = os.environ if environ is None else environ
    try:
        providers = configured_providers(settings, environ)
        check_references(settings, providers)
        check_senders(providers, environ)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_work(settings, options, metrics_address, environ, supervised))
    except (IncompleteProvider, StoreUnsuitable, BlobsMisconfigured, EncryptionUnavailable) as error:
        return _refuse(f"invalid configuration: {error}")
    except OSError as error:
        return _refuse(f"the worker cannot start: {error}")
    return 0


def _options(settings: Settings, queues: Sequence[Priority], concurrency: int | None) -> WorkerOptions:
    return WorkerOptions(
        concurrency=concurrency or settings.jobs.concurrency,
        priorities=tuple(queues),
        max_run_s=settings.jobs.max_run_s,
        grace_s=settings.jobs.shutdown_grace_s,
        max_result_bytes=int(settings.jobs.max_result_mb * 1024 * 1024),
        # Submits of a worker have no caller waiting; the append-only file keeps the order of writes anyway.
        limits=dataclasses.replace(QueueLimits.of(settings.jobs), durability="everysec"),
        version=VERSION,
    )


def _read_files(settings: Settings) -> None:
    """Read scripts and prices before the loop runs: files block."""
    engine_scripts()
    if settings.redis.shards > 1:
        engine_scripts(SHARD_LIBRARIES)
    batch_scripts()
    governance_scripts()
    cache_scripts()
    webhook_scripts()
    alert_scripts()
    schedule_scripts()
    patience_scripts()
    PriceBook.warm()


async def _work(
    settings: Settings,
    options: Callable[[Settings], WorkerOptions],
    metrics_address: tuple[str, int] | None,
    environ: Mapping[str, str],
    supervised: bool,
) -> None:
    metrics = Metrics("worker", trace_id=exemplar_source(settings.telemetry))

    async def begin(settings: Settings, exits: AsyncExitStack) -> Shift:
        configure(settings.log, "worker")
        tracing = await asyncio.to_thread(build_tracing, settings, "worker", VERSION)
        if tracing is not None:
            exits.push_async_callback(asyncio.to_thread, tracing.close)
        stored = dataclasses.replace(options(settings), bodies=BodyPolicy.of(settings, metrics.blobs))
        return _assemble(settings, stored, metrics, environ, exits, tracing=tracing)

    succession = Succession(begin, Configuration(settings, environ))
    watch_providers(metrics.registry, succession.states)
    async with AsyncExitStack() as exits:
        # A worker with a port of its own is a target of its own: it must not be counted twice.
        metrics.share(folder_of(environ) if metrics_address is None else None)
        exits.push_async_callback(metrics.aclose)
        await _check_store(settings)
        await succession.start(settings)
        if metrics_address is not None:
            await exits.enter_async_context(serve_metrics(metrics, *metrics_address, ready=succession.ready))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, succession.stop)
        if not supervised:
            _listen_for_reloads(settings, succession, exits)
        # Objects built so far live as long as the process: frozen, no collection scans them again.
        gc.freeze()
        gc.set_threshold(*COLLECTIONS)
        map_large_blocks()
        await succession.until_ended()
    logger.info("worker stopped")


def _listen_for_reloads(settings: Settings, succession: Succession, exits: AsyncExitStack) -> None:
    """Reload at SIGHUP, and when an API process announces it."""
    url = settings.redis.url.get_secret_value() if settings.redis.url else ""
    listener = ReloadListener(
        lambda: connect(url, timeout_s=None, max_connections=1, client_name="finops-worker-reloads"),
        uuid.uuid4().hex,
        succession.reload,
    )
    on_hangup(succession.reload_soon, succession.stop)
    listener.start()
    exits.push_async_callback(listener.aclose)


async def _check_store(settings: Settings) -> None:
    """Check that jobs can be kept on the store; an unreachable one is waited for.

    Raises:
        StoreUnsuitable: The store is a cluster that its URL does not name, evicts keys, or has other shards.
    """
    assert settings.redis.url is not None  # noqa: S101 - checked by the caller
    url = settings.redis.url.get_secret_value()
    commands = MultiplexedClient(url, client_name="finops-check")
    try:
        redis, is_cluster = settings.redis, names_cluster(url)
        await check_server(commands, allow_eviction=redis.allow_eviction, is_cluster=is_cluster, shards=redis.shards)
    except StoreConnectionError as error:
        logger.warning("the job store is not available yet: %s", error)
    finally:
        await commands.aclose()


def _assemble(
    settings: Settings,
    options: WorkerOptions,
    metrics: Metrics,
    environ: Mapping[str, str],
    exits: AsyncExitStack,
    *,
    tracing: Tracing | None = None,
) -> Shift:
    """Build all parts; ``exits`` closes them in reverse order. Nothing is connected yet."""
    url = settings.redis.url.get_secret_value() if settings.redis.url else ""
    commands = MultiplexedClient(url, client_name="finops-worker")
    exits.push_async_callback(commands.aclose)
    store = _shared_store(url, commands, options)
    engines = connect_engines(url, commands, settings.redis.shards, exits)
    billing = build_billing(settings, commands, metrics)
    share_parked(billing, engines)
    inference = build_inference(
        settings, environ, watch=metrics, cache_watch=metrics.cache, store=store, billing=billing, tracing=tracing
    )
    exits.push_async_callback(inference.aclose)
    inference.start()
    ring = VirtualKeyCache(commands, settings, lambda: connect(url, timeout_s=None, client_name="finops-worker-keys"))
    governance = Authenticator(settings, ring=ring)
    exits.push_async_callback(governance.aclose)
    delivery = traced_delivery(settings, commands, tracing, engines)
    exits.push_async_callback(delivery.aclose)
    tier = Tier(settings, options, metrics, url, commands, engines, inference, governance, billing)
    worker = connect_worker(tier, delivery, tracing)
    submitter = tier.submitter()
    turns = _batch_turns(tier, submitter)
    outage = OutageLog()
    parts = WatchedParts(worker.stop)
    for _ in range(BATCH_LOOPS):
        parts.start("batches", BatchLoop(BatchStore(commands), turns, outage).run)
    parts.start("schedules", TurnLoop(_schedule_turns(tier, submitter).take_turn, outage).run)
    if (batches := inference.forwarder.batches) is not None:
        followed = follow_batches(settings, options.bodies, billing.followed, batches, governance)
        parts.start("provider-batches", followed.run)
    lane = DeliveryLane(delivery, settings.webhooks_delivery.concurrency, metrics, outage)
    exits.push_async_callback(lane.aclose)
    parts.start("deliveries", lane.run)
    start_engine_parts(parts, tier, outage, exits, delivery=delivery, lane=lane)
    _share_figures(parts, settings, FigureWriter(commands, metrics.figures), exits)
    _start_watches(parts, tier)
    exits.push_async_callback(parts.aclose)  # the first to end: what it uses is still open
    logger.info("worker starts", extra={"concurrency": options.concurrency, "queues": list(options.priorities)})
    return Shift(worker, inference.states)


def _shared_store(url: str, commands: MultiplexedClient, options: WorkerOptions) -> SharedStore:
    """Return the access to the store that the inference path shares with other processes."""
    subscription = partial(connect, url, timeout_s=None, max_connections=1, client_name="finops-health")
    return SharedStore(commands, subscription, options.bodies.cipher)


def _share_figures(parts: WatchedParts, settings: Settings, figures: FigureWriter, exits: AsyncExitStack) -> None:
    """Add what this process counts to the figures of alert rules, if a rule uses them."""
    if uses_figures(settings.alerts.values()):
        exits.push_async_callback(figures.close)
        parts.start("figures", figures.run)


def _start_watches(parts: WatchedParts, tier: Tier) -> None:
    """Start the checks that one worker of a deployment does at a time, and its turns at gathered batches."""
    _start_gathered(parts, tier)
    settings, commands = tier.settings, tier.commands
    if settings.ledger.anomalies:
        every_s = settings.ledger.anomaly_check_s
        parts.start("anomalies", partial(watch_spending, AnomalyWatch(commands, every_s), every_s))
    # Without rules too: the alert of one that was removed while it fired has to be resolved.
    evaluator = AlertEvaluator(commands, settings.alerts, tier.inference.states, jobs=tier.all_jobs())
    parts.start("alert-rules", partial(watch_rules, evaluator))


def _start_gathered(parts: WatchedParts, tier: Tier) -> None:
    """Start what sends gathered jobs as batches."""
    tools = LaneTools(
        tier.commands, tier.options.bodies, billing=tier.billing, inference=tier.inference, governance=tier.governance
    )
    gathered = gathered_batches(tools, tier.settings.jobs.patience, tier.metrics)
    if gathered is not None:
        parts.start("gathered-batches", TurnLoop(gathered.take_turn, poll_s=gathered.poll_s).run)


def _schedule_turns(tier: Tier, submitter: Submitter) -> ScheduleTurns:
    """Build what fires schedules."""
    return ScheduleTurns(
        ScheduleStore(tier.commands, tier.options.bodies.cipher),
        submitter,
        tier.inference,
        tier.governance,
        settings=tier.settings.jobs,
        count=tier.metrics.schedule_fired,
    )


def _batch_turns(tier: Tier, submitter: Submitter) -> BatchTurns:
    """Build what advances batches; their lines use at most half of an owner's queue, to leave room for its own jobs."""
    store = BatchStore(tier.commands, tier.options.bodies.cipher)
    half = max(1, tier.settings.jobs.max_queued_per_key // 2)
    return BatchTurns(
        store,
        FileStore(tier.commands, bodies=tier.options.bodies),
        LineJobs(submitter, tier.jobs(), store, max_queued=half),
        tier.inference,
        tier.governance,
        window=min(BATCH_WINDOW, half),
        max_line_bytes=tier.settings.server.max_body_bytes,
    )


async def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel a background task and wait for its end; again where a library has swallowed the cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_S)


def _refuse(reason: str) -> int:
    sys.stderr.write(f"worker: {reason}\n")
    return 1
