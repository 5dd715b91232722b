"""A real store in its shared form, and short ways to limits and callers."""

from collections.abc import AsyncIterator
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
