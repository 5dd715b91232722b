"""Lists of jobs: an owner's, everybody's, the dead."""

import pytest

from shared.errors import JobNotFound
from shared.jobs import keys
from shared.jobs.model import State
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobStore
from shared.store.commands import RedisCommands
from tests.jobs.conftest import DONE, claim_one, new_job


async def make(queue: JobQueue, count: int, **options: object) -> list[str]:
    made = [await queue.submit(new_job(**options)) for _ in range(count)]
    return [submission.job.id for submission in made]


async def test_pages_follow_one_another(queue: JobQueue, store: JobStore) -> None:
    made = set(await make(queue, 5, owner="a"))
    first = await store.list("a", limit=2)
    second = await store.list("a", limit=2, after=first.jobs[-1].id)
    third = await store.list("a", limit=2, after=second.jobs[-1].id)
    assert [page.has_more for page in (first, second, third)] == [True, True, False]
    listed = [job for page in (first, second, third) for job in page.jobs]
    assert {job.id for job in listed} == made
    times = [job.created_ms for job in listed]
    assert times == sorted(times, reverse=True)


async def test_owners_list_their_own_jobs_and_administrators_all(queue: JobQueue, store: JobStore) -> None:
    mine = await make(queue, 1, owner="a")
    await make(queue, 1, owner="b")
    await make(queue, 1)
    assert [job.id for job in (await store.list("a")).jobs] == mine
    assert (await store.list("")).jobs == ()
    assert len((await store.list(None)).jobs) == 3


async def test_lists_filter_by_state_and_model(queue: JobQueue, store: JobStore) -> None:
    await make(queue, 2, owner="a")
    (other,) = await make(queue, 1, owner="a", model="sim/slow")
    claim = await claim_one(queue)
    await store.finish(claim, DONE)
    assert [job.id for job in (await store.list("a", model="sim/slow")).jobs] == [other]
    (done,) = (await store.list("a", state=State.COMPLETED)).jobs
    assert (done.id, done.status_code, done.owner, done.result) == (claim.id, 200, "a", b"")
    assert not (await store.list("a", state=State.FAILED)).jobs


async def test_expired_jobs_are_removed_from_lists(queue: JobQueue, store: JobStore, commands: RedisCommands) -> None:
    gone, stored = (await make(queue, 1, owner="a")) + (await make(queue, 1, owner="a"))
    await commands.execute("DEL", keys.job(gone))
    assert [job.id for job in (await store.list("a")).jobs] == [stored]
    assert await commands.execute("ZCARD", keys.owner_jobs("a")) == 1


async def test_an_unknown_cursor_is_an_error(queue: JobQueue, store: JobStore) -> None:
    (theirs,) = await make(queue, 1, owner="b")
    with pytest.raises(JobNotFound):
        await store.list("a", after=theirs)


async def test_a_page_holds_at_least_one_and_at_most_a_thousand(queue: JobQueue, store: JobStore) -> None:
    await make(queue, 3, owner="a")
    assert len((await store.list("a", limit=0)).jobs) == 1
    assert len((await store.list("a", limit=10**9)).jobs) == 3
