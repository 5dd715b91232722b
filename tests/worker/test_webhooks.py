"""Callbacks: signed so that SDKs verify them, retried until they arrive, never sent to private addresses."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import orjson
import pytest
from standardwebhooks.webhooks import Webhook

from shared.batches.files import FileStore
from shared.batches.model import Status
from shared.batches.store import BatchStore
from shared.jobs.callback_secret import callback_secret
from shared.jobs.model import Deferral, NewJob, Outcome, State
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobStore
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.store.connection import connect
from shared.store.multiplexed import MultiplexedClient
from tests.batches.conftest import made
from tests.serving import serving
from tests.waiting import wait_until
from tests.worker.test_tasks import NOW_MS, claim
from worker import public_address
from worker.outbox import OWNER, Outbox
from worker.webhooks import DELIVERY, GIVE_UP_S, WebhookDelivery, next_delay_s

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


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
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with serving(receiver) as origin:
        receiver.url = f"{origin}/hook?a=b"
        yield receiver


@pytest.fixture
async def delivery(receiver: Receiver, commands: RedisCommands) -> AsyncIterator[WebhookDelivery]:
    orders = {"url": receiver.url, "secret": SECRET, "allow_private_network": True, "events": ["async_job.completed"]}
    closed = {"url": receiver.url, "secret": SECRET}
    delivery = WebhookDelivery(Settings.model_validate({"webhooks": {"orders": orders, "closed": closed}}), commands)
    yield delivery
    await delivery.aclose()


def delivery_claim(webhook: str = "orders", state: str = "completed", **times: int) -> Any:
    payload = {"job": "job-1", "webhook": webhook, "state": state, "request_type": "responses", "at_ms": NOW_MS}
    return claim("", orjson.dumps(payload), request_type=DELIVERY, **times)


async def test_a_callback_is_signed_so_that_the_sdk_verifies_it(delivery: WebhookDelivery, receiver: Receiver) -> None:
    outcome = await delivery.run(delivery_claim())
    assert isinstance(outcome, Outcome)
    assert outcome.state is State.COMPLETED
    [(headers, body)] = receiver.requests
    Webhook(SECRET).verify(body, headers)
    client = openai.OpenAI(api_key="k", webhook_secret=SECRET)
    event = client.webhooks.unwrap(body.decode(), headers)
    client.close()
    assert event.id == headers["webhook-id"]
    assert orjson.loads(body)["type"] == "async_job.completed"
    assert orjson.loads(body)["data"]["id"] == "job-1"


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_other_statuses_than_2xx_are_retried(delivery: WebhookDelivery, receiver: Receiver, status: int) -> None:
    receiver.status = status
    assert isinstance(await delivery.run(delivery_claim()), Deferral)
    assert len(receiver.requests) == 1, "redirects are not followed"


async def test_an_unreachable_receiver_is_retried(commands: RedisCommands) -> None:
    nobody = {"url": "http://127.0.0.1:9/", "secret": SECRET, "allow_private_network": True}
    delivery = WebhookDelivery(Settings.model_validate({"webhooks": {"orders": nobody}}), commands)
    assert isinstance(await delivery.run(delivery_claim()), Deferral)
    await delivery.aclose()


async def test_delivery_stops_after_three_days_or_a_410(delivery: WebhookDelivery, receiver: Receiver) -> None:
    receiver.status = 500
    late = await delivery.run(delivery_claim(created_ms=NOW_MS - int(GIVE_UP_S * 1000)))
    assert isinstance(late, Outcome)
    receiver.status = 410
    gone = await delivery.run(delivery_claim())
    assert isinstance(gone, Outcome)
    assert late.state is gone.state is State.FAILED


async def test_a_private_address_is_not_called(delivery: WebhookDelivery, receiver: Receiver) -> None:
    for webhook in ("closed", receiver.url, receiver.url.replace("127.0.0.1", "localhost")):
        outcome = await delivery.run(delivery_claim(webhook))
        assert isinstance(outcome, Outcome)
        assert outcome.state is State.FAILED
    assert receiver.requests == []


async def test_a_webhook_removed_from_the_configuration_ends_its_deliveries(delivery: WebhookDelivery) -> None:
    outcome = await delivery.run(delivery_claim("former"))
    assert isinstance(outcome, Outcome)
    assert outcome.state is State.FAILED


async def test_unnamed_urls_are_signed_with_the_gateways_own_secret(
    commands: RedisCommands, receiver: Receiver
) -> None:
    delivery = WebhookDelivery(Settings.model_validate({"server": {"allow_private_network": True}}), commands)
    await delivery.run(delivery_claim(receiver.url))
    await delivery.aclose()
    [(headers, body)] = receiver.requests
    Webhook(await callback_secret(commands)).verify(body, headers)


def test_retry_delays_grow() -> None:
    assert [next_delay_s(age) for age in (0, 5, 20, 100, 10**6)] == [5, 5, 10, 50, 4 * 3600]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("10.0.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:10.0.0.1", False),
        ("2002:0a00:0001::1", False),
        ("fd00::1", False),
    ],
)
def test_is_public(address: str, public: bool) -> None:
    assert public_address.is_public(address) is public


async def test_a_public_name_is_connected_to_as_it_was_checked() -> None:
    assert await public_address.resolve_public("93.184.216.34", 443) == "93.184.216.34"


async def test_an_outcome_in_the_outbox_becomes_one_delivery(redis_url: str, receiver: Receiver) -> None:
    commands = MultiplexedClient(redis_url)
    orders = {"url": receiver.url, "secret": SECRET, "events": ["async_job.completed"]}
    delivery = WebhookDelivery(Settings.model_validate({"webhooks": {"orders": orders}}), commands)
    queue, store = JobQueue(commands), JobStore(commands)
    for job_id, webhook in (("a", "orders"), ("b", ""), ("c", "orders")):
        await queue.submit(NewJob(id=job_id, request_type="responses", model="m", payload=b"{}", webhook=webhook))
    for taken in (await queue.claim("w", 3)).claims:
        state = State.FAILED if taken.id == "c" else State.COMPLETED
        await store.finish(taken, Outcome(state=state, status_code=200, result=b"{}"))
    redis = connect(redis_url, timeout_s=None)
    relays = [asyncio.create_task(Outbox(redis, queue, store, delivery, name).run()) for name in ("one", "two")]

    async def relayed() -> bool:
        return await commands.execute("XLEN", "finops:webhooks:outbox") == 0

    await wait_until(relayed)
    for relay in relays:
        relay.cancel()
    await asyncio.gather(*relays, return_exceptions=True)
    await redis.aclose()
    claims = (await queue.claim("w", 10)).claims
    await commands.aclose()
    assert [(taken.request_type, taken.owner) for taken in claims] == [(DELIVERY, OWNER)]
    assert orjson.loads(claims[0].payload)["job"] == "a"


async def test_the_end_of_a_batch_is_sent_as_openais_event(redis_url: str, receiver: Receiver) -> None:
    commands = MultiplexedClient(redis_url)
    orders = {"url": receiver.url, "secret": SECRET, "events": ["batch.completed"], "allow_private_network": True}
    delivery = WebhookDelivery(Settings.model_validate({"webhooks": {"orders": orders}}), commands)
    queue, batches = JobQueue(commands), BatchStore(commands)
    for status in (Status.FAILED, Status.COMPLETED):
        await made(FileStore(commands, max_owner_bytes=1000), batches, webhook="orders")
        turn = await batches.take()
        assert turn is not None
        await batches.close(turn.batch, status)
    redis = connect(redis_url, timeout_s=None)
    relay = asyncio.create_task(Outbox(redis, queue, JobStore(commands), delivery, "one").run())

    async def relayed() -> bool:
        return await commands.execute("XLEN", "finops:webhooks:outbox") == 0

    await wait_until(relayed)
    relay.cancel()
    await asyncio.gather(relay, return_exceptions=True)
    [taken] = (await queue.claim("w", 10)).claims
    await delivery.run(taken)
    [(headers, body)] = receiver.requests
    event = openai.OpenAI(api_key="k").webhooks.unwrap(body.decode(), headers, secret=SECRET)
    assert event.type == "batch.completed"
    assert event.data.id == turn.batch.id
    await delivery.aclose()
    await redis.aclose()
    await commands.aclose()
