"""How many bytes a caller may keep in the store."""

import pytest

from shared.errors import RequestTooLarge, StorageFull
from shared.jobs.model import NewJob, Outcome, State
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobStore
from shared.store.commands import RedisCommands
from tests.jobs.conftest import BROKEN, claim_one, new_job
from tests.jobs.test_keys import assert_every_key_is_known

LIMIT = 1_000_000


def stored(size: int, **fields: object) -> NewJob:
    return new_job(owner="a", payload=b"x" * size, max_stored=LIMIT, **fields)


def completed(size: int) -> Outcome:
    return Outcome(state=State.COMPLETED, status_code=200, result=b"r" * size)


async def kept(commands: RedisCommands) -> int:
    """The bytes that are counted for the caller."""
    fields = await commands.execute("HVALS", "finops:stored:a")
    return sum(map(int, fields))


async def test_request_bodies_count_until_their_jobs_end(
    commands: RedisCommands, queue: JobQueue, store: JobStore
) -> None:
    await queue.submit(stored(600_000))
    with pytest.raises(StorageFull, match=r"keep 0\.6 of 0\.953674 MiB") as refused:
        await queue.submit(stored(600_000))
    assert (refused.value.status, refused.value.code, refused.value.retry_after_s) == (429, "storage_full", 60)
    await queue.submit(new_job(owner="b", payload=b"x" * 600_000, max_stored=LIMIT))
    await assert_every_key_is_known(commands)
    for _ in range(2):
        await store.finish(await claim_one(queue), completed(0))
    assert await kept(commands) == 0
    await queue.submit(stored(600_000))


@pytest.mark.parametrize("size", [100_000, 300_000])
async def test_results_count_until_they_are_deleted(
    commands: RedisCommands, queue: JobQueue, store: JobStore, size: int
) -> None:
    ids = []
    while await kept(commands) + size <= LIMIT:
        ids.append((await queue.submit(stored(0))).job.id)
        await store.finish(await claim_one(queue), completed(size))
    with pytest.raises(StorageFull):
        await queue.submit(stored(size))
    await store.delete(ids[0])
    await queue.submit(stored(size))


async def test_a_failed_job_keeps_its_body_for_a_retry(
    commands: RedisCommands, queue: JobQueue, store: JobStore
) -> None:
    job_id = (await queue.submit(stored(1000))).job.id
    await store.finish(await claim_one(queue), BROKEN)
    assert await kept(commands) == 1000
    await store.retry(job_id)
    assert await kept(commands) == 1000
    await store.finish(await claim_one(queue), completed(10))
    assert await kept(commands) == 10
    await store.delete(job_id)
    assert await kept(commands) == 0


async def test_expired_bytes_are_given_back(commands: RedisCommands, queue: JobQueue) -> None:
    await commands.execute("HSET", "finops:stored:a", "1", LIMIT, "live", "-5")
    await queue.submit(stored(LIMIT))
    assert await commands.execute("HEXISTS", "finops:stored:a", "1") == 0


async def test_a_body_that_can_never_be_kept_is_too_large(queue: JobQueue) -> None:
    with pytest.raises(RequestTooLarge, match=r"exceeds the 0\.953674 MiB"):
        await queue.submit(stored(LIMIT + 1))


async def test_a_cancelled_job_keeps_nothing(commands: RedisCommands, queue: JobQueue, store: JobStore) -> None:
    await store.cancel((await queue.submit(stored(1000))).job.id)
    assert await kept(commands) == 0
