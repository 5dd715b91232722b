"""Calls in progress and the lock of the process that makes one, where something goes wrong."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.cache.flight_lock import FlightLock
from shared.cache.flights import Flights
from shared.cache.store import CacheStore, Slot
from shared.settings.cache import CacheSettings
from shared.store.multiplexed import MultiplexedClient

SLOT = Slot("s-1", "s", "", "p/m")


@pytest.fixture
async def away() -> AsyncIterator[CacheStore]:
    """A cache whose store does not answer."""
    store = CacheStore(MultiplexedClient("redis://127.0.0.1:9/0"), CacheSettings(), owns_commands=True)
    yield store
    await store.aclose()


async def test_a_store_that_is_away_neither_holds_up_a_call_nor_keeps_it(away: CacheStore) -> None:
    lock = FlightLock(away, SLOT)
    assert await lock.acquire(60) is None
    lock._hold()
    stopped = asyncio.Event()
    lock.stop_when_unwanted(stopped.set)
    await stopped.wait()
    lock.release()
    lock.release()
    await away.flush()


async def test_a_lock_that_is_released_is_watched_no_more(away: CacheStore) -> None:
    lock = FlightLock(away, SLOT)
    await lock._watch(lambda: pytest.fail("it was not held"))


async def test_a_call_that_stops_waiting_as_the_answer_comes_is_cancelled() -> None:
    flights = Flights()
    flight = flights.start("id", 0.0)
    waiting = asyncio.create_task(flight.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    flight.end(None)
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert flights.find("id") is None
