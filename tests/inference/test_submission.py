"""Submission of jobs: reservations that jobs carry, and those that are given back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from shared.errors import BudgetExceeded, JobNotFound, QueueFull, RetryRefused, StoreUnavailable
from shared.governance.keys.caller import Caller
from shared.governance.limits.guard import Reservation
from shared.governance.limits.model import Limit
from shared.inference.assembly import build_inference
from shared.inference.billing import Billing
from shared.inference.call import Call
from shared.inference.inference import Inference
from shared.inference.submission import Submitter
from shared.jobs.model import NewJob, Outcome, State
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobStore
from shared.settings.model import Settings
from shared.store.multiplexed import MultiplexedClient
from tests.inference.conftest import chat

BUDGET = Limit("cost", "key:a", "1d", 1_000)
CALLER = Caller(key_id="a", name="a", limits=(BUDGET,))
SETTINGS: dict[str, Any] = {
    "providers": {"sim": {"wire": "openai", "base_url": "http://127.0.0.1:9/v1"}},
    "prices": {"sim/*": {"input": 1, "output": 1}},
}


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[MultiplexedClient]:
    client = MultiplexedClient(redis_url)
    yield client
    await client.aclose()


class Desk:
    """A submitter and what its jobs cost."""

    def __init__(self, store: MultiplexedClient, inference: Inference, billing: Billing) -> None:
        self.billing = billing
        self.queue = JobQueue(store)
        self.jobs = JobStore(store)
        self.submitter = Submitter(inference, self.queue, self.jobs)

    async def reserved(self) -> int:
        """Micro-USD that the caller's budget holds for calls under way."""
        await self.billing.ledger.flush()
        (status,) = await self.billing.guard.peek([BUDGET])
        return status.held

    async def fail_first(self) -> None:
        """Run the waiting job to its failure."""
        (claim,) = (await self.queue.claim("w", 1)).claims
        assert await self.jobs.finish(claim, Outcome(state=State.FAILED, status_code=500, error={"message": "no"}))


@pytest.fixture
async def desk(store: MultiplexedClient) -> AsyncIterator[Desk]:
    settings = Settings.model_validate(SETTINGS)
    billing = Billing(settings, store)
    inference = build_inference(settings, {}, billing=billing)
    yield Desk(store, inference, billing)
    await inference.aclose()


def request_of(job_id: str, caller: Caller = CALLER, **more: Any) -> tuple[Call, NewJob]:
    call = chat("sim/gpt", caller=caller, job_id=job_id, max_tokens=100)
    new = NewJob(
        id=job_id,
        owner="a",
        request_type="chat_completions",
        model="sim/gpt",
        payload=call.body,
        context={"x": 1},
        **more,
    )
    return call, new


async def test_a_job_carries_its_reservation(desk: Desk) -> None:
    reservations: list[Reservation] = []
    call, new = request_of("one")
    submission = await desk.submitter.submit(call, new, reservations.append)
    assert (submission.created, submission.job.id) == (True, "one")
    assert await desk.reserved() == reservations[0].cost > 0


async def test_a_repeat_reserves_nothing(desk: Desk) -> None:
    for job_id in ("one", "two"):
        submission = await desk.submitter.submit(*request_of(job_id, idempotency_key="k", fingerprint="f"))
        assert submission.job.id == "one"
        held = await desk.reserved()
    assert held == (await desk.reserved()) > 0


async def test_a_repeat_whose_first_try_took_the_budget_is_found_after_the_refusal(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    tight = Caller(key_id="a", name="a", limits=(Limit("cost", "key:a", "1d", 1),))
    first, second = (request_of(job_id, tight, idempotency_key="k", fingerprint="f") for job_id in ("one", "two"))
    look = desk.queue.find_repeated
    looks = 0

    async def look_before_the_first_is_submitted(new: NewJob) -> Any:
        nonlocal looks
        looks += 1
        found = await look(new)
        if looks == 1:
            await desk.submitter.submit(*first)
        return found

    monkeypatch.setattr(desk.queue, "find_repeated", look_before_the_first_is_submitted)
    assert (await desk.submitter.submit(*second)).job.id == "one"


async def test_a_spent_budget_refuses_a_job(desk: Desk) -> None:
    poor = Caller(key_id="a", name="a", limits=(Limit("cost", "key:a", "1d", 0),))
    with pytest.raises(BudgetExceeded):
        await desk.submitter.submit(*request_of("one", poor))


async def test_two_repeats_at_once_keep_one_reservation(desk: Desk) -> None:
    submissions = await asyncio.gather(
        *(desk.submitter.submit(*request_of(job_id, idempotency_key="k", fingerprint="f")) for job_id in ("one", "two"))
    )
    (job_id,) = {submission.job.id for submission in submissions}
    reservations: list[Reservation] = []
    await desk.submitter.submit(*request_of("three"), reservations.append)
    assert job_id in {"one", "two"}
    assert await desk.reserved() == 2 * reservations[0].cost


async def test_a_full_queue_gives_the_reservation_back(store: MultiplexedClient, desk: Desk) -> None:
    await desk.submitter.submit(*request_of("one", max_queued=1))
    held = await desk.reserved()
    with pytest.raises(QueueFull):
        await desk.submitter.submit(*request_of("two", max_queued=1))
    assert await desk.reserved() == held


async def test_a_job_that_has_ended_before_its_second_submit_keeps_no_reservation(desk: Desk) -> None:
    await desk.submitter.submit(*request_of("one"))
    await desk.fail_first()
    submission = await desk.submitter.submit(*request_of("one"))
    assert (submission.job.live, await desk.reserved()) == (False, 0)


async def test_a_lost_answer_leaves_the_reservation_to_the_job(desk: Desk) -> None:
    gone = MultiplexedClient("redis://127.0.0.1:9/0")
    queue = JobQueue(gone)
    submitter = Submitter(desk.submitter._inference, queue, JobStore(gone))
    with pytest.raises(StoreUnavailable):
        await submitter.submit(*request_of("one"))
    assert await desk.reserved() > 0
    await gone.aclose()


async def test_a_failed_job_reserves_again_when_it_is_retried(desk: Desk) -> None:
    call, new = request_of("one")
    await desk.submitter.submit(call, new)
    await desk.fail_first()
    assert await desk.reserved() == 0
    assert (await desk.submitter.retry(call)).state is State.QUEUED
    held = await desk.reserved()
    with pytest.raises(RetryRefused):  # it waits already, under the same reservation
        await desk.submitter.retry(call)
    assert await desk.reserved() == held > 0


async def test_a_retry_of_a_job_that_is_gone_gives_the_reservation_back(desk: Desk) -> None:
    with pytest.raises(JobNotFound):
        await desk.submitter.retry(request_of("one")[0])
    assert await desk.reserved() == 0


@pytest.fixture
def unlimited(desk: Desk) -> Callable[[str], tuple[Call, NewJob]]:
    return lambda job_id: request_of(job_id, Caller(key_id="a"))


async def test_a_caller_without_limits_has_nothing_to_give_back(
    desk: Desk, unlimited: Callable[[str], tuple[Call, NewJob]]
) -> None:
    with pytest.raises(JobNotFound):
        await desk.submitter.retry(unlimited("one")[0])
    assert (await desk.submitter.submit(*unlimited("two"))).created
