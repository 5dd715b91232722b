"""The leased worker in this process, against a real store."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster

from shared.jobs import keys
from shared.jobs.capacity import CapacityReport, read_capacity
from shared.jobs.model import Claim, Deferral, Outcome, Priority, State
from shared.jobs.queue import ClaimBatch, QueueLimits
from shared.jobs.scripts import EngineScripts, engine_scripts
from shared.jobs.workers import running_workers
from shared.store.embedded import EmbeddedStore
from shared.store.multiplexed import MultiplexedClient
from tests.jobs.conftest import until
from tests.waiting import wait_until
from tests.worker.engine import SHORT, Bench, Counted, bench_on, done, working
from worker import runs
from worker.claims import ClaimSource
from worker.handle import DRAIN_ABOVE, MAX_PENDING_EVENTS, RunHandle
from worker.health import Heartbeat
from worker.leased_worker import LeasedWorker, WorkerOptions

POLL_MS = 500  # how long a claim waits at most for a wake


@pytest.fixture(scope="module", autouse=True)
def scripts() -> None:
    engine_scripts()


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    async with bench_on(redis_url) as made:
        yield made


@pytest.fixture
async def brief(redis_url: str) -> AsyncIterator[Bench]:
    """A bench whose leases end soon."""
    async with bench_on(redis_url, SHORT) as made:
        yield made


async def echo(claim: Claim, handle: RunHandle) -> Outcome:
    return done(claim.payload)


class Gate:
    """Runs that block until released, and record how they ended."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.entered: list[str] = []
        self.cancelled: list[str] = []

    async def run(self, claim: Claim, handle: RunHandle) -> Outcome:
        self.entered.append(claim.id)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.append(handle.cancelled)
            raise
        return done()

    async def until_entered(self, count: int = 1) -> None:
        async def entered() -> bool:
            return len(self.entered) >= count

        await until(entered, 10)

    async def until_cancelled(self, count: int = 1) -> None:
        async def cancelled() -> bool:
            return len(self.cancelled) >= count

        await until(cancelled, 10)


async def test_jobs_are_processed_and_counted(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "finops.worker")
    async with working(bench.url, echo) as (_, metrics):
        made = [await bench.submit(payload=b"%d" % number) for number in range(40)]
        jobs = [await bench.until_state(job_id, State.COMPLETED) for job_id in made]
        assert [job.result for job in jobs] == [b"%d" % number for number in range(40)]
    assert len(metrics.named("claimed")) == len(metrics.named("waited")) == len(metrics.named("ran")) == 40
    lines = [r for r in caplog.records if getattr(r, "job_id", None) in made]
    assert len(lines) == 40
    assert lines[0].__dict__["status_code"] == 200


async def test_a_failed_job_is_logged_as_a_warning_with_its_code(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        return Outcome(state=State.FAILED, status_code=429, error={"code": "slow", "message": "Too many requests."})

    async with working(bench.url, run):
        job_id = await bench.submit()
        await bench.until_state(job_id, State.FAILED)
    [line] = [record for record in caplog.records if getattr(record, "job_id", None) == job_id]
    assert (line.levelno, line.getMessage(), vars(line)["code"]) == (logging.WARNING, "job failed", "slow")


@pytest.fixture
def unpolled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing falls due, a worker looks after an hour instead of half a second: only wakes start jobs in time."""
    claim = ClaimSource.claim

    async def claim_when_woken(source: ClaimSource, count: int, block_ms: int) -> ClaimBatch:
        return await claim(source, count, 3_600_000 if block_ms >= POLL_MS else block_ms)

    monkeypatch.setattr(ClaimSource, "claim", claim_when_woken)


@pytest.mark.usefixtures("unpolled")
async def test_an_idle_worker_is_woken_by_the_submit(bench: Bench) -> None:
    async with working(bench.url, echo):
        for _ in range(3):
            await bench.until_state(await bench.submit(), State.COMPLETED)


@pytest.mark.usefixtures("unpolled")
async def test_a_deferred_job_starts_when_it_is_due(bench: Bench) -> None:
    async with working(bench.url, echo):
        job = await bench.until_state(await bench.submit(delay_s=0.2), State.COMPLETED)
    assert job.started_ms >= job.due_ms


async def test_a_run_that_gives_its_slot_back_comes_again(bench: Bench) -> None:
    async def run(claim: Claim, handle: RunHandle) -> Outcome | Deferral:
        if claim.reason != "retry_after":
            handle.emit("delta", b'"early"')
            return Deferral(delay_s=0.05, reason="retry_after")
        return done(b"%d" % claim.attempt)

    async with working(bench.url, run) as (_, metrics):
        job_id = await bench.submit()
        job = await bench.until_state(job_id, State.COMPLETED)
    assert (job.result, job.attempts) == (b"1", 1)
    assert metrics.named("deferred") == [("retry_after",)]
    assert await bench.event_names(job_id) == [
        "job.queued", "job.started", "delta", "job.deferred", "job.queued", "job.started", "job.completed",
    ]  # fmt: skip


@pytest.mark.parametrize("fault", ["raises", "exits", "answers nonsense", "cancels itself"])
async def test_a_run_that_breaks_its_contract_fails_its_job_and_no_other(
    bench: Bench, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(claim: Claim, handle: RunHandle) -> Any:
        if claim.payload != b"bad":
            return done()
        match fault:
            case "raises":
                raise RuntimeError("boom")
            case "exits":
                raise SystemExit(3)
            case "cancels itself":
                raise asyncio.CancelledError
        return {"no": "outcome"}

    async with working(bench.url, run):
        bad = await bench.until_state(await bench.submit(payload=b"bad"), State.FAILED)
        assert (await bench.until_state(await bench.submit(), State.COMPLETED)).status_code == 200
    assert (bad.status_code, bad.error["code"]) == (500, "internal_error")
    assert "boom" not in str(bad.error)
    assert caplog.records


async def test_an_outcome_that_cannot_be_stored_fails_its_job_and_no_other(bench: Bench) -> None:
    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        meta = {"bad": object()} if claim.payload == b"bad" else {}
        return Outcome(state=State.COMPLETED, status_code=200, result=b"1", meta=meta)

    async with working(bench.url, run):
        made = [await bench.submit(payload=body) for body in (b"good", b"bad", b"good")]
        states = [(await bench.until_state(i, State.COMPLETED, State.FAILED)).state for i in made]
    assert states == [State.COMPLETED, State.FAILED, State.COMPLETED]


async def test_a_cancelled_job_stops_its_run(bench: Bench) -> None:
    gate = Gate()
    async with working(bench.url, gate.run) as (worker, _):
        job_id = await bench.submit()
        await gate.until_entered()
        await bench.store.cancel(job_id)
        await gate.until_cancelled()
        assert gate.cancelled == ["cancelled"]
        await worker._runs.until_empty()
    assert (await bench.store.get(job_id)).state is State.CANCELLED  # type: ignore[union-attr]


async def test_a_lost_lease_stops_its_run(brief: Bench) -> None:
    gate = Gate()
    async with working(brief.url, gate.run, limits=SHORT, concurrency=1) as (_, metrics):
        job_id = await brief.submit()
        await gate.until_entered()
        await brief.commands.execute("HSET", keys.job(job_id), "lease", "somebody-else")
        await gate.until_cancelled()
        assert gate.cancelled == ["lost_lease"]
        assert metrics.named("lost") == [(1,)]


@pytest.mark.parametrize("bound", ["deadline", "longest run time"])
async def test_a_run_ends_at_its_time_limit(bench: Bench, bound: str) -> None:
    gate = Gate()
    # A job that is not claimed by its deadline is never run.
    fields = {"deadline_s": 1.5} if bound == "deadline" else {}
    max_run_s = 60 if bound == "deadline" else 0.2
    async with working(bench.url, gate.run, max_run_s=max_run_s):
        job = await bench.until_state(await bench.submit(**fields), State.FAILED)
    assert (job.status_code, job.error["code"]) == (504, "deadline_exceeded")
    assert bound in job.error["message"]
    assert gate.cancelled == ["deadline"]


async def test_a_run_that_ignores_cancellation_is_abandoned(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "ABANDON_S", 0.1)
    released = asyncio.Event()

    async def stubborn(claim: Claim, handle: RunHandle) -> Outcome:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        return done()

    async with working(bench.url, stubborn, max_run_s=0.1) as (worker, _):
        job = await bench.until_state(await bench.submit(), State.FAILED)
        assert job.error["code"] == "deadline_exceeded"
        monkeypatch.setattr(worker._runs, "_options", replace(worker._runs._options, max_run_s=60))
        other = await bench.submit()
        await bench.until_state(other, State.RUNNING)
        await bench.store.cancel(other)
        await worker._runs.until_empty()
        released.set()


async def test_leases_are_renewed_while_the_loop_is_busy(bench: Bench, blockbuster: BlockBuster) -> None:
    blockbuster.functions["time.sleep"].can_block_in("tests/worker/test_leased_worker.py", "busy")

    async def busy(claim: Claim, handle: RunHandle) -> Outcome:
        time.sleep(5)  # noqa: ASYNC251 more than two leases, in which the loop does nothing else
        return done(b"%d" % claim.attempt)

    async with working(bench.url, busy, limits=QueueLimits(lease_s=2)):
        job_id = await bench.submit()
        rival = await _rival_claims_while_running(bench, job_id)
        job = await bench.until_state(job_id, State.COMPLETED)
    assert rival == 0
    assert (job.result, job.attempts) == (b"1", 1)


async def _rival_claims_while_running(bench: Bench, job_id: str) -> int:
    return len((await bench.queue.claim("rival", 1)).claims)


async def test_a_stalled_event_loop_loses_its_leases(brief: Bench) -> None:
    gate = Gate()
    async with working(brief.url, gate.run, limits=SHORT, concurrency=1, max_run_s=60) as (worker, _):
        job_id = await brief.submit()
        await gate.until_entered()
        worker._renewal._stall_s = -1.0

        async def taken() -> bool:
            return bool((await brief.queue.claim("rival", 1)).claims)

        await until(taken, 10)
        assert (await brief.store.get(job_id)).attempts == 2  # type: ignore[union-attr]
        worker._renewal._stall_s = 60
        await gate.until_cancelled()


async def test_events_are_written_in_order_before_the_outcome(bench: Bench) -> None:
    async def talk(claim: Claim, handle: RunHandle) -> Outcome:
        for number in range(1200):
            handle.emit("delta", b"%d" % number)
            if number % 100 == 0:
                await handle.drain()
        with pytest.raises(ValueError, match="reserved"):
            handle.emit("job.completed", b"{}")
        return done()

    async with working(bench.url, talk):
        job_id = await bench.submit()
        await bench.until_state(job_id, State.COMPLETED)
    events = [e for start in ("0",) for e in await bench.log.read(job_id, start, 5000)]
    assert [int(e.data) for e in events if e.name == "delta"] == list(range(1200))
    assert events[-1].name == "job.completed"


async def test_drain_blocks_a_run_with_too_many_pending_events() -> None:
    handle = RunHandle(None, 0.0, 1.0, lambda handle: None)  # type: ignore[arg-type]
    for _ in range(DRAIN_ABOVE + 1):
        handle.emit("delta", b"1")
    draining = asyncio.create_task(handle.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    handle.mark_flushed(10)
    await draining
    for _ in range(MAX_PENDING_EVENTS + 10):
        handle.emit("delta", b"1")
    assert len(handle.pending_events) <= MAX_PENDING_EVENTS


async def test_a_stopped_worker_finishes_what_it_can_and_hands_back_the_rest(bench: Bench) -> None:
    quick, slow = Gate(), Gate()

    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        return await (quick if claim.payload == b"quick" else slow).run(claim, handle)

    async with working(bench.url, run, grace_s=0.3) as (worker, metrics):
        first = await bench.submit(payload=b"quick")
        second = await bench.submit(payload=b"slow")
        await quick.until_entered()
        await slow.until_entered()
        worker.stop()
        quick.open.set()
    assert slow.cancelled == ["shutdown"]
    assert (await bench.store.get(first)).state is State.COMPLETED  # type: ignore[union-attr]
    job = await bench.store.get(second)
    assert job
    assert (job.state, job.attempts, job.reason) == (State.QUEUED, 0, "released")
    assert metrics.named("released") == [(1,)]


async def test_a_second_stop_ends_the_grace(bench: Bench) -> None:
    gate = Gate()
    async with working(bench.url, gate.run, grace_s=60) as (worker, _):
        await bench.submit()
        await gate.until_entered()
        worker.stop()
        worker.stop()
    assert gate.cancelled == ["shutdown"]


async def test_a_worker_claims_only_its_priorities(bench: Bench) -> None:
    async with working(bench.url, echo, priorities=(Priority.HIGH,)):
        low = await bench.submit(priority=Priority.LOW)
        await bench.until_state(await bench.submit(priority=Priority.HIGH), State.COMPLETED)
        assert (await bench.store.get(low)).state is State.QUEUED  # type: ignore[union-attr]


async def test_a_full_worker_still_enforces_deadlines(bench: Bench) -> None:
    gate = Gate()
    async with working(bench.url, gate.run, concurrency=1):
        await bench.submit()
        await gate.until_entered()
        waiting = await bench.submit(deadline_s=0.05)

        async def failed() -> bool:
            return bool(await bench.commands.execute("HGET", keys.job(waiting), "state") == b"failed")

        await until(failed)
        gate.open.set()


async def test_the_store_may_go_and_come_back_under_running_jobs(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    async with working(bench.url, gate.run) as (worker, _):
        job_id = await bench.submit()
        await gate.until_entered()
        await bench.commands.execute("CONFIG", "SET", "maxclients", "1")
        await bench.commands.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await bench.commands.execute("CLIENT", "KILL", "TYPE", "pubsub")
        gate.open.set()

        async def refused() -> bool:
            return not worker.ready.is_set()

        await until(refused)
        await bench.commands.execute("CONFIG", "SET", "maxclients", "1000")
        job = await bench.until_state(job_id, State.COMPLETED)
        assert job.attempts == 1
        await bench.until_state(await bench.submit(), State.COMPLETED)
    assert "cannot claim jobs" in caplog.text


async def test_heartbeats_write_the_keys_and_the_list_of_workers(bench: Bench) -> None:
    async with working(bench.url, echo, worker_id="w-1"):

        async def both() -> Any:
            return await bench.commands.execute("MGET", keys.worker_health("w-1"), keys.HEALTH)

        async def alive() -> bool:
            return None not in await both()

        await until(alive)
        assert b"j_complete=0" in (await both())[1]
        assert (await read_capacity(bench.commands)).workers == 1
        (worker,) = await running_workers(bench.commands)
        assert (worker.id, worker.running) == ("w-1", 0)
    assert (await read_capacity(bench.commands)).workers == 0
    assert await running_workers(bench.commands) == []
    assert await bench.commands.execute("EXISTS", keys.worker_health("w-1")) == 0
    assert await bench.commands.execute("PTTL", keys.HEALTH) > 0


async def test_a_failed_background_task_stops_the_worker(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    worker = LeasedWorker.connect(bench.url, echo, WorkerOptions(limits=SHORT, grace_s=0))

    async def broken() -> None:
        raise RuntimeError("a bug of ours")

    worker._health.run = broken  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        await worker.serve()
    assert "a background task failed" in caplog.text


async def test_a_job_claimed_after_a_loss_is_counted_as_a_rerun(brief: Bench) -> None:
    await brief.submit()
    await brief.queue.claim("dead", 1)
    async with working(brief.url, echo, limits=SHORT) as (_, metrics):

        async def rerun() -> bool:
            return metrics.named("rerun") == [("normal",)]

        await until(rerun)


async def test_options_are_validated() -> None:
    with pytest.raises(ValueError, match="at least one"):
        WorkerOptions(concurrency=0)
    with pytest.raises(ValueError, match="at least one"):
        WorkerOptions(priorities=())
    assert WorkerOptions().worker_id != WorkerOptions().worker_id
    assert Counted().named("x") == []
    assert QueueLimits().lease_ms == 4000


async def test_a_server_that_lost_the_scripts_gets_them_again(bench: Bench) -> None:
    async with working(bench.url, echo):
        await bench.commands.execute("SCRIPT", "FLUSH")
        await bench.until_state(await bench.submit(), State.COMPLETED)


@pytest.mark.parametrize("ending", [done(), Deferral(delay_s=60)])
async def test_an_outcome_that_cannot_be_stored_does_not_stop_the_worker(
    bench: Bench, ending: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(claim: Claim, handle: RunHandle) -> Any:
        if claim.payload == b"bad":
            await bench.commands.execute("DEL", keys.events(claim.id))
            await bench.commands.execute("SET", keys.events(claim.id), "not a list")
            return ending
        return done()

    async with working(bench.url, run) as (worker, _):
        # Alone: of a batch that is refused, outcomes whose record was written before the refusal count as written.
        await bench.submit(payload=b"bad")
        # On a machine that stands still for a lease's 4 s, its second run is the one that ends so.
        await wait_until(lambda: "could not be written" in caplog.text)
        await worker._runs.until_empty()
        await bench.until_state(await bench.submit(), State.COMPLETED)


async def test_a_worker_ends_in_order_without_its_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    store = EmbeddedStore(tmp_path / "data")
    await asyncio.to_thread(store.start)
    async with bench_on(store.url) as bench, working(store.url, gate.run, grace_s=0) as (worker, _):
        await bench.submit()
        await gate.until_entered()
        await asyncio.to_thread(store.stop)
        worker.stop()
    assert gate.cancelled == ["shutdown"]
    assert "jobs were not released" in caplog.text


async def test_heartbeats_survive_a_store_outage(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "finops.worker")
    commands = MultiplexedClient("redis://127.0.0.1:1/0", connect_timeout_s=0.2)
    sign = Heartbeat(EngineScripts(commands), "w", lambda: "metrics", CapacityReport("w", 1))
    running = asyncio.create_task(sign.run())

    async def tried() -> bool:
        return "the store is unavailable" in caplog.text

    await until(tried)
    running.cancel()
    await sign.end()
    assert "expires by itself" in caplog.text
    await commands.aclose()


async def test_arqs_own_ways_to_start_a_worker_still_work(bench: Bench) -> None:
    worker = LeasedWorker.connect(bench.url, echo, WorkerOptions(limits=SHORT))
    serving = asyncio.create_task(worker.async_run())
    await bench.until_state(await bench.submit(), State.COMPLETED)
    worker.stop()
    await serving
    await worker.close()


async def test_a_result_that_is_too_large_fails_its_job_and_keeps_its_cost(bench: Bench) -> None:
    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        return Outcome(state=State.COMPLETED, status_code=200, result=claim.payload, meta={"cost_usd": 1})

    async with working(bench.url, run, max_result_bytes=1000):
        fits, exceeds = await bench.submit(payload=b"x" * 1000), await bench.submit(payload=b"x" * 1001)
        job = await bench.until_state(exceeds, State.FAILED)
        assert (job.status_code, job.error["code"], job.meta) == (502, "result_too_large", {"cost_usd": 1})
        assert "jobs.max_result_mb" in job.error["message"]
        await bench.until_state(fits, State.COMPLETED)
