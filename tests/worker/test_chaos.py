"""Workers killed, stopped, frozen; the store killed and restarted: real processes, real signals, nothing lost."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.errors import StoreUnavailable
from shared.governance.bookings.carrier import waiting_bookings
from shared.governance.limits.guard import LimitGuard
from shared.jobs import keys
from shared.jobs.model import State
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.shard_ids import mint_job_id
from shared.jobs.store import JobStore
from shared.store.embedded import EmbeddedStore
from shared.store.multiplexed import MultiplexedClient
from tests.governance.conftest import budget, meter_sums
from tests.jobs.conftest import new_job, until
from tests.served import clean_environ
from tests.worker.engine import Bench, bench_on

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
LEASE_S = 2.0
SHARDS = 4


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    async with bench_on(redis_url, QueueLimits(lease_s=LEASE_S)) as made:
        yield made


class Fleet:
    """Worker processes."""

    def __init__(self, url: str, shards: int = 1) -> None:
        self.url = url
        self.shards = shards
        self.processes: list[asyncio.subprocess.Process] = []

    async def start(self, grace_s: float = 5.0) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.worker.chaos_worker",
            self.url,
            str(LEASE_S),
            str(grace_s),
            str(self.shards),
            cwd=ROOT,
            env=clean_environ(),
        )
        self.processes.append(process)
        return process

    async def end(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                    process.kill()
                await process.wait()


@asynccontextmanager
async def fleet(url: str, workers: int = 1, shards: int = 1) -> AsyncIterator[Fleet]:
    made = Fleet(url, shards)
    try:
        for _ in range(workers):
            await made.start()
        yield made
    finally:
        await made.end()


async def submit(bench: Bench, **params: Any) -> str:
    return await bench.submit(payload=orjson.dumps(params))


async def until_ran(bench: Bench, job_id: str, times: int = 1) -> list[bytes]:
    async def ran() -> list[bytes] | None:
        tokens: list[bytes] = await bench.commands.execute("LRANGE", f"ran:{job_id}", 0, -1)
        return tokens if len(tokens) >= times else None

    return list(await until(ran, 60))


def worker_of(token: bytes, workers: Fleet) -> asyncio.subprocess.Process:
    """A token begins with its worker's name: host, process, random."""
    pid = int(token.decode().rpartition(":")[0].rsplit("-", 2)[1])
    return next(process for process in workers.processes if process.pid == pid)


async def test_a_killed_workers_job_runs_again_on_another_worker(bench: Bench) -> None:
    async with fleet(bench.url, workers=2) as workers:
        job_id = await submit(bench, sleep_s=1.5)
        (token,) = await until_ran(bench, job_id)
        worker_of(token, workers).kill()
        tokens = await until_ran(bench, job_id, 2)
        job = await bench.until_state(job_id, State.COMPLETED)
    assert (job.result, job.attempts) == (tokens[1], 2)
    assert (await bench.event_names(job_id)).count("job.completed") == 1


async def test_a_job_that_kills_its_workers_ends_in_the_dead_letter_list(bench: Bench) -> None:
    async with fleet(bench.url) as workers:
        job_id = await submit(bench, poison=True)

        async def keep_alive() -> Any:
            job = await bench.store.get(job_id)
            if workers.processes[-1].returncode is not None:
                await workers.start()
            return job if job and not job.live else None

        job = await until(keep_alive, 90)
    assert (job.state, job.attempts, job.error["code"]) == (State.FAILED, 3, "attempts_exhausted")
    assert [dead.id for dead in (await bench.store.dead()).jobs] == [job_id]


async def test_sigterm_under_load_orphans_nothing_and_spends_no_attempt(bench: Bench) -> None:
    async with fleet(bench.url, workers=1) as workers:
        made = [await submit(bench, sleep_s=0.3) for _ in range(40)]
        long = await submit(bench, sleep_s=60)
        await until_ran(bench, long)
        first = workers.processes[0]
        hurry = await workers.start()
        first.terminate()
        await asyncio.sleep(0)
        first.terminate()
        assert await asyncio.wait_for(first.wait(), 20) == 0
        await until_ran(bench, long, 2)
        jobs = [await bench.until_state(job_id, State.COMPLETED) for job_id in made]
        assert {job.attempts for job in jobs} == {1}
        assert (await bench.store.get(long)).attempts == 1  # type: ignore[union-attr]
        hurry.terminate()
        hurry.terminate()
        assert await asyncio.wait_for(hurry.wait(), 20) == 0
    stats = await bench.store.stats()
    assert (stats.running, stats.priorities[next(iter(stats.priorities))].depth) == (0, 0)
    assert (await bench.store.get(long)).state is State.QUEUED  # type: ignore[union-attr]


async def test_a_frozen_worker_loses_its_lease_and_writes_nothing(bench: Bench) -> None:
    async with fleet(bench.url, workers=2) as workers:
        job_id = await submit(bench, sleep_s=1.0)
        (token,) = await until_ran(bench, job_id)
        frozen = worker_of(token, workers)
        frozen.send_signal(signal.SIGSTOP)
        tokens = await until_ran(bench, job_id, 2)
        frozen.send_signal(signal.SIGCONT)
        job = await bench.until_state(job_id, State.COMPLETED)
        assert (job.result, job.attempts) == (tokens[1], 2)
        frozen.terminate()
        assert await asyncio.wait_for(frozen.wait(), 20) == 0
        assert (await bench.store.get(job_id)).result == tokens[1]  # type: ignore[union-attr]
    assert (await bench.event_names(job_id)).count("job.completed") == 1


async def test_the_store_is_killed_and_restarted_under_load(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path / "data") as store, bench_on(store.url) as bench, fleet(store.url, 2):
        accepted = [await submit(bench, sleep_s=0.02, trace=False) for _ in range(60)]
        running = await submit(bench, sleep_s=2.5)
        await until_ran(bench, running)
        await bench.commands.execute("CONFIG", "SET", "appendfsync", "always")
        killed = store.pid
        os.kill(killed, signal.SIGKILL)
        for _ in range(20):
            with suppress(StoreUnavailable):
                accepted.append(await submit(bench, sleep_s=0.02, trace=False))

        async def back() -> bool:
            with suppress(StoreUnavailable):
                accepted.append(await submit(bench, trace=False))
                return store.pid != killed
            return False

        await until(back, 20)
        for job_id in accepted:
            await bench.until_state(job_id, State.COMPLETED)
        job = await bench.until_state(running, State.COMPLETED)
        assert job.attempts == 1  # the run went on through the outage
        assert await bench.commands.execute("LLEN", f"ran:{running}") == 1


@pytest.mark.timeout(180)
async def test_nothing_is_lost_and_nothing_doubled_by_many_kills(bench: Bench) -> None:
    async with fleet(bench.url, workers=2) as workers:
        made = [await submit(bench, sleep_s=0.05, trace=False) for _ in range(600)]
        for round_ in range(4):
            await asyncio.sleep(0.3)  # let them work for a moment, then kill one
            workers.processes[-1].kill()
            await workers.processes[-1].wait()
            made += [await submit(bench, sleep_s=0.05, trace=False) for _ in range(50)]
            await workers.start()
            assert round_ < 4
        jobs = [await bench.until_state(job_id, State.COMPLETED, State.FAILED) for job_id in made]
    assert {job.state for job in jobs} <= {State.COMPLETED, State.FAILED}
    for job in jobs:
        if job.state is State.FAILED:
            assert job.error["code"] == "attempts_exhausted"
    endings = [(await bench.event_names(job_id)).count("job.completed") for job_id in made]
    assert set(endings) <= {0, 1}
    assert sum(endings) == sum(job.state is State.COMPLETED for job in jobs)
    assert await bench.commands.execute("ZCARD", keys.LEASES) == 0


@pytest.mark.timeout(180)
async def test_over_four_shards_nothing_is_lost_and_nothing_booked_twice_by_many_kills(redis_url: str) -> None:
    async with AsyncExitStack() as opened:
        commands = [MultiplexedClient(redis_url, shard=shard) for shard in range(SHARDS)]
        guard = LimitGuard(commands[0])
        for each in (*commands, guard):
            opened.push_async_callback(each.aclose)
        queues = [JobQueue(each, QueueLimits(lease_s=LEASE_S)) for each in commands]
        stores = [JobStore(each) for each in commands]
        made: list[tuple[int, str]] = []

        async def submit_some(count: int) -> None:
            for shard in (number % SHARDS for number in range(count)):
                job = new_job(id=mint_job_id(shard), owner="a", payload=b'{"sleep_s":0.05,"trace":false,"cost":7}')
                await guard.admit(job.id, (budget(1_000_000),), cost=100, tokens=0, of_job=True)
                made.append((shard, (await queues[shard].submit(job, reserved=True)).job.id))

        async def state(shard: int, job_id: str) -> State | None:
            job = await stores[shard].get(job_id)
            return job.state if job is not None and not job.live else None

        async def all_booked() -> bool:
            return sum([await waiting_bookings(each) for each in commands[1:]]) == 0

        async with fleet(redis_url, workers=2, shards=SHARDS) as workers:
            await submit_some(80)
            for _ in range(2):
                workers.processes[-1].kill()
                await workers.processes[-1].wait()
                await workers.start()
                await submit_some(40)
            states = {job_id: await until(partial(state, shard, job_id), 120) for shard, job_id in made}
            await until(all_booked, 60)
        completed = sorted(job_id for job_id, ended in states.items() if ended is State.COMPLETED)
        assert len(states) == 160
        assert completed  # all, but a machine that stands still may lose a job's lease three times
        entries = await commands[0].execute("XRANGE", "finops:ledger", "-", "+")
        assert sorted(orjson.loads(fields[1])["job"] for _, fields in entries) == completed
        sums = (await meter_sums(commands[0])).values()
        assert (sum(used for used, _ in sums), sum(held for _, held in sums)) == (7 * len(completed), 0)
        assert await commands[0].execute("ZCARD", "finops:holds") == 0
