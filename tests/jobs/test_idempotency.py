"""The same request is the same job: idempotency keys, and an SDK's own blind retries."""

import pytest

from shared.errors import IdempotencyConflict
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobStore
from tests.jobs.conftest import DONE, claim_one, new_job


async def test_the_same_key_and_body_give_the_same_job(queue: JobQueue, store: JobStore) -> None:
    first = await queue.submit(new_job(owner="a", idempotency_key="k"))
    second = await queue.submit(new_job(owner="a", idempotency_key="k"))
    assert (second.created, second.job.id, second.job.queue_position) == (False, first.job.id, 1)
    await store.finish(await claim_one(queue), DONE)
    third = await queue.submit(new_job(owner="a", idempotency_key="k"))
    assert (third.created, third.job.result) == (False, DONE.result)


async def test_another_body_under_the_same_key_is_a_conflict(queue: JobQueue) -> None:
    await queue.submit(new_job(owner="a", idempotency_key="k"))
    with pytest.raises(IdempotencyConflict) as refused:
        await queue.submit(new_job(owner="a", idempotency_key="k", payload=b"other"))
    assert (refused.value.status, refused.value.should_retry) == (409, False)


async def test_keys_belong_to_their_callers(queue: JobQueue) -> None:
    assert (await queue.submit(new_job(owner="a", idempotency_key="k"))).created
    assert (await queue.submit(new_job(owner="b", idempotency_key="k"))).created
    assert (await queue.submit(new_job(dedupe_scope="bearer-1", idempotency_key="k"))).created
    assert (await queue.submit(new_job(dedupe_scope="bearer-2", idempotency_key="k"))).created


async def test_a_blind_retry_finds_the_first_try(queue: JobQueue) -> None:
    first = await queue.submit(new_job(owner="a"))
    assert (await queue.submit(new_job(owner="a"))).created
    retried = await queue.submit(new_job(owner="a", blind_retry=True))
    assert not retried.created
    assert retried.job.id != first.job.id  # the latest of the same requests


async def test_a_blind_retry_of_something_else_is_a_new_job(queue: JobQueue) -> None:
    await queue.submit(new_job(owner="a"))
    assert (await queue.submit(new_job(owner="a", payload=b"other", blind_retry=True))).created
    assert (await queue.submit(new_job(owner="b", blind_retry=True))).created
    assert (await queue.submit(new_job(owner="a", request_type="responses", blind_retry=True))).created


async def test_a_fingerprint_replaces_the_body(queue: JobQueue) -> None:
    await queue.submit(new_job(owner="a", payload=b"--boundary-1", fingerprint="same", idempotency_key="k"))
    again = await queue.submit(new_job(owner="a", payload=b"--boundary-2", fingerprint="same", idempotency_key="k"))
    assert not again.created


async def test_a_key_whose_job_is_gone_makes_a_new_one(queue: JobQueue, store: JobStore) -> None:
    first = await queue.submit(new_job(owner="a", idempotency_key="k"))
    await store.finish(await claim_one(queue), DONE)
    await store.delete(first.job.id)
    second = await queue.submit(new_job(owner="a", idempotency_key="k"))
    assert (second.created, second.job.id == first.job.id) == (True, False)


async def test_a_look_up_finds_what_a_submit_would_and_accepts_nothing(queue: JobQueue, store: JobStore) -> None:
    named, retried = new_job(owner="a", idempotency_key="k"), new_job(owner="a", blind_retry=True)
    for new in (named, retried, new_job(owner="a")):
        assert await queue.find_repeated(new) is None
    assert (await store.list("a")).jobs == ()
    first = await queue.submit(named)
    for again in (new_job(owner="a", idempotency_key="k"), retried):
        found = await queue.find_repeated(again)
        assert found is not None
        assert (found.created, found.job.id, found.job.queue_position) == (False, first.job.id, 1)
    assert await queue.find_repeated(new_job(owner="a")) is None
    assert await queue.find_repeated(new_job(owner="b", idempotency_key="k")) is None
    with pytest.raises(IdempotencyConflict):
        await queue.find_repeated(new_job(owner="a", idempotency_key="k", payload=b"other"))
