"""Pauses: no claim takes a paused job, everything else goes on, and shares stay fair."""

import time
from collections.abc import Sequence

import pytest

from shared.errors import InvalidRequest, NotFound
from shared.jobs import keys
from shared.jobs import pauses as pauses_module
from shared.jobs.model import Claim, Job, NewJob, Priority, State
from shared.jobs.pauses import Pause, PauseStore, check_scope, pauses_of
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.store import JobStore
from shared.store.commands import RedisCommands
from tests.jobs.conftest import DONE, new_job


@pytest.fixture
def pauses(commands: RedisCommands) -> PauseStore:
    return PauseStore(commands)


def of_team(team: str, **options: object) -> NewJob:
    return new_job(context={"who": {"type": "chat.completions", "team": team}}, **options)


async def submit(queue: JobQueue, *new: NewJob) -> list[str]:
    return [(await queue.submit(job)).job.id for job in new]


async def claim_all(queue: JobQueue) -> list[str]:
    """The ids of everything that can be claimed now."""
    claimed: list[Claim] = []
    while True:
        batch = await queue.claim("w", 4)
        claimed += batch.claims
        if not batch.claims and not batch.ready:
            return [claim.id for claim in claimed]


@pytest.mark.parametrize(
    "scope",
    ["all", "key:a", "team:search", "provider:SIM", "model:sim/f*", "model:FAST", "model:*a*t", "priority:high"],
)
async def test_no_claim_takes_a_paused_job(
    queue: JobQueue, store: JobStore, pauses: PauseStore, commands: RedisCommands, scope: str
) -> None:
    paused = of_team("search", owner="a", model="sim/fast", priority=Priority.HIGH)
    other = of_team("ads", owner="b", model="other/slow")
    ids = await submit(queue, paused, other, of_team("search", owner="a", model="sim/fast", priority=Priority.HIGH))
    await pauses.put(Pause(scope=scope, reason="maintenance"))
    assert await claim_all(queue) == ([] if scope == "all" else [other.id])
    job = await store.get(paused.id)
    assert job is not None
    assert [(pause.scope, pause.reason) for pause in job.paused_by] == [(scope, "maintenance")]
    listed = {job.id: job.paused_by for job in (await store.list(None)).jobs}
    assert listed[paused.id] == job.paused_by
    assert (listed[other.id] != ()) == (scope == "all")
    await pauses.delete(scope)
    back = await claim_all(queue)
    assert [job_id for job_id in back if job_id != other.id] == [ids[0], ids[2]]
    assert (other.id in back) == (scope == "all")
    await queue.claim("w", 1)
    assert await commands.execute("HGET", keys.CLOCK, "pauses") is None


@pytest.mark.parametrize("scope", ["key:a", "team:search", "all"])
async def test_waiting_jobs_can_be_cancelled_and_miss_deadlines(
    queue: JobQueue, store: JobStore, pauses: PauseStore, commands: RedisCommands, scope: str
) -> None:
    await pauses.put(Pause(scope=scope, reason="r"))
    first, late = await submit(
        queue, of_team("search", owner="a"), of_team("search", owner="a", deadline_s=1000.0, labels=(("x", "y"),))
    )
    assert await claim_all(queue) == []
    assert (await store.cancel(first)).state is State.CANCELLED
    await commands.execute("ZADD", keys.DEADLINES, 1, late)
    await commands.execute("HSET", keys.job(late), "deadline_ms", 1)
    assert await claim_all(queue) == []
    job = await store.get(late)
    assert job is not None
    assert (job.state, job.paused_by) == (State.FAILED, ())
    await pauses.delete(scope)
    assert await claim_all(queue) == []
    assert (await store.stats()).priorities[Priority.NORMAL].depth == 0


async def test_a_pause_ends_by_itself(queue: JobQueue, pauses: PauseStore) -> None:
    soon, long = round(time.time() * 1000) - 1, round(time.time() * 1000) + 10**7
    ids = await submit(queue, of_team("search", owner="a"), new_job(owner="b"))
    await pauses.put(Pause(scope="team:search", reason="r", until_ms=long))
    await pauses.put(Pause(scope="key:b", reason="r", until_ms=long))
    assert await claim_all(queue) == []
    assert [pause.scope for pause in await pauses.list()] == ["key:b", "team:search"]
    for scope in ("team:search", "key:b"):
        await pauses.put(Pause(scope=scope, reason="r", until_ms=soon))
    assert await pauses.list() == ()
    assert sorted(await claim_all(queue)) == sorted(ids)


async def test_a_job_may_be_held_by_several_pauses(queue: JobQueue, pauses: PauseStore) -> None:
    ids = await submit(queue, *(of_team("search", owner="a", model="sim/fast") for _ in range(3)))
    for scope in ("team:search", "provider:sim", "model:*fast"):
        await pauses.put(Pause(scope=scope, reason="r"))
    assert await claim_all(queue) == []
    await pauses.delete("team:search")
    await pauses.delete("provider:sim")  # some come back while others still do
    assert await claim_all(queue) == []
    await pauses.delete("model:*fast")
    assert await claim_all(queue) == ids


async def test_many_paused_jobs_delay_nobody(commands: RedisCommands, pauses: PauseStore) -> None:
    queue = JobQueue(commands, QueueLimits(lease_s=3600))
    await pauses.put(Pause(scope="team:search", reason="r"))
    ids = await submit(queue, *(of_team("search", owner="a") for _ in range(210)))
    (other,) = await submit(queue, new_job(owner="b"))
    rounds = 0
    while not (claimed := (await queue.claim("w", 1)).claims):
        rounds += 1
    assert ([claim.id for claim in claimed], rounds) == ([other], 2)
    await pauses.delete("team:search")
    assert await claim_all(queue) == ids


async def test_shares_stay_fair_after_a_resume(queue: JobQueue, store: JobStore, pauses: PauseStore) -> None:
    """The time of a pause is not saved up: afterwards both callers get their turns."""
    for scope in ("key:a", "team:search"):
        await submit(queue, *(of_team("search", owner="a") for _ in range(10)))
        await submit(queue, *(new_job(owner="b") for _ in range(20)))
        await pauses.put(Pause(scope=scope, reason="r"))
        for _ in range(10):
            (claim,) = await next_claims(queue)
            assert claim.owner == "b"
            await store.finish(claim, DONE)
        await pauses.delete(scope)
        turns = [(await next_claims(queue))[0].owner for _ in range(12)]
        assert 5 <= turns.count("a") <= 7
        await claim_all(queue)


async def next_claims(queue: JobQueue) -> Sequence[Claim]:
    while not (claims := (await queue.claim("w", 1)).claims):
        pass
    return claims


async def test_submits_to_a_paused_key_wait(queue: JobQueue, pauses: PauseStore) -> None:
    await pauses.put(Pause(scope="key:a", reason="r"))
    (waiting,) = await submit(queue, new_job(owner="a"))
    assert await claim_all(queue) == []
    await pauses.delete("key:a")
    assert await claim_all(queue) == [waiting]


async def test_pauses_are_bounded_and_known(pauses: PauseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses_module, "MAX_PAUSES", 1)
    await pauses.put(Pause(scope="key:nobody", reason="one"))
    await pauses.put(Pause(scope="key:nobody", reason="two"))
    with pytest.raises(InvalidRequest):
        await pauses.put(Pause(scope="all", reason="r"))
    assert [pause.reason for pause in await pauses.list()] == ["two"]
    await pauses.delete("key:nobody")
    with pytest.raises(NotFound):
        await pauses.delete("key:nobody")


@pytest.mark.parametrize(
    "scope", ["", "all:x", "key", "key:", "priority:urgent", "nobody:x", "team:" + "x" * 257, "key:\n"]
)
def test_other_scopes_are_refused(scope: str) -> None:
    with pytest.raises(InvalidRequest):
        check_scope(scope)


def test_a_job_tells_the_pauses_that_hold_for_it() -> None:
    job = Job(id="i", state=State.QUEUED, request_type="t", model="gpt-4o", owner="a", labels="\nt:s\n")
    scopes = ["all", "key:a", "key:b", "team:s", "team:t", "provider:openai", "provider:sim", "priority:normal"]
    models = ["model:gpt*", "model:openai/*", "model:*4*o", "model:*o*4*", "model:gpt-4o", "model:gpt", "model:*-4o-*"]
    held = pauses_of(job, [Pause(scope=scope, reason="") for scope in scopes + models])
    assert [pause.scope for pause in held] == [
        "all", "key:a", "team:s", "provider:openai", "priority:normal",
        "model:gpt*", "model:openai/*", "model:*4*o", "model:*o*4*", "model:gpt-4o",
    ]  # fmt: skip
