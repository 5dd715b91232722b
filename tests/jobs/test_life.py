"""The life of a job, in every form of the store."""

import pytest

from shared.errors import InvalidRequest, JobLive, JobNotFound, RetryRefused
from shared.governance.keyspace import LEDGER
from shared.jobs import keys
from shared.jobs.events import EventLog
from shared.jobs.model import Deferral, Outcome, Priority, State
from shared.jobs.queue import INLINE_PAYLOAD_BYTES, JobQueue
from shared.jobs.store import Finish, JobStore
from shared.store.commands import RedisCommands
from tests.jobs.conftest import BROKEN, DONE, claim_one, new_job, until


async def names(log: EventLog, job_id: str) -> list[str]:
    return [event.name for event in await log.read(job_id)]


async def test_a_job_is_submitted_claimed_finished_and_read(queue: JobQueue, store: JobStore, log: EventLog) -> None:
    new = new_job(owner="team-a", request_id="r1", context={"surface": "openai"}, priority=Priority.HIGH, ttl_s=60)
    submission = await queue.submit(new)
    assert submission.created
    assert submission.job == await store.get(new.id)
    assert (submission.job.state, submission.job.queue_position) == (State.QUEUED, 1)

    claim = await claim_one(queue)
    assert (claim.id, claim.payload, claim.context, claim.attempt) == (new.id, new.payload, {"surface": "openai"}, 1)
    running = await store.get(new.id)
    assert running and (running.state, running.attempts, running.queue_position) == (State.RUNNING, 1, None)

    assert await store.finish(claim, DONE)
    job = await store.get(new.id)
    assert job and (job.state, job.result, job.meta, job.status_code) == (State.COMPLETED, DONE.result, DONE.meta, 200)
    assert job.expires_ms == job.completed_ms + 60_000
    assert job.created_ms <= job.started_ms <= job.completed_ms
    assert await store.payload(new.id) is None
    assert await names(log, new.id) == ["job.queued", "job.started", "job.completed"]


async def test_the_first_terminal_state_wins(queue: JobQueue, store: JobStore) -> None:
    new = new_job()
    await queue.submit(new)
    claim = await claim_one(queue)
    assert await store.finish(claim, DONE)
    assert not await store.finish(claim, BROKEN)
    assert (await store.cancel(new.id)).state is State.COMPLETED
    job = await store.get(new.id)
    assert job and job.state is State.COMPLETED


async def test_a_finish_sent_twice_is_recorded_once_and_accepted_twice(
    queue: JobQueue, store: JobStore, log: EventLog, commands: RedisCommands
) -> None:
    new = new_job(webhook="orders")
    await queue.submit(new)
    claim = await claim_one(queue)
    outcome = Outcome(state=State.COMPLETED, status_code=200, result=b"1", ledger=b'{"cost":1}')
    assert await store.finish(claim, outcome, [("delta", b"1")])
    assert await store.finish(claim, outcome, [("delta", b"1")])
    assert await names(log, new.id) == ["job.queued", "job.started", "delta", "job.completed"]
    assert await commands.execute("XLEN", LEDGER) == 1
    ((_, entry),) = await commands.execute("XRANGE", keys.WEBHOOK_OUTBOX, "-", "+")
    assert entry[:6] == [b"job", new.id.encode(), b"webhook", b"orders", b"state", b"completed"]


async def test_a_lost_lease_cannot_write_and_the_job_runs_again(
    quick: JobQueue, store: JobStore, log: EventLog
) -> None:
    new = new_job()
    await quick.submit(new)
    first = await claim_one(quick)
    batch = await until(lambda: _some(quick))
    (second,) = batch.claims
    assert (second.attempt, second.reason, batch.reruns) == (2, "lost_lease", 1)
    assert not await store.finish(first, DONE)
    assert not await log.append(first, [("delta", b"late")])
    assert not await quick.defer(first, Deferral(delay_s=1))
    assert await quick.release([first]) == 0
    assert await quick.renew([(first.id, first.token), (second.id, second.token)]) == [first.token]
    assert await store.finish(second, DONE)
    assert await names(log, new.id) == ["job.queued", "job.started", "job.requeued", "job.started", "job.completed"]


async def _some(queue: JobQueue) -> object:
    batch = await queue.claim("w2", 5)
    return batch if batch.claims else None


async def test_a_late_outcome_counts_as_long_as_nobody_took_the_job(quick: JobQueue, store: JobStore) -> None:
    new = new_job()
    await quick.submit(new)
    claim = await claim_one(quick)
    await until(lambda: _lease_over(quick, claim.started_ms + 25))
    assert await store.finish(claim, DONE)


async def _lease_over(queue: JobQueue, when_ms: int) -> bool:
    seconds, micros = await queue._scripts.execute("TIME")
    return int(seconds) * 1000 + int(micros) // 1000 > when_ms


async def test_a_job_that_keeps_losing_its_worker_is_dead_and_can_be_retried(quick: JobQueue, store: JobStore) -> None:
    new = new_job(owner="a", ttl_s=1)
    await quick.submit(new)

    async def failed() -> bool:
        await quick.claim("w", 1)
        job = await store.get(new.id)
        return bool(job and job.state is State.FAILED)

    await until(failed)
    (dead,) = (await store.dead()).jobs
    assert dead.error == {
        "message": "The job lost its worker 2 times and was given up.",
        "type": "api_error",
        "param": None,
        "code": "attempts_exhausted",
    }
    assert (dead.status_code, dead.attempts) == (500, 2)
    assert dead.expires_ms - dead.completed_ms == 7 * 86_400_000
    assert (await store.retry(new.id)).state is State.QUEUED
    assert not (await store.dead()).jobs
    claim = await claim_one(quick)
    assert (claim.attempt, claim.payload) == (1, new.payload)
    assert await store.finish(claim, DONE)


async def test_a_released_job_comes_first_again_and_its_attempt_does_not_count(
    queue: JobQueue, store: JobStore
) -> None:
    first, second = new_job(), new_job()
    await queue.submit(first)
    await queue.submit(second)
    claim = await claim_one(queue)
    assert await queue.release([claim]) == 1
    job = await store.get(first.id)
    assert job and (job.state, job.attempts, job.reason) == (State.QUEUED, 0, "released")
    again = await claim_one(queue)
    assert (again.id, again.attempt) == (first.id, 1)
    assert again.token != claim.token


@pytest.mark.parametrize("how", ["release", "defer"])
async def test_an_ended_job_is_not_released(queue: JobQueue, store: JobStore, log: EventLog, how: str) -> None:
    new = new_job()
    await queue.submit(new)
    claim = await claim_one(queue)
    assert await store.finish(claim, DONE)  # its record keeps the token, for a finish that is sent twice
    given_back = queue.release([claim]) if how == "release" else queue.defer(claim, Deferral(delay_s=0))
    assert not await given_back
    job = await store.get(new.id)
    assert job and (job.state, job.attempts, job.result) == (State.COMPLETED, 1, DONE.result)
    assert not (await queue.claim("w2", 1)).claims
    assert [event.name for event in await log.read(new.id)][-1] == "job.completed"


@pytest.mark.parametrize(("counts", "attempt"), [(False, 1), (True, 2)])
async def test_a_deferred_job_gives_its_slot_back_until_it_is_due(
    queue: JobQueue, store: JobStore, counts: bool, attempt: int
) -> None:
    new = new_job(deadline_s=60)
    await queue.submit(new)
    assert await queue.defer(await claim_one(queue), Deferral(delay_s=1, reason="retry_after", counts=counts))
    job = await store.get(new.id)
    assert job and (job.state, job.reason) == (State.DEFERRED, "retry_after")
    batch = await queue.claim("w", 1)
    assert not batch.claims
    assert batch.next_ms <= 500
    again = (await until(lambda: _some(queue))).claims[0]
    assert (again.id, again.attempt) == (new.id, attempt)


async def test_a_delayed_submit_is_deferred_until_its_time(queue: JobQueue, log: EventLog) -> None:
    new = new_job(delay_s=1)
    submission = await queue.submit(new)
    assert (submission.job.state, submission.job.queue_position) == (State.DEFERRED, None)
    assert not (await queue.claim("w", 1)).claims
    claim = (await until(lambda: _some(queue))).claims[0]
    assert claim.started_ms >= claim.due_ms == submission.job.due_ms
    assert await names(log, new.id) == ["job.deferred", "job.queued", "job.started"]


@pytest.mark.parametrize("state", ["queued", "deferred", "running"])
async def test_a_live_job_is_cancelled_at_once(queue: JobQueue, store: JobStore, state: str) -> None:
    new = new_job(owner="a", delay_s=60 if state == "deferred" else 0, deadline_s=90)
    await queue.submit(new)
    claim = await claim_one(queue) if state == "running" else None
    job = await store.cancel(new.id)
    assert (job.state, job.status_code) == (State.CANCELLED, 409)
    assert job.error and job.error["code"] == "job_cancelled"
    assert (await store.cancel(new.id)).completed_ms == job.completed_ms
    assert not (await queue.claim("w", 1)).claims
    if claim:
        assert not await store.finish(claim, DONE)
        assert await queue.renew([(claim.id, claim.token)]) == [claim.token]
    stats = await store.stats()
    assert (stats.deferred, stats.running, stats.callers) == (0, 0, {})


@pytest.mark.parametrize("seen_by", ["poll", "claim"])
async def test_a_waiting_job_past_its_deadline_fails(queue: JobQueue, store: JobStore, seen_by: str) -> None:
    new = new_job(deadline_s=0.02, delay_s=5)
    await queue.submit(new)

    async def over() -> bool:
        if seen_by == "claim":
            assert not (await queue.claim("w", 1)).claims
            raw = await queue._scripts.execute("HGET", keys.job(new.id), "state")
            return bool(raw == b"failed")
        job = await store.get(new.id)
        return bool(job and not job.live)

    await until(over)
    job = await store.get(new.id)
    assert job and (job.state, job.status_code) == (State.FAILED, 504)
    assert job.error and job.error["code"] == "deadline_exceeded"
    with pytest.raises(JobNotFound):
        await store.cancel("nobody")


async def test_a_ready_job_past_its_deadline_is_never_started(queue: JobQueue, store: JobStore) -> None:
    new = new_job(deadline_s=0.001)
    await queue.submit(new)
    await until(lambda: _past_deadline(queue, store, new.id))
    assert not (await queue.claim("w", 1)).claims


async def _past_deadline(queue: JobQueue, store: JobStore, job_id: str) -> bool:
    job = await store.get(job_id)
    return bool(job and not job.live)


async def test_a_lost_lease_past_the_deadline_is_the_end(quick: JobQueue, store: JobStore) -> None:
    new = new_job(deadline_s=0.5)
    await quick.submit(new)
    await claim_one(quick)

    job = await store.get(new.id)
    assert job
    await until(lambda: _lease_over(quick, job.deadline_ms))
    assert not (await quick.claim("w", 1)).claims
    job = await store.get(new.id)
    assert job and job.error and job.error["code"] == "deadline_exceeded"


async def test_a_large_payload_is_fetched_apart(queue: JobQueue) -> None:
    large = new_job(payload=b"x" * (INLINE_PAYLOAD_BYTES + 1))
    small = new_job(payload=b"")
    await queue.submit(large)
    await queue.submit(small)
    claims = (await queue.claim("w", 2)).claims
    assert [claim.payload for claim in claims] == [large.payload, b""]


async def test_only_what_has_ended_is_deleted_and_then_all_of_it(
    queue: JobQueue, store: JobStore, commands: RedisCommands
) -> None:
    new = new_job(owner="a")
    await queue.submit(new)
    with pytest.raises(JobLive) as refused:
        await store.delete(new.id)
    assert (refused.value.status, refused.value.code) == (409, "job_live")
    await store.finish(await claim_one(queue), BROKEN)
    assert await store.payload(new.id) == new.payload
    assert await store.delete(new.id)
    assert not await store.delete(new.id)
    assert await store.get(new.id) is None
    left = [key for key in await commands.execute("KEYS", "*") if new.id.encode() in key]
    assert left == []
    assert not (await store.list("a")).jobs


async def test_only_failed_jobs_are_retried(queue: JobQueue, store: JobStore, log: EventLog) -> None:
    new = new_job(deadline_s=60)
    await queue.submit(new)
    with pytest.raises(RetryRefused, match="queued"):
        await store.retry(new.id)
    await store.finish(await claim_one(queue), BROKEN)
    job = await store.retry(new.id)
    assert (job.state, job.attempts, job.error, job.deadline_ms, job.completed_ms) == (State.QUEUED, 0, None, 0, 0)
    assert await names(log, new.id) == ["job.queued"]
    await store.finish(await claim_one(queue), DONE)
    with pytest.raises(RetryRefused, match="completed"):
        await store.retry(new.id)
    with pytest.raises(JobNotFound):
        await store.retry("nobody")


async def test_a_completed_job_keeps_its_payload_when_asked_to(queue: JobQueue, store: JobStore) -> None:
    new = new_job(keep_payload=True)
    await queue.submit(new)
    await store.finish(await claim_one(queue), DONE)
    assert await store.payload(new.id) == new.payload


async def test_events_are_in_order_and_never_written_twice(queue: JobQueue, store: JobStore, log: EventLog) -> None:
    new = new_job()
    await queue.submit(new)
    claim = await claim_one(queue)
    events = [("delta", b'"%d"' % number) for number in range(3)]
    assert await log.append(claim, events[:1])
    first = Finish(claim, None, events, flushed=0)
    assert await store.finish_many([first, first]) == [True, True]
    assert await store.finish_many([Finish(claim, DONE, events[2:], flushed=2)]) == [True]
    events = await log.read(new.id)
    assert [event.data for event in events if event.name == "delta"] == [b'"0"', b'"0"', b'"1"', b'"2"']
    middle = events[3]
    assert [event.id for event in await log.read(new.id, after=middle.id)] == [event.id for event in events[4:]]
    assert [event.id for event in events] == [str(number + 1) for number in range(len(events))]
    with pytest.raises(InvalidRequest, match="Last-Event-ID"):
        await log.read(new.id, after="soon")


async def test_an_event_log_is_bounded_and_its_numbers_go_on(queue: JobQueue, store: JobStore, log: EventLog) -> None:
    new = new_job()
    await queue.submit(new)
    claim = await claim_one(queue)
    events = [("delta", b"%d" % number) for number in range(5600)]
    assert await store.finish_many([Finish(claim, None, events), Finish(claim, BROKEN, events)]) == [True, True]
    lines = await log.read(new.id, count=20_000)
    assert len(lines) == 10_001
    assert [int(event.id) for event in lines] == list(range(11_203 - 10_000, 11_204))
    assert [event.name for event in await log.read(new.id, after=lines[-2].id)] == ["job.failed"]
    assert await log.read(new.id, after="999999") == []
    await store.retry(new.id)
    assert [(event.id, event.name) for event in await log.read(new.id)] == [("11204", "job.queued")]


@pytest.mark.parametrize("name", ["", "a b", "x:payload", "x" * 81, "é", "a\n"])
async def test_an_invalid_id_is_an_unknown_job(queue: JobQueue, store: JobStore, log: EventLog, name: str) -> None:
    assert await store.get(name) is None
    assert await store.payload(name) is None
    assert await store.delete(name) is False
    for ask in (store.cancel, store.retry, log.read):
        with pytest.raises(JobNotFound):
            await ask(name)
    with pytest.raises(ValueError, match="job id"):
        await queue.submit(new_job(id=name))


async def test_submitting_the_same_id_again_finds_the_same_job(queue: JobQueue) -> None:
    new = new_job()
    assert (await queue.submit(new)).created
    again = await queue.submit(new)
    assert (again.created, again.job.id) == (False, new.id)
    assert len((await queue.claim("w", 5)).claims) == 1


async def test_a_claim_skips_a_missing_record(queue: JobQueue, commands: RedisCommands) -> None:
    lost, stored = new_job(), new_job()
    await queue.submit(lost)
    await queue.submit(stored)
    await commands.execute("DEL", keys.job(lost.id))
    assert [claim.id for claim in (await queue.claim("w", 1)).claims] == [stored.id]
    assert await commands.execute("ZCARD", keys.ARQ_QUEUES[Priority.NORMAL]) == 0


async def test_the_keys_of_a_busy_caller_get_their_expiry_once_a_day(queue: JobQueue, commands: RedisCommands) -> None:
    month_ms = 30 * 86_400_000

    async def left_ms() -> list[int]:
        return [await commands.execute("PTTL", key) for key in (keys.caller("busy"), keys.owner_jobs("busy"))]

    await queue.submit(new_job(owner="busy"))
    assert min(await left_ms()) > month_ms
    for key in (keys.caller("busy"), keys.owner_jobs("busy")):
        await commands.execute("PEXPIRE", key, month_ms // 2)
    await queue.submit(new_job(owner="busy"))
    assert max(await left_ms()) <= month_ms // 2
    await commands.execute("HSET", keys.caller("busy"), "day", 1)  # as if the first submit were long ago
    await queue.submit(new_job(owner="busy"))
    assert min(await left_ms()) > month_ms
