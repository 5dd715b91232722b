"""Helpers of the leased worker's tests: a worker in the test's event loop, and its clients."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shared.jobs.events import EventLog
from shared.jobs.model import Claim, Deferral, Outcome, State
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.store import JobStore
from shared.store.multiplexed import MultiplexedClient
from tests.jobs.conftest import new_job, until
from worker.handle import RunHandle
from worker.leased_worker import LeasedWorker, WorkerOptions

# For tests of what happens when a lease ends; in all others a machine that stands still for 1 s must not end one.
SHORT = QueueLimits(lease_s=1, max_attempts=3)
LONG = QueueLimits(lease_s=60, max_attempts=3)
Run = Callable[[Claim, RunHandle], Awaitable[Any]]


def done(body: bytes = b"{}") -> Outcome:
    return Outcome(state=State.COMPLETED, status_code=200, result=body)


@dataclass
class Counted:
    """Metrics that record their calls."""

    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args: self.calls.append((name, args))

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [args for called, args in self.calls if called == name]


@dataclass
class Bench:
    """A store's clients."""

    url: str
    commands: MultiplexedClient
    queue: JobQueue
    store: JobStore
    log: EventLog

    async def submit(self, **fields: Any) -> str:
        return (await self.queue.submit(new_job(**fields))).job.id

    async def until_state(self, job_id: str, *states: State) -> Any:
        async def reached() -> Any:
            job = await self.store.get(job_id)
            return job if job and job.state in states else None

        return await until(reached, 20)

    async def event_names(self, job_id: str) -> list[str]:
        return [event.name for event in await self.log.read(job_id)]


@asynccontextmanager
async def bench_on(url: str, limits: QueueLimits = LONG) -> AsyncIterator[Bench]:
    commands = MultiplexedClient(url)
    try:
        yield Bench(url, commands, JobQueue(commands, limits), JobStore(commands), EventLog(commands))
    finally:
        await commands.aclose()


@asynccontextmanager
async def working(url: str, run: Run, **options: Any) -> AsyncIterator[tuple[LeasedWorker, Counted]]:
    """A running worker, stopped at the end of the block."""
    metrics = Counted()
    worker_options = WorkerOptions(**{"limits": LONG, "grace_s": 2.0, **options})
    worker = LeasedWorker.connect(url, run, worker_options, metrics=metrics)
    serving = asyncio.create_task(worker.serve())
    try:
        async with asyncio.timeout(10):
            await worker.ready.wait()
        yield worker, metrics
    finally:
        worker.stop()
        async with asyncio.timeout(20):
            await serving


class Held(NamedTuple):
    """Jobs that run until the gate is set: number n has the result ``b"n"``."""

    bench: Bench
    ids: list[str]
    gate: asyncio.Event


@asynccontextmanager
async def holding(url: str, count: int = 20) -> AsyncIterator[Held]:
    """A worker that runs jobs, all of them at once."""
    gate = asyncio.Event()

    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        await gate.wait()
        return done(claim.payload)

    async with bench_on(url) as bench, working(url, run) as (worker, _):
        ids = [await bench.submit(payload=b"%d" % number) for number in range(count)]

        async def all_run() -> bool:
            return worker._runs.count == len(ids)

        await until(all_run)
        yield Held(bench, ids, gate)


__all__ = ["LONG", "SHORT", "Bench", "Counted", "Deferral", "Held", "Run", "bench_on", "done", "holding", "working"]
