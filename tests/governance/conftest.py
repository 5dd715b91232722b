"""A real store in its shared form, and short ways to limits and callers."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.governance.ledger.writer import Ledger
from shared.governance.limits.guard import LimitGuard
from shared.governance.limits.model import Limit
from shared.store.multiplexed import MultiplexedClient


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[MultiplexedClient]:
    client = MultiplexedClient(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def guard(store: MultiplexedClient) -> AsyncIterator[LimitGuard]:
    guard = LimitGuard(store)
    yield guard
    await guard.aclose()


@pytest.fixture
async def ledger(store: MultiplexedClient) -> AsyncIterator[Ledger]:
    ledger = Ledger(store)
    yield ledger
    await ledger.aclose()


async def store_time(store: MultiplexedClient) -> datetime:
    """The store's own clock: it decides what has expired, so every date that a test stores is relative to it."""
    seconds, micros = await store.execute("TIME")
    return datetime.fromtimestamp(int(seconds) + int(micros) / 1_000_000, UTC)


@pytest.fixture
async def today_noon(store: MultiplexedClient) -> datetime:
    """Noon of the store's day: an hour more or less is the same day, and nothing stored for two days has expired."""
    return (await store_time(store)).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
async def noon_ms(store: MultiplexedClient) -> int:
    """A clock for scripts, ms: noon of the 15th of next month; ahead of the store, and far from any window's edge."""
    return round(noon_of_next_month(await store_time(store)).timestamp() * 1000)


def noon_of_next_month(now: datetime) -> datetime:
    """Noon of the 15th of the month after ``now``."""
    later = now.replace(day=1) + timedelta(days=32)
    return later.replace(day=15, hour=12, minute=0, second=0, microsecond=0)


def budget(amount: int, scope: str = "key:a", window: str = "1d") -> Limit:
    return Limit("cost", scope, window, amount)


async def meter_sums(store: Any) -> dict[bytes, tuple[int, int]]:
    """Used and held of every meter, slices added up."""
    sums = {}
    for key in await store.execute("KEYS", "finops:meter:*"):
        fields = await store.execute("HGETALL", key)
        pairs = list(zip(fields[::2], fields[1::2], strict=True))
        used = sum(int(value) for name, value in pairs if name.startswith(b"u"))
        sums[key] = used, sum(int(value) for name, value in pairs if name.startswith(b"h"))
    return sums
