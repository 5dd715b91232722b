"""A job's cost is booked with its outcome, in the same script, exactly once; on fakeredis and a real server."""

from typing import Any

import orjson
import pytest

from shared.governance.limits.guard import LimitGuard
from shared.governance.limits.model import Limit
from shared.jobs.model import Outcome, State
from shared.jobs.queue import JobQueue
from shared.jobs.store import Finish, JobStore
from shared.store.commands import RedisCommands
from tests.jobs.conftest import claim_one, new_job

BUDGET = (Limit("cost", "key:a", "1M", 1_000),)
CONTEXT = {"surface": "openai", "who": {"key": "a", "team": "t", "type": "chat.completions"}}
PAID = Outcome(
    state=State.COMPLETED,
    status_code=200,
    ledger=b'{"v":1,"key":"a","cost":70,"input":5,"output":2,"status":200,"priced":true}',
)


# A prompt of 20 tokens for 40, an answer at 10 a token; ten percent off what is published.
ESTIMATE = {
    "provider": "sim", "model": "gpt", "input": 20, "priced": True,
    "cost": 36, "list": 40, "output_rate": 9_000_000, "output_list_rate": 10_000_000,
}  # fmt: skip
LATE = Outcome(state=State.FAILED, status_code=504, error={})


@pytest.fixture
def guard(commands: RedisCommands) -> LimitGuard:
    return LimitGuard(commands)


async def meters(commands: RedisCommands) -> tuple[int, int]:
    (key,) = await commands.execute("KEYS", "finops:meter:*")
    used, held = await commands.execute("HMGET", key, "u", "h")
    return int(used or 0), int(held or 0)


async def ledger(commands: RedisCommands) -> list[dict[str, Any]]:
    return [orjson.loads(fields[1]) for _, fields in await commands.execute("XRANGE", "finops:ledger", "-", "+")]


async def test_an_outcome_settles_what_the_submit_reserved(
    queue: JobQueue, store: JobStore, guard: LimitGuard, commands: RedisCommands
) -> None:
    job = new_job(owner="a", context=CONTEXT)
    await guard.admit(job.id, BUDGET, cost=300, tokens=9, renewed=False)
    await queue.submit(job)
    assert await meters(commands) == (0, 300)
    claim = await claim_one(queue)
    assert await store.finish(claim, PAID)
    assert await store.finish(claim, PAID)  # sent again, its answer lost
    assert await meters(commands) == (70, 0)
    assert [entry["cost"] for entry in await ledger(commands)] == [70]
    assert 0 < await commands.execute("PTTL", f"finops:hold:{job.id}") <= 600_000


async def test_outcomes_written_together_settle_the_reservations_that_there_are(
    queue: JobQueue, store: JobStore, guard: LimitGuard, commands: RedisCommands
) -> None:
    for with_reservation in (False, True, False):
        job = new_job(owner="a", context=CONTEXT)
        if with_reservation:
            await guard.admit(job.id, BUDGET, cost=300, tokens=9, renewed=False)
        await queue.submit(job, reserved=with_reservation)
    claims = (await queue.claim("w1", 3)).claims
    assert await store.finish_many([Finish(claim, PAID) for claim in claims]) == [True] * 3
    assert await meters(commands) == (70, 0)
    assert len(await ledger(commands)) == 3


async def test_the_reservation_of_a_failed_job_is_kept_for_a_retry(
    queue: JobQueue, store: JobStore, guard: LimitGuard, commands: RedisCommands
) -> None:
    job = new_job(owner="a", context=CONTEXT, ttl_s=7200)
    await guard.admit(job.id, BUDGET, cost=300, tokens=9, renewed=False)
    await queue.submit(job)
    await store.finish(await claim_one(queue), LATE)
    assert await commands.execute("PTTL", f"finops:hold:{job.id}") > 600_000


async def test_a_cancelled_job_gives_its_reservation_back_and_is_booked(
    queue: JobQueue, store: JobStore, guard: LimitGuard, commands: RedisCommands
) -> None:
    job = new_job(owner="a", context=CONTEXT, request_id="r")
    await guard.admit(job.id, BUDGET, cost=300, tokens=9, renewed=False)
    await queue.submit(job)
    await store.cancel(job.id)
    await store.cancel(job.id)
    assert await meters(commands) == (0, 0)
    (entry,) = await ledger(commands)
    assert (entry["key"], entry["team"], entry["job"], entry["status"], entry["code"]) == (
        "a",
        "t",
        job.id,
        409,
        "job_cancelled",
    )
    assert entry["priced"] is True
    assert entry["at"] > 1_700_000_000_000


async def test_a_cancelled_run_without_an_estimate_is_unpriced(
    queue: JobQueue, store: JobStore, commands: RedisCommands
) -> None:
    job = new_job(owner="a", context=CONTEXT)
    await queue.submit(job)
    await claim_one(queue)
    await store.cancel(job.id)
    assert [entry["priced"] for entry in await ledger(commands)] == [False]


@pytest.mark.parametrize("end", ["cancelled", "late"])
async def test_a_run_that_its_caller_ends_is_charged_its_prompt_and_events(
    queue: JobQueue, store: JobStore, guard: LimitGuard, commands: RedisCommands, end: str
) -> None:
    job = new_job(owner="a", context=CONTEXT).estimated(ESTIMATE)
    await guard.admit(job.id, BUDGET, cost=300, tokens=9, renewed=False)
    await queue.submit(job)
    claim = await claim_one(queue)
    await store.finish_many([Finish(claim, None, [("delta", b"{}")] * 3, flushed=0)])
    await (store.cancel(job.id) if end == "cancelled" else store.finish(claim, LATE))
    await store.cancel(job.id)
    assert await meters(commands) == (63, 0)
    (entry,) = await ledger(commands)
    assert (entry["provider"], entry["model"], entry["input"], entry["output"]) == ("sim", "gpt", 20, 3)
    assert (entry["cost"], entry["list"], entry["priced"], entry["estimated"]) == (63, 70, True, True)


@pytest.mark.parametrize("unknown", [{"priced": False}, {"output_rate": None}])
async def test_a_cancelled_run_without_a_price_is_unpriced_but_its_tokens_count(
    queue: JobQueue, store: JobStore, guard: LimitGuard, commands: RedisCommands, unknown: dict[str, Any]
) -> None:
    estimate = {name: value for name, value in {**ESTIMATE, **unknown}.items() if value is not None}
    job = new_job(owner="a", context=CONTEXT).estimated(estimate)
    await guard.admit(job.id, (Limit("tokens", "key:a", "1M", 1_000),), cost=0, tokens=300, renewed=False)
    await queue.submit(job)
    await store.finish_many([Finish(await claim_one(queue), None, [("delta", b"{}")], flushed=0)])
    await store.cancel(job.id)
    assert await meters(commands) == (21, 0)
    assert [("cost" in entry, entry["priced"]) for entry in await ledger(commands)] == [(False, False)]


async def test_a_job_that_never_ran_or_waits_again_is_not_charged_an_estimate(
    queue: JobQueue, store: JobStore, guard: LimitGuard, commands: RedisCommands
) -> None:
    waiting, released = (new_job(owner="a", context=CONTEXT).estimated(ESTIMATE) for _ in range(2))
    await guard.admit(released.id, BUDGET, cost=300, tokens=9, renewed=False)
    await queue.submit(released)
    await queue.release([await claim_one(queue)])
    await queue.submit(waiting)
    for job in (waiting, released):
        await store.cancel(job.id)
    assert await meters(commands) == (0, 0)
    assert [(entry["priced"], "estimated" in entry) for entry in await ledger(commands)] == [
        (True, False),
        (False, False),
    ]


async def test_a_job_that_runs_again_is_counted_again(
    queue: JobQueue, store: JobStore, guard: LimitGuard, commands: RedisCommands
) -> None:
    job = new_job(owner="a", context=CONTEXT)
    await guard.admit(job.id, BUDGET, cost=300, tokens=9, renewed=False)
    await queue.submit(job)
    failed = Outcome(state=State.FAILED, status_code=502, error={}, ledger=b'{"cost":5,"status":502}')
    await store.finish(await claim_one(queue), failed)
    await store.retry(job.id)
    await store.finish(await claim_one(queue), PAID)
    assert await meters(commands) == (75, 0)
    assert [entry["cost"] for entry in await ledger(commands)] == [5, 70]


async def test_jobs_of_our_own_are_not_booked(queue: JobQueue, store: JobStore, commands: RedisCommands) -> None:
    await queue.submit(new_job())
    await store.finish(await claim_one(queue), Outcome(state=State.COMPLETED, status_code=200))
    assert await ledger(commands) == []


async def left_s(commands: RedisCommands, reservation: str) -> float:
    """Until a hold runs out, by the store's clock."""
    seconds, _ = await commands.execute("TIME")
    return float(await commands.execute("ZSCORE", "finops:holds", reservation)) / 1000 - int(seconds)


async def test_a_reservation_lasts_as_long_as_its_job_but_not_without_one(
    queue: JobQueue, store: JobStore, guard: LimitGuard, commands: RedisCommands
) -> None:
    job = new_job(owner="a", context=CONTEXT, delay_s=60.0)
    for reservation in (job.id, "its submit never came"):
        await guard.admit(reservation, BUDGET, cost=300, tokens=9, renewed=False)
    await queue.submit(job, reserved=True)
    assert await left_s(commands, job.id) > 29 * 86_400
    assert await left_s(commands, "its submit never came") < 300
    await store.cancel(job.id)
    assert await commands.execute("ZRANGE", "finops:holds", 0, -1) == [b"its submit never came"]


async def test_a_job_that_is_admitted_again_holds_what_it_may_cost(
    queue: JobQueue, store: JobStore, guard: LimitGuard, commands: RedisCommands
) -> None:
    job = new_job(owner="a", context=CONTEXT)
    await guard.admit(job.id, BUDGET, cost=300, tokens=9, renewed=False)
    await queue.submit(job)
    await store.finish(
        await claim_one(queue), Outcome(state=State.FAILED, status_code=502, error={}, ledger=b'{"cost":5}')
    )
    await guard.admit(job.id, BUDGET, cost=300, tokens=9, renewed=False)
    await store.retry(job.id)
    assert await meters(commands) == (5, 300)
    assert await left_s(commands, job.id) > 29 * 86_400
    await store.finish(await claim_one(queue), PAID)
    assert await meters(commands) == (75, 0)
