"""Lists of jobs: an owner's, everybody's, the dead."""

from dataclasses import replace

import pytest

from shared.errors import JobNotFound
from shared.jobs import keys
from shared.jobs.filters import JobFilter
from shared.jobs.model import State
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobStore
from shared.store.commands import RedisCommands
from tests.jobs.conftest import BROKEN, DONE, claim_one, new_job


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
    assert [job.id for job in (await store.list("a", JobFilter(models=("sim/slow",)))).jobs] == [other]
    (done,) = (await store.list("a", JobFilter(states=(State.COMPLETED,)))).jobs
    assert (done.id, done.status_code, done.owner, done.result) == (claim.id, 200, "a", b"")
    assert not (await store.list("a", JobFilter(states=(State.FAILED,)))).jobs


async def test_expired_jobs_serve_as_cursors_for_a_day(
    queue: JobQueue, store: JobStore, commands: RedisCommands
) -> None:
    oldest, gone, newest = [(await make(queue, 1, owner="a"))[0] for _ in range(3)]
    await commands.execute("DEL", keys.job(gone))
    for job_id, age_ms in ((oldest, 2), (gone, 1), (newest, 0)):
        await commands.execute("ZADD", keys.owner_jobs("a"), await now_ms(commands) - age_ms, job_id)
    assert [job.id for job in (await store.list("a")).jobs] == [newest, oldest]
    assert [job.id for job in (await store.list("a", after=gone)).jobs] == [oldest]
    await commands.execute("ZADD", keys.owner_jobs("a"), await now_ms(commands) - 86_400_001, gone)
    assert [job.id for job in (await store.list("a", order="asc")).jobs] == [oldest, newest]
    with pytest.raises(JobNotFound):
        await store.list("a", after=gone)


async def now_ms(commands: RedisCommands) -> int:
    seconds, micros = await commands.execute("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


async def test_expired_jobs_leave_the_dead_letters(queue: JobQueue, store: JobStore, commands: RedisCommands) -> None:
    await make(queue, 2, owner="a")
    first, second = [await claim_one(queue) for _ in range(2)]
    for claim in (first, second):
        await store.finish(claim, replace(BROKEN, dead_letter=True))
    await commands.execute("DEL", keys.job(first.id))
    assert [job.id for job in (await store.dead(limit=1)).jobs] == [second.id]
    assert await commands.execute("ZCARD", keys.DEAD) == 1
    assert not (await store.dead(after=second.id)).jobs
    with pytest.raises(JobNotFound):
        await store.dead(after=first.id)


async def test_an_unknown_cursor_is_an_error(queue: JobQueue, store: JobStore) -> None:
    (theirs,) = await make(queue, 1, owner="b")
    with pytest.raises(JobNotFound):
        await store.list("a", after=theirs)


async def test_a_page_holds_at_least_one_and_at_most_a_thousand(queue: JobQueue, store: JobStore) -> None:
    await make(queue, 3, owner="a")
    assert len((await store.list("a", limit=0)).jobs) == 1
    assert len((await store.list("a", limit=10**9)).jobs) == 3
