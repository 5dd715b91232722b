"""The arq Worker with leases, wake-ups, batched claims and batched outcomes.

arq's own ``Worker`` polls, marks a job for minutes and writes results unfenced; this subclass keeps arq's keys, arq's
class and arq's ways of inspecting a queue, and replaces how a worker processes a job. The parts:

- ``claims.py`` blocks on its own connection until a submit wakes it, and claims in fair order;
- ``runs.py`` starts, bounds and cancels runs;
- ``renewal.py`` renews leases from a thread;
- ``recorder.py`` writes outcomes, many at a time, through outages;
- this file puts them together and ends them in order.
"""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Self

import orjson
from arq.connections import ArqRedis
from arq.worker import Worker, func
from redis.exceptions import RedisError

from shared import clock
from shared.background import PART_FAILURES
from shared.errors import StoreUnavailable
from shared.jobs import keys
from shared.jobs.bodies import AS_THEY_ARE, Bodies
from shared.jobs.model import Claim
from shared.jobs.queue import ClaimBatch, JobQueue
from shared.jobs.scripts import EngineScripts
from shared.jobs.signals import Signals
from shared.jobs.store import JobStore
from shared.jobs.workers import WorkerRecord
from shared.store.commands import RedisCommands
from shared.store.connection import connect, connect_arq
from shared.store.multiplexed import MultiplexedClient
from worker.claims import BATCH, ClaimSource
from worker.health import Heartbeat
from worker.metrics import NO_METRICS, EngineMetrics
from worker.options import WorkerOptions
from worker.recorder import Recorder
from worker.renewal import Renewal
from worker.runs import RunFunction, Runs

__all__ = ["LeasedWorker", "WorkerOptions"]

SWEEP_S = 0.5
MIN_BLOCK_MS = 10
LAST_WRITES_S = 5.0

MakeRuns = Callable[[RunFunction, WorkerOptions, EngineMetrics, Bodies | None], Runs]

logger = logging.getLogger("finops.worker")


class LeasedWorker(Worker):
    """Processes jobs until stopped. Create it with ``connect``, inside a running event loop.

    Attributes:
        ready: Set while the store answers and jobs are claimed.
    """

    def __init__(
        self,
        run: RunFunction,
        url: str,
        options: WorkerOptions,
        *,
        commands: RedisCommands,
        arq_redis: ArqRedis,
        metrics: EngineMetrics,
        make_runs: MakeRuns = Runs,
    ) -> None:
        super().__init__(
            functions=[func(_never_called, name="run_job")],
            redis_pool=arq_redis,
            max_jobs=options.concurrency,
            job_timeout=options.max_run_s,
            handle_signals=False,
            health_check_key=keys.worker_health(options.worker_id),
            job_serializer=orjson.dumps,
            job_deserializer=orjson.loads,
            log_results=False,
        )
        self.ready = asyncio.Event()
        self.options = options
        self._commands = commands
        self._metrics = metrics
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._queue = JobQueue(commands, dataclasses.replace(options.limits, durability="everysec"))
        bodies = None if options.bodies == AS_THEY_ARE else Bodies(commands, options.bodies)
        self._runs = make_runs(run, options, metrics, bodies)
        self._recorder = Recorder(JobStore(commands, options.bodies), self._queue, self._runs.recorded)
        self._runs.recorder = self._recorder
        alone = partial(connect, url, timeout_s=None, max_connections=1, shard=commands.shard)
        claims = alone(client_name="finops-claims")
        self._source = ClaimSource(self._queue, claims, commands, options.worker_id, options.priorities)
        self._signals = Signals(partial(alone, client_name="finops-cancels"))
        self._health = Heartbeat(
            EngineScripts(commands), options.worker_id, self._describe, self._runs.capacity, self._record
        )
        self._started_ms = int(time.time() * 1000)
        self._renewal = Renewal(
            url,
            options.limits,
            leases=self._runs.leases,
            last_moved=lambda: self._runs.last_moved,
            stall_s=max(options.max_run_s, options.limits.lease_s),
            report=self._on_renewal_thread,
            shard=commands.shard,
        )

    @classmethod
    def connect(
        cls, url: str, run: RunFunction, options: WorkerOptions | None = None, *, metrics: EngineMetrics | None = None
    ) -> Self:
        """Create a worker with its own connections, which connect on first use.

        Args:
            url: URL of the store.
            run: Runs one job.
            options: Concurrency, priorities and limits.
            metrics: Receives counts.

        Raises:
            ValueError: The URL is invalid.
        """
        return cls(
            run,
            url,
            options or WorkerOptions(),
            commands=MultiplexedClient(url),
            arq_redis=connect_arq(url),
            metrics=metrics or NO_METRICS,
        )

    @property
    def running(self) -> int:
        """How many jobs run in this process."""
        return self._runs.count

    @property
    def is_stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Claim no more jobs, let running ones finish within the grace period, release the others; twice: no grace."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def main(self) -> None:
        """Serve; arq's name for it."""
        await self.serve()

    async def serve(self) -> None:
        """Process jobs until ``stop``; all connections are closed on return."""
        self._renewal.start()
        tasks = [
            asyncio.create_task(coroutine, name=f"finops-{name}") for name, coroutine in self._background().items()
        ]
        for task in tasks:
            task.add_done_callback(self._on_background_end)
        try:
            await self._claim_until_stopped()
            await self._wind_down()
        finally:
            self.ready.clear()
            self._runs.stop_all()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._renewal.stop()
            await self._health.end()
            await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._signals.aclose()
        await self._source.aclose()
        await self._commands.aclose()
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None

    def _background(self) -> dict[str, Coroutine[Any, Any, None]]:
        return {
            "recorder": self._recorder.run(),
            "clock": self._runs.watch_time(),
            "cancels": self._watch_cancels(),
            "health": self._health.run(),
            "unblock": self._unblock_on_stop(),
        }

    async def _unblock_on_stop(self) -> None:
        await self._stopping.wait()
        await self._source.unblock()

    async def _claim_until_stopped(self) -> None:
        failures = 0
        block_ms = 0
        while not self._stopping.is_set():
            try:
                batch = await self._claim(block_ms)
            except (StoreUnavailable, RedisError) as error:
                if failures == 0:
                    logger.warning("cannot claim jobs: %s", error)
                self.ready.clear()
                await self._pause(clock.back_off_s(failures))
                failures += 1
                continue
            if failures:
                logger.warning("claiming jobs again")
            failures = 0
            self.ready.set()
            self._take(batch)
            block_ms = 0 if batch.ready and batch.claims else max(MIN_BLOCK_MS, batch.next_ms)

    async def _claim(self, block_ms: int) -> ClaimBatch:
        """Claim the next jobs; a worker without a free slot still claims zero, which promotes and expires due jobs."""
        if self._runs.free <= 0:
            await self._runs.until_room(SWEEP_S)
            block_ms = 0
        return await self._source.claim(max(0, min(self._runs.free, BATCH)), block_ms)

    def _take(self, batch: ClaimBatch) -> None:
        for claim in batch.claims:
            self._runs.start(claim)
        if batch.claims:
            self._count(batch.claims)

    def _count(self, claims: Sequence[Claim]) -> None:
        metrics = self._metrics
        for claim in claims:
            priority = str(claim.priority)
            metrics.claimed(1, priority)
            metrics.waited((claim.started_ms - claim.due_ms) / 1000, priority)
            if claim.reason == "lost_lease":
                metrics.rerun(priority)
        metrics.running(self.running)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _wind_down(self) -> None:
        """Wait for the grace period, cancel, release jobs without an outcome, and wait until outcomes are written."""
        self.ready.clear()
        logger.info("worker is stopping", extra={"running": self._runs.count})
        await self._within(self.options.grace_s, self._runs.until_empty())
        self._runs.stop_all()
        await asyncio.sleep(0)
        await self._within(LAST_WRITES_S, self._until_tasks_done())
        await self._release(self._runs.unfinished())
        await self._within(LAST_WRITES_S, self._recorder.until_idle())

    async def _within(self, seconds: float, coroutine: Coroutine[Any, Any, None]) -> None:
        """Wait for a coroutine, at most ``seconds`` and not after a second ``stop``."""
        work = asyncio.ensure_future(coroutine)
        hurry = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait([work, hurry], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in (work, hurry):
            task.cancel()
        await asyncio.gather(work, hurry, return_exceptions=True)

    async def _until_tasks_done(self) -> None:
        tasks = self._runs.tasks()
        if tasks:
            await asyncio.wait(tasks)

    async def _release(self, claims: Sequence[Claim]) -> None:
        if not claims:
            return
        for pause_s in (*clock.BACK_OFF_S, None):
            try:
                self._metrics.released(await self._queue.release(claims))
            except StoreUnavailable:
                if pause_s is None:
                    logger.warning("jobs were not released; they run again when their leases end")
                else:
                    await asyncio.sleep(pause_s)
            else:
                return

    async def _watch_cancels(self) -> None:
        with self._signals.watch(keys.CANCEL_CHANNEL, keep=True) as watch:
            while True:
                if await watch.due(SWEEP_S * 60) and watch.messages:
                    job_ids, watch.messages = watch.messages, []
                    self._runs.cancel_jobs(job_id.decode() for job_id in job_ids)

    def _on_background_end(self, task: "asyncio.Task[None]") -> None:
        """Stop the worker when one of its background tasks failed."""
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.critical("a background task failed: %s", task.get_name(), exc_info=error)
            self.stop()

    def _on_renewal_thread(self, renewed: int, lost: list[str]) -> None:
        """Pass the renewal thread's result into the event loop."""
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            self.loop.call_soon_threadsafe(self._on_renewed, renewed, lost)

    def _on_renewed(self, renewed: int, lost: list[str]) -> None:
        self._metrics.renewed(renewed)
        self._runs.lose(lost)

    def _record(self) -> WorkerRecord:
        options = self.options
        return WorkerRecord(
            id=options.worker_id, version=options.version, concurrency=options.concurrency, running=self.running,
            started_ms=self._started_ms, seen_ms=int(time.time() * 1000), failing_parts=PART_FAILURES.recent(),
        )  # fmt: skip

    def _describe(self) -> str:
        runs = self._runs
        return (
            f"j_complete={runs.completed} j_failed={runs.failed} j_retried={runs.retried} j_ongoing={runs.count} "
            f"worker={self.options.worker_id}"
        )


async def _never_called(ctx: dict[Any, Any], job_id: str) -> None:
    """Stand in for the function that arq's job entries name; runs go through ``Runs``, never through it."""
    raise NotImplementedError(job_id)
