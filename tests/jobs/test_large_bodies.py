"""Large request bodies and results: they travel in parts, beside the record."""

import asyncio

import pytest

from shared.errors import IdempotencyConflict, JobNotFound, StoreUnavailable
from shared.jobs import keys
from shared.jobs.bodies import PART_BYTES, write_parts
from shared.jobs.model import Outcome, State
from shared.jobs.queue import JobQueue
from shared.jobs.scripts import EngineScripts
from shared.jobs.store import JobStore
from shared.store.commands import RedisCommands
from tests.jobs.conftest import claim_one, new_job
from tests.jobs.test_keys import assert_every_key_is_known

SIZES = [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 3 * PART_BYTES + 5]


def body(size: int) -> bytes:
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


def completed(result: bytes) -> Outcome:
    return Outcome(state=State.COMPLETED, status_code=200, result=result)


@pytest.mark.parametrize("size", SIZES)
async def test_bodies_of_any_size_arrive_as_they_are(
    commands: RedisCommands, queue: JobQueue, store: JobStore, size: int
) -> None:
    new = new_job(payload=body(size))
    await queue.submit(new)
    assert await store.payload(new.id) == body(size)
    claim = await claim_one(queue)
    assert claim.payload == body(size)
    assert await store.finish(claim, completed(body(size)))
    job = await store.get(new.id)
    assert job is not None
    assert job.result == body(size)
    assert (await store.cancel(new.id)).result == body(size)
    await assert_every_key_is_known(commands)
    record = await commands.execute("STRLEN", keys.result(new.id))
    assert record == (size if size > PART_BYTES else 0)
    assert await commands.execute("KEYS", "*:part:*") == []
    assert await store.delete(new.id)
    assert await commands.execute("EXISTS", keys.result(new.id)) == 0


async def test_a_repeated_submit_has_the_large_result(queue: JobQueue, store: JobStore) -> None:
    new = new_job(idempotency_key="k")
    await queue.submit(new)
    await store.finish(await claim_one(queue), completed(body(SIZES[-1])))
    assert (await queue.submit(new)).job.result == body(SIZES[-1])
    found = await queue.find_repeated(new)
    assert found is not None
    assert found.job.result == body(SIZES[-1])


async def test_a_refused_large_submit_leaves_nothing(commands: RedisCommands, queue: JobQueue) -> None:
    first = new_job(idempotency_key="k", payload=body(SIZES[-1]))
    await queue.submit(first)
    assert not (await queue.submit(first)).created
    with pytest.raises(IdempotencyConflict):
        await queue.submit(new_job(idempotency_key="k", payload=body(SIZES[-2])))
    assert await commands.execute("KEYS", "*:part:*") == []


async def test_a_run_that_lost_its_lease_writes_no_result(queue: JobQueue, store: JobStore) -> None:
    new = new_job()
    await queue.submit(new)
    claim = await claim_one(queue)
    await store.cancel(new.id)
    assert not await store.finish(claim, completed(body(SIZES[-1])))
    job = await store.get(new.id)
    assert job is not None
    assert (job.state, job.result) == (State.CANCELLED, b"")


async def test_a_large_result_is_written_once_however_often_it_is_sent(queue: JobQueue, store: JobStore) -> None:
    new = new_job()
    await queue.submit(new)
    claim = await claim_one(queue)
    assert await store.finish(claim, completed(body(SIZES[-1])))
    assert await store.finish(claim, completed(body(SIZES[-1]))), "its answer was lost, so it was sent again"
    job = await store.get(new.id)
    assert job is not None
    assert job.result == body(SIZES[-1])


async def test_parts_that_expired_are_asked_for_again(
    commands: RedisCommands, queue: JobQueue, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = new_job()
    await queue.submit(new)
    claim = await claim_one(queue)

    async def write_and_expire(scripts: EngineScripts, key: str, part: bytes) -> None:
        await write_parts(scripts, key, part)
        await commands.execute("DEL", key)

    with monkeypatch.context() as patch:
        patch.setattr("shared.jobs.store.write_parts", write_and_expire)
        with pytest.raises(StoreUnavailable):
            await store.finish(claim, completed(body(SIZES[-1])))
    assert await store.finish(claim, completed(body(SIZES[-1])))


async def test_a_job_whose_result_expires_while_it_is_read_is_gone(
    commands: RedisCommands, queue: JobQueue, store: JobStore
) -> None:
    new = new_job(idempotency_key="k")
    await queue.submit(new)
    await store.finish(await claim_one(queue), completed(body(SIZES[-1])))
    await commands.execute("DEL", keys.result(new.id))
    assert await store.get(new.id) is None
    with pytest.raises(JobNotFound):
        await store.cancel(new.id)
    assert (await queue.submit(new)).job.result == b""


async def test_others_are_answered_while_large_results_are_polled(queue: JobQueue, store: JobStore) -> None:
    new = new_job()
    await queue.submit(new)
    await store.finish(await claim_one(queue), completed(body(16 * PART_BYTES)))
    polls = [asyncio.create_task(store.get(new.id)) for _ in range(6)]
    await asyncio.sleep(0)
    await queue.submit(new_job())
    assert sum(poll.done() for poll in polls) < len(polls), "the submit did not wait for the polls"
    for job in await asyncio.gather(*polls):
        assert job is not None
        assert len(job.result) == 16 * PART_BYTES
