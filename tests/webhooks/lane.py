"""What tests of deliveries have in common: events to deliver, and a lane to deliver them with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry

from shared.settings.model import DeliverySettings, Settings
from shared.store.commands import RedisCommands
from shared.telemetry.metrics import Metrics
from shared.webhooks.events import delivery_of_outcome
from shared.webhooks.model import Attempt, Delivery, DeliveryClaim, NewDelivery, Status
from shared.webhooks.store import DeliveryFilter, DeliveryStore, Finish
from tests.waiting import wait_until
from worker.delivery_lane import DeliveryLane
from worker.webhooks import WebhookDelivery

NOW_MS = 1_790_000_000_000
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def event(job_id: str = "job-1", *, state: str = "completed", entry: str = "1-0", **fields: Any) -> NewDelivery:
    """The end of a job, for the webhook `orders` unless said otherwise."""
    about = {"owner": "", "webhook": "orders", "url": "https://example.com/hook", **fields}
    return delivery_of_outcome(entry, job_id, state, "chat.completions", NOW_MS, **about)


def store_on(commands: RedisCommands, **limits: Any) -> DeliveryStore:
    return DeliveryStore(commands, DeliverySettings(**limits))


def attempt(status: int | None = 200, answer: str = "") -> Attempt:
    return Attempt(at_ms=NOW_MS, status=status, duration_ms=12, answer=answer)


OK = Finish("delivered", attempt())
AGAIN = Finish("retry", attempt(500, "oops"), delay_s=0.0, counts=True, reason="status_500")


async def claim_one(store: DeliveryStore) -> DeliveryClaim:
    [claim] = (await store.claim(1)).claims
    return claim


async def only_one(store: DeliveryStore) -> Delivery:
    [found], more = await store.find(DeliveryFilter())
    assert not more
    return found


@asynccontextmanager
async def delivering(delivery: WebhookDelivery, concurrency: int = 64) -> AsyncIterator[tuple[DeliveryLane, Metrics]]:
    """A running lane, stopped at the end of the block."""
    metrics = Metrics("worker", CollectorRegistry())
    lane = DeliveryLane(delivery, concurrency, metrics)
    running = asyncio.create_task(lane.run())
    try:
        yield lane, metrics
    finally:
        running.cancel()
        await asyncio.wait([running])
        await lane.aclose()


async def until_ended(store: DeliveryStore, count: int = 1) -> list[Delivery]:
    """Wait until so many deliveries have ended."""

    async def ended() -> list[Delivery]:
        found, _ = await store.find(DeliveryFilter(), limit=100)
        left = [delivery for delivery in found if delivery.status is not Status.PENDING]
        return left if len(left) >= count else []

    found: list[Delivery] = await wait_until(ended)
    return found


def settings_with(url: str, **tables: Any) -> Settings:
    orders = {"url": url, "secret": SECRET, "allow_private_network": True, "events": ["async_job.completed"]}
    return Settings.model_validate({"webhooks": {"orders": orders}, **tables})
