"""The lane: bounded, independent of jobs, and nothing is lost when a worker or the store goes away."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from shared.errors import StoreUnavailable
from shared.jobs.queue import JobQueue, QueueLimits
from shared.settings.model import Settings
from shared.store.multiplexed import MultiplexedClient
from shared.telemetry.metrics import Metrics
from shared.webhooks.model import DeliveryClaim, Status
from shared.webhooks.store import DeliveryFilter, DeliveryStore, Finish
from tests.jobs.conftest import new_job
from tests.serving import serving
from tests.waiting import wait_until
from tests.webhooks.lane import OK, delivering, event, only_one, settings_with, until_ended
from worker import delivery_lane
from worker.delivery_lane import DeliveryLane
from worker.webhooks import WebhookDelivery


@pytest.fixture
async def commands(redis_url: str) -> AsyncIterator[MultiplexedClient]:
    client = MultiplexedClient(redis_url)
    yield client
    await client.aclose()


class Scripted(WebhookDelivery):
    """Answers attempts as the test says, without a network."""

    def __init__(self, settings: Settings, commands: Any) -> None:
        super().__init__(settings, commands)
        self.attempts: list[DeliveryClaim] = []
        self.go = asyncio.Event()
        self.outcomes: list[Finish | Exception] = []

    async def attempt(self, claim: DeliveryClaim) -> Finish:
        self.attempts.append(claim)
        outcome = self.outcomes.pop(0) if self.outcomes else OK
        if isinstance(outcome, Exception):
            raise outcome
        if claim.url.startswith("https://slow."):
            await self.go.wait()
        return outcome


@pytest.fixture
async def delivery(commands: MultiplexedClient) -> AsyncIterator[Scripted]:
    delivery = Scripted(settings_with("https://example.com/hook"), commands)
    yield delivery
    await delivery.aclose()


def value_of(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


async def test_slow_endpoints_leave_room_for_others(delivery: Scripted, commands: MultiplexedClient) -> None:
    for number in range(20):
        await delivery.store.add(
            event(f"slow-{number}", webhook="", url=f"https://slow.example/{number}", owner="vk_slow")
        )
    async with delivering(delivery) as (lane, metrics):
        await wait_until(lambda: len(delivery.attempts) == 8)
        await delivery.store.add(event("quick"))
        lane.wake()
        [quick] = await until_ended(delivery.store)
        assert (quick.job_id, quick.status) == ("quick", Status.DELIVERED)
        assert len([claim for claim in delivery.attempts if claim.owner == "vk_slow"]) == 8
        delivery.go.set()
        await until_ended(delivery.store, 21)
        await wait_until(lambda: value_of(metrics, "finops_webhook_attempts_total", result="delivered") == 21)
        await wait_until(lambda: value_of(metrics, "finops_webhook_pending") == 0)


async def test_a_lane_without_room_claims_when_an_attempt_ends(delivery: Scripted) -> None:
    for name in ("a", "b", "c"):
        await delivery.store.add(event(name, webhook="", url=f"https://slow.{name}.example/"))
    async with delivering(delivery, concurrency=1) as (lane, _):
        await wait_until(lambda: len(delivery.attempts) == 1)
        lane.wake()
        delivery.go.set()
        await until_ended(delivery.store, 3)


async def test_a_full_job_queue_does_not_stop_deliveries(delivery: Scripted, commands: MultiplexedClient) -> None:
    queue = JobQueue(commands, QueueLimits(max_queued=1))
    for number in range(3):
        await delivery.store.add(event(f"job-{number}"))
    await queue.submit(new_job())  # deliveries do not count
    async with delivering(delivery):
        await until_ended(delivery.store, 3)


async def test_a_failing_attempt_is_retried_when_due(delivery: Scripted) -> None:
    delivery.outcomes = [Finish("retry", counts=True, reason="status_500"), OK]
    await delivery.store.add(event())
    async with delivering(delivery):
        [ended] = await until_ended(delivery.store)
    assert ended.status is Status.DELIVERED
    assert len(delivery.attempts) == 2


async def test_an_attempt_that_breaks_fails_its_delivery_alone(
    delivery: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    delivery.outcomes = [RuntimeError("broken")]
    await delivery.store.add(event("one"))
    async with delivering(delivery):
        await until_ended(delivery.store)
        await delivery.store.add(event("two"))
        rows = await until_ended(delivery.store, 2)
    assert {row.job_id: row.reason for row in rows} == {"one": "internal_error", "two": ""}
    assert "could not be attempted" in caplog.text


async def test_an_attempt_without_the_store_is_given_back(delivery: Scripted) -> None:
    delivery.outcomes = [StoreUnavailable()]
    await delivery.store.add(event())
    async with delivering(delivery):
        await until_ended(delivery.store)
    assert len(delivery.attempts) == 2


async def test_a_stopping_worker_gives_back_what_it_cannot_finish(
    delivery: Scripted, monkeypatch: pytest.MonkeyPatch, commands: MultiplexedClient
) -> None:
    monkeypatch.setattr(delivery_lane, "GRACE_S", 0.01)
    await delivery.store.add(event("a", webhook="", url="https://slow.example/"))
    async with delivering(delivery):
        await wait_until(lambda: delivery.attempts)
    assert (await only_one(delivery.store)).status is Status.PENDING
    assert await commands.execute("ZCARD", "finops:deliveries:leases") == 0
    assert len((await delivery.store.claim(1)).claims) == 1


class Interrupted(DeliveryStore):
    """A store that is away for its first calls."""

    failures = 2

    async def claim(self, most: int) -> Any:
        self._fail()
        return await super().claim(most)

    async def finish(self, claim: DeliveryClaim, finish: Finish) -> str:
        self._fail()
        return await super().finish(claim, finish)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable


@pytest.fixture
def interrupted(delivery: Scripted, commands: MultiplexedClient) -> Interrupted:
    store = Interrupted(commands, Settings().webhooks_delivery)
    delivery.store = store
    return store


async def test_the_lane_waits_for_the_store(delivery: Scripted, interrupted: Interrupted) -> None:
    await delivery.store.add(event(webhook="", url="https://slow.example/"))
    async with delivering(delivery):
        await wait_until(lambda: delivery.attempts)
        interrupted.failures = 2
        delivery.go.set()
        await until_ended(delivery.store)
    assert interrupted.failures == 0


async def test_an_end_that_cannot_be_written_is_left_to_the_lease(
    delivery: Scripted, interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_lane, "WRITE_FOR_S", -1.0)
    interrupted.failures = 0
    await delivery.store.add(event())
    [claim] = (await delivery.store.claim(1)).claims
    interrupted.failures = 1
    metrics = Metrics("worker", CollectorRegistry())
    lane = DeliveryLane(delivery, 1, metrics)
    await lane._attempt(claim)
    assert value_of(metrics, "finops_webhook_attempts_total", result="lost") == 1


async def test_a_store_that_is_away_at_the_end_keeps_the_leases(
    delivery: Scripted, interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_lane, "GRACE_S", 0.0)
    interrupted.failures = 0
    await delivery.store.add(event("a", webhook="", url="https://slow.example/"))
    async with delivering(delivery):
        await wait_until(lambda: delivery.attempts)
        interrupted.failures = 1
        monkeypatch.setattr(interrupted, "claim", lambda most: asyncio.sleep(3600))
    assert (await delivery.store.find(DeliveryFilter(status="pending")))[0]


async def test_a_slow_endpoint_is_left_after_its_time(commands: MultiplexedClient) -> None:
    """Real sockets: a receiver that drips its answer holds nothing for longer than the time limit."""

    async def dripping(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        closed = asyncio.ensure_future(receive())
        await send({"type": "http.response.start", "status": 500, "headers": []})
        while not closed.done():
            await send({"type": "http.response.body", "body": b".", "more_body": True})
            await asyncio.wait([closed], timeout=0.01)

    async with serving(dripping) as origin:
        settings = settings_with(origin, webhooks_delivery={"timeout_s": 0.3, "retry_for_s": 0.1})
        delivery = WebhookDelivery(settings, commands)
        await delivery.store.add(event())
        started = time.monotonic()
        async with delivering(delivery):
            [ended] = await until_ended(delivery.store)
        assert time.monotonic() - started < 30
        assert ended.status is Status.FAILED
        assert ended.attempts[0].answer.startswith(".") or ended.attempts[0].error == "timeout"
        await delivery.aclose()
