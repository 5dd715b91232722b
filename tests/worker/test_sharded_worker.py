"""A worker process over four shards of one server: every shard's jobs, in slots that they share."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from shared.jobs.model import Claim, Deferral, Outcome, State
from shared.jobs.queue import JobQueue
from shared.jobs.shard_ids import mint_job_id
from shared.jobs.store import JobStore
from shared.jobs.workers import running_workers
from shared.store.multiplexed import MultiplexedClient
from tests.jobs.conftest import new_job, until
from tests.worker.engine import LONG, Counted, Run, done
from worker.handle import RunHandle
from worker.options import WorkerOptions
from worker.sharded_worker import ShardedWorker

SHARDS = 4


@dataclass
class Shard:
    """The clients of one shard."""

    commands: MultiplexedClient
    queue: JobQueue
    store: JobStore

    async def submit(self, **fields: Any) -> str:
        return (await self.queue.submit(new_job(id=mint_job_id(self.commands.shard), **fields))).job.id

    async def until_state(self, job_id: str, *states: State) -> None:
        async def reached() -> bool:
            job = await self.store.get(job_id)
            return job is not None and job.state in states

        await until(reached)


@pytest.fixture
async def shards(redis_url: str) -> AsyncIterator[list[Shard]]:
    commands = [MultiplexedClient(redis_url, shard=shard) for shard in range(SHARDS)]
    yield [Shard(each, JobQueue(each, LONG), JobStore(each)) for each in commands]
    for each in commands:
        await each.aclose()


@asynccontextmanager
async def working(url: str, run: Run, **options: Any) -> AsyncIterator[tuple[ShardedWorker, Counted]]:
    """A running worker, stopped at the end of the block."""
    metrics = Counted()
    made = WorkerOptions(**{"limits": LONG, "grace_s": 2.0, **options})
    worker = ShardedWorker.connect(url, [run] * SHARDS, made, metrics=metrics)
    serving = asyncio.create_task(worker.serve())
    try:
        async with asyncio.timeout(20):
            await worker.ready.wait()
        yield worker, metrics
    finally:
        worker.stop()
        async with asyncio.timeout(30):
            await serving


async def test_the_jobs_of_every_shard_run_once_in_the_slots_of_the_process(
    redis_url: str, shards: list[Shard]
) -> None:
    runs: Counter[str] = Counter()
    most = 0

    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        nonlocal most
        runs[claim.id] += 1
        most = max(most, worker.workers[0].running)
        await asyncio.sleep(0)
        return done(claim.payload)

    async with working(redis_url, run, concurrency=6) as (worker, metrics):
        assert worker.ready.is_set()
        ids = [(shard, await shard.submit(owner=f"k{at % 3}")) for at in range(12) for shard in shards]
        for shard, job_id in ids:
            await shard.until_state(job_id, State.COMPLETED)
        (record,) = await running_workers(shards[0].commands)
        assert record.concurrency == 6
    assert runs == dict.fromkeys([job_id for _, job_id in ids], 1)
    assert most <= 6
    assert max(count for (count,) in metrics.named("running")) <= 6
    for shard in shards:
        assert [(await shard.queue.claim("w", 1)).claims, await shard.commands.execute("HLEN", "finops:workers")] == [
            (),
            0,
        ]


async def test_a_cancel_stops_the_run_of_a_job_in_any_shard(redis_url: str, shards: list[Shard]) -> None:
    started: dict[str, asyncio.Event] = {}
    stopped = []

    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        started.setdefault(claim.id, asyncio.Event()).set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(claim.id)
        raise AssertionError

    async with working(redis_url, run):
        shard = shards[3]
        job_id = await shard.submit()
        await shard.until_state(job_id, State.RUNNING)
        await shard.store.cancel(job_id)
        await until(lambda: _as_condition(job_id in stopped))
    assert started


async def _as_condition(met: bool) -> bool:
    return met


async def test_jobs_that_run_at_the_end_of_a_worker_go_back_to_their_shards(
    redis_url: str, shards: list[Shard]
) -> None:
    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    async with working(redis_url, run, grace_s=0) as (worker, _):
        ids = [(shard, await shard.submit()) for shard in shards]
        for shard, job_id in ids:
            await shard.until_state(job_id, State.RUNNING)
        worker.stop()
    for shard, job_id in ids:
        (claim,) = (await shard.queue.claim("w", 5)).claims
        assert (claim.id, claim.attempt) == (job_id, 1)


async def test_a_deferred_job_frees_its_slot_and_runs_again(redis_url: str, shards: list[Shard]) -> None:
    async def run(claim: Claim, handle: RunHandle) -> Outcome | Deferral:
        return done() if claim.attempt > 1 else Deferral(delay_s=0.001, reason="retry", counts=True)

    async with working(redis_url, run, concurrency=1):
        ids = [(shard, await shard.submit()) for shard in shards]
        for shard, job_id in ids:
            await shard.until_state(job_id, State.COMPLETED)


async def test_the_worker_of_a_shard_that_fails_ends_the_others_in_order(redis_url: str, shards: list[Shard]) -> None:
    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        return done()

    worker = ShardedWorker.connect(redis_url, [run] * SHARDS, WorkerOptions(limits=LONG))
    serving = asyncio.create_task(worker.serve())
    async with asyncio.timeout(20):
        await worker.ready.wait()
        worker.workers[2].stop()
        await serving
    assert all(each.is_stopping for each in worker.workers)


async def test_claims_of_several_shards_say_who_comes_next_and_idle_ones_save_nothing_up(shards: list[Shard]) -> None:
    shard = shards[1]
    for _ in range(3):
        await shard.submit(owner="heavy")
    reply = await shard.commands.script(
        shard.queue._scripts._scripts["claim"], (), shard.queue.claim_args("w", 1, list(_priorities()), 50.0)
    )
    first = await shard.queue.read_claims(reply)
    assert (len(first.claims), first.virtual) == (1, 50.0)
    assert first.head is not None
    head = first.head
    await shard.submit(owner="late")
    reply = await shard.commands.script(
        shard.queue._scripts._scripts["claim"], (), shard.queue.claim_args("w", 0, list(_priorities()), 0.0)
    )
    looked = await shard.queue.read_claims(reply)
    assert (looked.claims, looked.virtual) == ((), head)
    assert float(await shard.commands.execute("HGET", "finops:caller:late", "tag")) == head - 0.5


def _priorities() -> Any:
    return WorkerOptions().priorities
