"""A store in trouble: full, without scripts, without a disk that keeps up, gone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from shared.errors import StoreUnavailable
from shared.jobs.durability import Durability, DurabilityRefused
from shared.jobs.model import Outcome, State
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.store import JobStore
from shared.settings.model import JobSettings
from shared.store.commands import PooledCommands, RedisCommands
from shared.store.connection import connect
from shared.store.embedded import EmbeddedStore
from shared.store.multiplexed import MultiplexedClient
from tests.jobs.conftest import DONE, claim_one, new_job

FSYNC = QueueLimits(durability="fsync")


@pytest.fixture
async def own_store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    """A server that the test may mistreat."""
    async with EmbeddedStore(tmp_path / "data") as store:
        yield store


@pytest.fixture
async def own(own_store: EmbeddedStore) -> AsyncIterator[PooledCommands]:
    commands = PooledCommands(connect(own_store.url))
    yield commands
    await commands.aclose()


async def test_full_memory_fails_a_submit_cleanly_and_never_an_outcome(own: PooledCommands) -> None:
    queue, store = JobQueue(own), JobStore(own)
    running, waiting = new_job(owner="a"), new_job(owner="a")
    await queue.submit(running)
    await queue.submit(waiting)
    await own.execute("CONFIG", "SET", "maxmemory", "1mb")
    before = sorted(await own.execute("KEYS", "*"))
    with pytest.raises(StoreUnavailable, match="full"):
        await queue.submit(new_job(owner="a"))
    assert sorted(await own.execute("KEYS", "*")) == before
    claim = await claim_one(queue)
    assert await queue.renew([(claim.id, claim.token)]) == []
    assert await store.finish(claim, Outcome(state=State.COMPLETED, status_code=200, result=b"x" * 100_000))
    assert (await store.cancel(waiting.id)).state is State.CANCELLED
    job = await store.get(running.id)
    assert job and len(job.result) == 100_000


async def test_scripts_are_loaded_again_when_the_server_lost_them(queue: JobQueue, store: JobStore) -> None:
    new = new_job()
    await queue.submit(new)
    await queue._scripts.execute("SCRIPT", "FLUSH")
    assert await store.finish(await claim_one(queue), DONE)


async def test_an_unreachable_store_is_unavailable() -> None:
    commands = MultiplexedClient("redis://127.0.0.1:1/0", connect_timeout_s=0.2)
    queue, store = JobQueue(commands), JobStore(commands)
    with pytest.raises(StoreUnavailable) as refused:
        await queue.submit(new_job())
    assert (refused.value.status, refused.value.retry_after_s) == (503, 1.0)
    with pytest.raises(StoreUnavailable):
        await store.payload("x")
    with pytest.raises(StoreUnavailable):
        await queue._scripts.execute_many([("PING",)])
    await commands.aclose()


async def test_a_replica_takes_no_jobs(own: PooledCommands) -> None:
    await own.execute("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreUnavailable, match="does not accept writes"):
        await JobQueue(own).submit(new_job())


async def test_a_script_error_is_not_an_outage(commands: RedisCommands, queue: JobQueue, store: JobStore) -> None:
    new = new_job()
    await queue.submit(new)
    claim = await claim_one(queue)
    await commands.execute("DEL", f"finops:job:{new.id}:events")
    await commands.execute("SET", f"finops:job:{new.id}:events", "not a list")
    with pytest.raises(ResponseError):
        await store.finish(claim, DONE)


async def test_with_fsync_accepted_means_on_disk(own: PooledCommands) -> None:
    queue = JobQueue(own, FSYNC, durable=own)
    await queue.check_durability()
    await own.execute("CONFIG", "SET", "appendfsync", "always")
    new = new_job(idempotency_key="k")
    assert (await queue.submit(new)).created
    synced = int(await own.execute("HGET", "finops:jobs:clock", "synced"))
    assert (await queue.find_repeated(new)) is not None
    assert int(await own.execute("HGET", "finops:jobs:clock", "synced")) > synced, "what was found is on disk too"


async def test_many_submits_share_one_wait_for_the_disk(own: PooledCommands) -> None:
    import asyncio

    durability = Durability(own)
    await own.execute("CONFIG", "SET", "appendfsync", "always")
    await asyncio.gather(*(durability.sync() for _ in range(50)))
    assert int(await own.execute("HGET", "finops:jobs:clock", "synced")) <= 2


async def test_fsync_without_an_append_only_file_is_rejected_at_start(own: PooledCommands) -> None:
    await own.execute("CONFIG", "SET", "appendonly", "no")
    with pytest.raises(DurabilityRefused, match="appendonly yes"):
        await JobQueue(own, FSYNC, durable=own).check_durability()
    with pytest.raises(ValueError, match="connection to wait on"):
        JobQueue(own, FSYNC)


async def test_without_fsync_nothing_is_checked(queue: JobQueue) -> None:
    await queue.check_durability()


def test_limits_come_from_the_configuration() -> None:
    limits = QueueLimits.of(JobSettings(max_queued=7, lease_s=0.5, durability="fsync"))
    assert (limits.max_queued, limits.lease_ms, limits.durability, limits.max_attempts) == (7, 500, "fsync", 3)


async def test_a_silence_of_all_workers_gives_lease_holders_time_to_renew(
    commands: RedisCommands, quick: JobQueue
) -> None:
    new = new_job()
    await quick.submit(new)
    claim = await claim_one(quick)
    await commands.execute("ZADD", "finops:jobs:leases", 1, new.id)
    await commands.execute("HSET", "finops:jobs:clock", "beat", claim.started_ms - 60_000)
    batch = await quick.claim("w2", 1)
    assert not batch.claims
    assert batch.next_ms > 100
    assert await quick.renew([(claim.id, claim.token)]) == []
