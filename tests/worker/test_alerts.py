"""Alerts reach every subscribed webhook: signed, once each, whichever worker reads them first."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
from standardwebhooks.webhooks import Webhook

from shared.governance.forecasts.alerts import list_alerts
from shared.governance.forecasts.anomalies import AnomalyWatch
from shared.governance.ledger.writer import Ledger
from shared.governance.limits.guard import LimitGuard
from shared.governance.limits.model import Limit
from shared.settings.model import Settings
from shared.store.connection import connect
from shared.store.multiplexed import MultiplexedClient
from tests.waiting import wait_until
from tests.worker.test_webhooks import SECRET, Receiver, receiver  # noqa: F401 - a fixture
from worker.alerts import watch_spending
from worker.outbox import GROUP, Outbox
from worker.webhooks import WebhookDelivery

BUDGETS = (Limit("cost", "key:a", "1d", 100), Limit("cost", "team:t", "1d", 1_000))


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[MultiplexedClient]:
    client = MultiplexedClient(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def delivery(store: MultiplexedClient, receiver: Receiver) -> AsyncIterator[WebhookDelivery]:  # noqa: F811
    hook = {"url": receiver.url, "secret": SECRET, "allow_private_network": True}
    money = {**hook, "events": ["budget.threshold", "spend.anomaly"]}
    hooks = {"finance": money, "owner": {**money, "events": ["budget.threshold"]}, "jobs": hook}
    delivery = WebhookDelivery(Settings.model_validate({"webhooks": hooks}), store)
    yield delivery
    await delivery.aclose()


async def overspend(store: MultiplexedClient, cost: int) -> None:
    guard, ledger = LimitGuard(store), Ledger(store)
    await guard.admit("hold", BUDGETS, cost=1, tokens=0)
    ledger.book(orjson.dumps({"status": 200, "cost": cost}), "hold")
    await ledger.flush()
    await guard.aclose()


async def relay(
    url: str,
    store: MultiplexedClient,
    delivery: WebhookDelivery,
    alerts: int,
    count: Callable[[str], None] | None = None,
) -> None:
    """Two workers read until so many alerts are taken and none is left half done."""
    redis = connect(url, timeout_s=None)
    boxes = [Outbox(redis, delivery, name, count=count) for name in ("one", "two")]
    relays = [asyncio.create_task(box.run()) for box in boxes]

    async def read() -> bool:
        groups = await store.execute("XINFO", "GROUPS", "finops:alerts")
        facts = [dict(zip(group[::2], group[1::2], strict=True)) for group in groups]
        return [(f[b"name"].decode(), f[b"entries-read"], f[b"pending"]) for f in facts] == [(GROUP, alerts, 0)]

    async def read_when_there() -> bool:
        return bool(await store.execute("EXISTS", "finops:alerts")) and await read()

    await wait_until(read_when_there)
    for task in relays:
        task.cancel()
    await asyncio.gather(*relays, return_exceptions=True)
    await redis.aclose()


async def deliver(delivery: WebhookDelivery) -> list[Any]:
    claims = (await delivery.store.claim(100)).claims
    for claim in claims:
        assert await delivery.store.finish(claim, await delivery.attempt(claim)) == "delivered"
    return list(claims)


async def test_a_threshold_alert_reaches_every_subscribed_webhook(
    redis_url: str,
    store: MultiplexedClient,
    delivery: WebhookDelivery,
    receiver: Receiver,  # noqa: F811
) -> None:
    await overspend(store, 85)
    counted: list[str] = []
    await relay(redis_url, store, delivery, 2, counted.append)
    assert len(await deliver(delivery)) == 4
    events = [(headers, orjson.loads(body)) for headers, body in receiver.requests]
    for (headers, body), (_, raw) in zip(events, receiver.requests, strict=True):
        Webhook(SECRET).verify(raw, headers)
        assert headers["webhook-id"] == body["id"]
    assert sorted(event["data"]["percent"] for _, event in events) == [50, 50, 80, 80]
    assert len({event["id"] for _, event in events}) == 2
    event = next(event for _, event in events if event["data"]["percent"] == 80)
    assert event["type"] == "budget.threshold"
    assert event["data"] == {
        "id": (await list_alerts(store))[0][0].id,
        "scope": "key:a",
        "window": "1d",
        "percent": 80,
        "limit_usd": 0.0001,
        "used_usd": 0.000085,
    }
    assert counted == ["budget.threshold"] * 2


async def test_an_alert_read_by_a_dead_worker_is_delivered_by_another_exactly_once(
    redis_url: str, store: MultiplexedClient, delivery: WebhookDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.outbox.ABANDONED_MS", 0)
    monkeypatch.setattr("worker.outbox.BLOCK_MS", 20)
    await overspend(store, 55)
    await relay(redis_url, store, delivery, 1)
    first = {claim.id for claim in await deliver(delivery)}
    # As if the worker that read it had died before it acknowledged it.
    await store.execute("XGROUP", "SETID", "finops:alerts", GROUP, "0", "ENTRIESREAD", 0)
    await store.execute("XREADGROUP", "GROUP", GROUP, "dead", "STREAMS", "finops:alerts", ">")
    await relay(redis_url, store, delivery, 1)
    assert len(first) == 2
    assert await deliver(delivery) == []
    assert await store.execute("XLEN", "finops:alerts") == 1


async def test_spending_is_checked_periodically_through_store_outages(
    store: MultiplexedClient, caplog: pytest.LogCaptureFixture
) -> None:
    gone = MultiplexedClient("redis://127.0.0.1:9/0")
    looks = [asyncio.create_task(watch_spending(AnomalyWatch(at, 300), 0.01)) for at in (gone, store)]

    async def looked() -> bool:
        return bool(await store.execute("EXISTS", "finops:alerts:watch")) and "store is unavailable" in caplog.text

    await wait_until(looked)
    for look in looks:
        assert not look.done()
        look.cancel()
    await asyncio.gather(*looks, return_exceptions=True)
    await gone.aclose()
