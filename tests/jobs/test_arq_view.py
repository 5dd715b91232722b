"""arq's own eyes: its Job and its `--check` tell the truth at every stage, in JSON, without the request's body."""

import asyncio
import sys
from collections.abc import AsyncIterator

import orjson
import pytest
from arq.connections import ArqRedis
from arq.jobs import Job, JobStatus
from redis.asyncio import Redis

from shared.jobs.model import Deferral, Priority
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobStore
from shared.store.commands import PooledCommands
from shared.store.connection import connect, connect_arq
from shared.store.embedded import EmbeddedStore
from shared.store.hash_tag import engine_tag
from tests.jobs.conftest import BROKEN, DONE, claim_one, new_job


@pytest.fixture
async def arq(redis_url: str) -> AsyncIterator[ArqRedis]:
    client = connect_arq(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def commands(redis: Redis) -> PooledCommands:
    return PooledCommands(redis)


def seen(arq: ArqRedis, job_id: str, queue: str = "arq:queue") -> Job:
    return Job(job_id, arq, _queue_name=queue, _deserializer=orjson.loads)


async def test_status_and_info_follow_a_job(arq: ArqRedis, queue: JobQueue, store: JobStore) -> None:
    new = new_job(payload=b'{"secret":"prompt"}')
    job = seen(arq, new.id)
    assert await job.status() is JobStatus.not_found
    await queue.submit(new)
    assert await job.status() is JobStatus.queued
    info = await job.info()
    assert info and (info.function, info.args, info.kwargs) == ("run_job", [new.id], {})
    claim = await claim_one(queue)
    assert await job.status() is JobStatus.in_progress
    await queue.defer(claim, Deferral(delay_s=60))
    assert await job.status() is JobStatus.deferred
    await store.cancel(new.id)
    assert await job.status() is JobStatus.complete


@pytest.mark.parametrize(("outcome", "success"), [(DONE, True), (BROKEN, False)])
async def test_arqs_result_has_no_bodies(
    arq: ArqRedis, queue: JobQueue, store: JobStore, outcome: object, success: bool
) -> None:
    new = new_job(priority=Priority.HIGH)
    await queue.submit(new)
    assert await seen(arq, new.id, "arq:queue:high").status() is JobStatus.queued
    claim = await claim_one(queue)
    await store.finish(claim, outcome)  # type: ignore[arg-type]
    result = await seen(arq, new.id).result_info()
    assert result
    assert (result.success, result.job_try) == (success, 1)
    assert engine_tag().plain(str(result.queue_name).encode()) == b"arq:queue:high"
    assert result.result == {"state": str(outcome.state), "status_code": outcome.status_code}  # type: ignore[attr-defined]
    assert result.enqueue_time <= result.start_time <= result.finish_time
    if success:
        assert await seen(arq, new.id).result(timeout=1) == result.result


async def test_arqs_own_list_of_queued_jobs(arq: ArqRedis, queue: JobQueue) -> None:
    new = new_job()
    await queue.submit(new)
    assert [job.job_id for job in await arq.queued_jobs()] == [new.id]


async def test_arq_check_matches_whether_a_worker_runs(real_store: EmbeddedStore) -> None:
    """arq's own command knows no cluster."""
    async with connect(real_store.url) as client:
        await client.delete("arq:queue:health-check")
        assert await _arq_check(real_store.url) == 1
        await client.psetex("arq:queue:health-check", 5000, b"alive")
        assert await _arq_check(real_store.url) == 0


async def _arq_check(url: str) -> int:
    """Run `arq --check` in a process of its own."""
    path = url.removeprefix("unix://").partition("?")[0]
    source = (
        "from arq.connections import RedisSettings\nfrom arq.worker import check_health\n"
        "class WorkerSettings:\n"
        f"    redis_settings = RedisSettings(unix_socket_path={path!r})\n"
        "raise SystemExit(check_health(WorkerSettings))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", source)
    return await process.wait()
