"""Newer published prices: read, stored, and taken over by every process."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from shared.errors import StoreUnavailable
from shared.governance import keyspace
from shared.governance.pricing import stored
from shared.governance.pricing.prices import PriceBook
from shared.governance.pricing.published import BUNDLED, read_published
from shared.governance.pricing.stored import PriceData, PriceRefresh, PriceStore
from shared.governance.pricing.usage import Usage
from shared.store.commands import RedisCommands
from shared.store.multiplexed import MultiplexedClient
from tests.price_data import CHEAP, provider
from tests.waiting import wait_until

MILLION = Usage(input=1_000_000)


@pytest.fixture
async def commands(redis_url: str) -> AsyncIterator[MultiplexedClient]:
    client = MultiplexedClient(redis_url)
    yield client
    await client.aclose()


def book() -> PriceBook:
    return PriceBook({}, {"openai": "openai"})


def data(rows: Any = CHEAP, source: str = "test") -> PriceData:
    return PriceData.of(orjson.dumps(rows), source)


async def test_stored_prices_replace_the_packages_until_they_are_cleared(commands: RedisCommands) -> None:
    store, prices = PriceStore(commands), book()
    refresh = PriceRefresh(store, prices)
    before = prices.cost("openai", "gpt-4o", MILLION)
    assert not await refresh.refresh(), "nothing is stored"
    new = data()
    await store.write(new)
    assert await refresh.refresh()
    assert not await refresh.refresh(), "read once"
    assert prices.cost("openai", "gpt-4o", MILLION).micro_usd == 1_000_000
    assert prices.cost("openai", "new-model", MILLION).micro_usd == 3_000_000
    assert refresh.published.version == new.version
    assert refresh.published.published_as("openai", "gpt-4o") == (new.version, None)
    assert await store.read() == new
    assert await store.read(data=False) == PriceData(new.version, "test", new.stored_at)
    await store.clear()
    assert await refresh.refresh()
    assert prices.cost("openai", "gpt-4o", MILLION) == before
    assert await store.read() is None


async def test_a_running_process_follows_what_is_stored(
    commands: RedisCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "CHECK_S", 0.01)
    store, prices = PriceStore(commands), book()
    refresh = PriceRefresh(store, prices)
    refresh.start()
    await store.write(data())
    await wait_until(lambda: prices.cost("openai", "gpt-4o", MILLION).micro_usd == 1_000_000)
    await commands.execute("HSET", keyspace.PRICES, "version", "broken", "data", "x")
    await asyncio.sleep(0)
    await store.clear()
    await wait_until(lambda: prices.published is BUNDLED)
    await refresh.aclose()
    await PriceRefresh(store, prices).aclose()


async def test_what_cannot_be_read_leaves_the_prices_as_they_are(commands: RedisCommands) -> None:
    store, prices = PriceStore(commands), book()
    await store.write(data())
    await commands.execute("HSET", keyspace.PRICES, "data", b"no zlib")
    with pytest.raises(ValueError, match="cannot be unpacked"):
        await PriceRefresh(store, prices).refresh()
    assert prices.published is BUNDLED


async def test_the_loop_outlives_unusable_data_and_an_absent_store(
    commands: RedisCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "CHECK_S", 0.01)
    prices, store = book(), PriceStore(commands)
    faults: list[Exception] = [StoreUnavailable("away"), ValueError("broken")]
    version = store.version

    async def faulty() -> str:
        if faults:
            raise faults.pop(0)
        return await version()

    store.version = faulty  # type: ignore[method-assign]
    await store.write(data())
    refresh = PriceRefresh(store, prices)
    refresh.start()
    await wait_until(lambda: prices.published is not BUNDLED)
    await refresh.aclose()
    assert not faults


async def test_a_store_that_does_not_answer_is_named() -> None:
    gone = MultiplexedClient("redis://127.0.0.1:9/0")
    with pytest.raises(StoreUnavailable, match="price data"):
        await PriceStore(gone).read()
    await gone.aclose()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{no json", "not valid JSON"),
        (b"{}", "an array of providers"),
        (b"[]", "an array of providers"),
        (b"[1]", "an array of providers"),
        (b'[{"id": "openai"}]', "provider 'openai' is not valid"),
        (orjson.dumps([provider(gpt={"input_mtok": "cheap"})]), "provider 'openai' is not valid"),
        (orjson.dumps([provider(gpt={"input_mtok": -1})]), "provider 'openai' has a price below zero"),
    ],
)
def test_unusable_data_is_refused_with_its_reason(text: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_published(text, "v")
