"""Callbacks: signed so that SDKs verify them, retried until they arrive, never sent to private addresses."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import openai
import orjson
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from shared.batches.files import FileStore
from shared.batches.model import Status as BatchStatus
from shared.batches.store import BatchStore
from shared.jobs.model import NewJob, Outcome, State
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobStore
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.store.connection import connect
from shared.store.multiplexed import MultiplexedClient
from shared.webhooks.model import Delivery, DeliveryClaim, Status
from shared.webhooks.secrets import WebhookSecrets
from shared.webhooks.store import DeliveryFilter
from tests.batches.conftest import made
from tests.serving import serving
from tests.waiting import wait_until
from tests.webhooks.lane import SECRET, claim_one, delivering, event, settings_with, until_ended
from tests.worker.test_tasks import claim
from worker.outbox import Outbox
from worker.webhooks import DELIVERY, WebhookDelivery, next_delay_s


class Receiver:
    """A user's HTTP server that records its requests."""

    def __init__(self) -> None:
        self.status = 200
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        self.requests.append(({name.decode(): value.decode() for name, value in scope["headers"]}, body))
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"location", b"/x")]})
        await send({"type": "http.response.body", "body": b"thanks"})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with serving(receiver) as origin:
        receiver.url = f"{origin}/hook?a=b"
        yield receiver


@pytest.fixture
async def delivery(receiver: Receiver, commands: RedisCommands) -> AsyncIterator[WebhookDelivery]:
    settings = settings_with(receiver.url)
    closed = settings.webhooks["orders"].model_copy(update={"allow_private_network": False})
    delivery = WebhookDelivery(
        settings.model_copy(update={"webhooks": {"closed": closed, **settings.webhooks}}), commands
    )
    yield delivery
    await delivery.aclose()


async def claimed(delivery: WebhookDelivery, **fields: Any) -> DeliveryClaim:
    await delivery.store.add(event(**fields))
    return await claim_one(delivery.store)


async def test_a_callback_is_signed_so_that_the_sdk_verifies_it(delivery: WebhookDelivery, receiver: Receiver) -> None:
    finish = await delivery.attempt(await claimed(delivery))
    assert finish.verdict == "delivered"
    assert finish.attempt
    assert (finish.attempt.status, finish.attempt.answer) == (200, "thanks")
    [(headers, body)] = receiver.requests
    Webhook(SECRET).verify(body, headers)
    client = openai.OpenAI(api_key="k", webhook_secret=SECRET)
    parsed = client.webhooks.unwrap(body.decode(), headers)
    client.close()
    assert parsed.id == headers["webhook-id"]
    assert orjson.loads(body)["type"] == "async_job.completed"
    assert orjson.loads(body)["data"]["id"] == "job-1"


async def test_after_a_rotation_both_secrets_verify(
    delivery: WebhookDelivery, receiver: Receiver, commands: RedisCommands
) -> None:
    rotation = await WebhookSecrets(commands, settings_with(receiver.url)).rotate("orders")
    await delivery.attempt(await claimed(delivery))
    [(headers, body)] = receiver.requests
    for secret in (rotation.secret, SECRET):
        Webhook(secret).verify(body, headers)


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_other_statuses_than_2xx_are_retried(delivery: WebhookDelivery, receiver: Receiver, status: int) -> None:
    receiver.status = status
    finish = await delivery.attempt(await claimed(delivery))
    assert (finish.verdict, finish.reason, finish.counts) == ("retry", f"status_{status}", True)
    assert len(receiver.requests) == 1, "redirects are not followed"


async def test_an_unreachable_receiver_is_retried(commands: RedisCommands) -> None:
    delivery = WebhookDelivery(settings_with("http://127.0.0.1:9/"), commands)
    finish = await delivery.attempt(await claimed(delivery))
    assert (finish.verdict, finish.reason) == ("retry", "unreachable")
    await delivery.aclose()


async def test_a_receiver_that_does_not_answer_is_retried(commands: RedisCommands) -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await receive()
            await receive()  # until the caller hangs up

    async with serving(silent) as origin:
        delivery = WebhookDelivery(settings_with(origin, webhooks_delivery={"timeout_s": 0.2}), commands)
        finish = await delivery.attempt(await claimed(delivery))
        await delivery.aclose()
    assert (finish.verdict, finish.reason) == ("retry", "timeout")


async def test_delivery_stops_after_three_days_or_a_410(delivery: WebhookDelivery, receiver: Receiver) -> None:
    receiver.status = 500
    old = replace(await claimed(delivery), age_s=72 * 3600.0)
    late = await delivery.attempt(old)
    receiver.status = 410
    gone = await delivery.attempt(replace(old, age_s=0.0))
    assert [(late.verdict, late.reason), (gone.verdict, gone.reason)] == [
        ("failed", "given_up"),
        ("failed", "status_410"),
    ]


async def test_a_private_address_is_not_called(delivery: WebhookDelivery, receiver: Receiver) -> None:
    named = await claimed(delivery, webhook="closed")
    for url in (receiver.url, receiver.url.replace("127.0.0.1", "localhost")):
        finish = await delivery.attempt(replace(named, webhook="", url=url))
        assert (finish.verdict, finish.reason, finish.counts) == ("failed", "address_not_public", False)
    assert (await delivery.attempt(named)).verdict == "failed"
    assert receiver.requests == []


@pytest.mark.parametrize("url", ["https://[::1/", f"https://{'a' * 70}.example/", "https://h.example:99999/"])
async def test_a_url_that_is_none_fails(delivery: WebhookDelivery, url: str) -> None:
    finish = await delivery.attempt(replace(await claimed(delivery), webhook="", url=url))
    assert (finish.verdict, finish.reason) == ("failed", "invalid_url_or_secret")


async def test_a_webhook_removed_from_the_configuration_ends_its_deliveries(delivery: WebhookDelivery) -> None:
    finish = await delivery.attempt(await claimed(delivery, webhook="former"))
    assert (finish.verdict, finish.reason) == ("failed", "webhook_not_configured")


async def test_urls_are_signed_with_the_secret_of_the_key_that_named_them(
    commands: RedisCommands, receiver: Receiver
) -> None:
    settings = Settings.model_validate({"server": {"allow_private_network": True}})
    delivery, secrets = WebhookDelivery(settings, commands), WebhookSecrets(commands, settings)
    for owner in ("vk_a", ""):
        await delivery.attempt(await claimed(delivery, job_id=f"of-{owner}", webhook="", url=receiver.url, owner=owner))
        headers, body = receiver.requests[-1]
        Webhook(await secrets.of_key(owner)).verify(body, headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(await secrets.of_key("vk_b")).verify(body, headers)
    await delivery.aclose()


def test_retry_delays_grow() -> None:
    assert [next_delay_s(age) for age in (0, 5, 20, 100, 10**6)] == [5, 5, 10, 50, 4 * 3600]


async def test_deliveries_queued_as_jobs_by_an_earlier_release_are_moved(
    delivery: WebhookDelivery, receiver: Receiver
) -> None:
    outcome = {"job": "j", "webhook": receiver.url, "state": "failed", "request_type": "responses", "at_ms": 1}
    alert = {"id": "evt_a", "type": "budget.threshold", "data": {"id": "alert_1-0"}}
    for payload in (outcome, {"job": "alert_1-0", "webhook": "orders", "event": alert}):
        moved = await delivery.run(claim("", orjson.dumps(payload), request_type=DELIVERY))
        assert moved.state is State.COMPLETED
    rows, _ = await delivery.store.find(DeliveryFilter())
    assert [(row.event, row.job_id, row.webhook, row.url) for row in rows] == [
        ("budget.threshold", "", "orders", receiver.url),
        ("async_job.failed", "j", "", receiver.url),
    ]


async def relay(url: str, delivery: WebhookDelivery, *names: str) -> list[Delivery]:
    """Relay the outbox until it is empty, with so many workers; what it became."""
    commands, redis = MultiplexedClient(url), connect(url, timeout_s=None)
    relays = [asyncio.create_task(Outbox(redis, delivery, name).run()) for name in names]

    async def relayed() -> bool:
        return await commands.execute("XLEN", "finops:webhooks:outbox") == 0

    await wait_until(relayed)
    for task in relays:
        task.cancel()
    await asyncio.gather(*relays, return_exceptions=True)
    await redis.aclose()
    await commands.aclose()
    return (await delivery.store.find(DeliveryFilter()))[0]


async def test_an_outcome_in_the_outbox_becomes_one_delivery(redis_url: str, receiver: Receiver) -> None:
    commands = MultiplexedClient(redis_url)
    delivery = WebhookDelivery(settings_with(receiver.url), commands)
    queue, store = JobQueue(commands), JobStore(commands)
    for job_id, webhook in (("a", "orders"), ("b", ""), ("c", "orders")):
        new = NewJob(id=job_id, owner="vk_a", request_type="responses", model="m", payload=b"{}", webhook=webhook)
        await queue.submit(new)
    for taken in (await queue.claim("w", 3)).claims:
        state = State.FAILED if taken.id == "c" else State.COMPLETED
        await store.finish(taken, Outcome(state=state, status_code=200, result=b"{}"))
    [found] = await relay(redis_url, delivery, "one", "two")
    assert (found.job_id, found.owner, found.event, found.webhook) == ("a", "vk_a", "async_job.completed", "orders")
    assert (await queue.claim("w", 10)).claims == (), "deliveries are no jobs"
    async with delivering(delivery):
        [ended] = await until_ended(delivery.store)
    assert (ended.status, ended.attempts[0].status) == (Status.DELIVERED, 200)
    await delivery.aclose()
    await commands.aclose()


async def test_entries_of_an_earlier_release_are_completed_from_the_job(redis_url: str, receiver: Receiver) -> None:
    commands = MultiplexedClient(redis_url)
    delivery = WebhookDelivery(settings_with(receiver.url), commands)
    await commands.execute("HSET", "finops:job:resp_1", "type", "responses", "owner", "vk_a")
    for job_id in ("resp_1", "resp_gone"):
        await commands.execute(
            "XADD", "finops:webhooks:outbox", "*", "job", job_id, "webhook", receiver.url, "state", "completed"
        )
    rows = await relay(redis_url, delivery, "one")
    assert [(row.event, row.owner, row.webhook) for row in reversed(rows)] == [
        ("response.completed", "vk_a", ""),
        ("async_job.completed", "", ""),
    ]
    await delivery.aclose()
    await commands.aclose()


async def test_the_end_of_a_batch_is_sent_as_openais_event(redis_url: str, receiver: Receiver) -> None:
    commands = MultiplexedClient(redis_url)
    orders = {"url": receiver.url, "secret": SECRET, "events": ["batch.completed"], "allow_private_network": True}
    delivery = WebhookDelivery(Settings.model_validate({"webhooks": {"orders": orders}}), commands)
    batches = BatchStore(commands)
    for status in (BatchStatus.FAILED, BatchStatus.COMPLETED):
        await made(FileStore(commands, max_owner_bytes=1000), batches, webhook="orders")
        turn = await batches.take()
        assert turn is not None
        await batches.close(turn.batch, status)
    [found] = await relay(redis_url, delivery, "one")
    assert found.job_id == turn.batch.id
    async with delivering(delivery):
        await until_ended(delivery.store)
    [(headers, body)] = receiver.requests
    parsed = openai.OpenAI(api_key="k").webhooks.unwrap(body.decode(), headers, secret=SECRET)
    assert parsed.type == "batch.completed"
    assert parsed.data.id == turn.batch.id
    await delivery.aclose()
    await commands.aclose()


async def test_the_outbox_waits_for_a_store_that_refuses(
    redis_url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("worker.outbox.PAUSE_S", 0.01)
    commands, redis = MultiplexedClient(redis_url), connect(redis_url, timeout_s=None)
    delivery = WebhookDelivery(settings_with(receiver.url), commands)
    await commands.execute("SET", "finops:alerts", "of another type")
    outbox = asyncio.create_task(Outbox(redis, delivery, "one").run())
    await wait_until(lambda: "the store is away" in caplog.text)
    assert not outbox.done()
    await commands.execute("DEL", "finops:alerts")
    fields = ("job", "a", "webhook", "orders", "state", "completed", "type", "responses", "owner", "")
    await commands.execute("XADD", "finops:webhooks:outbox", "*", *fields)
    await wait_until(delivery.store.pending)
    outbox.cancel()
    await asyncio.gather(outbox, return_exceptions=True)
    await delivery.aclose()
    await redis.aclose()
    await commands.aclose()
