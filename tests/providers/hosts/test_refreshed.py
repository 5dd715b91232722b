import asyncio

import pytest

from shared.providers.hosts.refreshed import LEEWAY_S, RETRY_S, Expiring, Refreshed
from tests.waiting import wait_until


class Source:
    """Gives numbered values that live 1000 s on a clock that a test sets; waits and fails on demand."""

    def __init__(self):
        self.now = 0.0
        self.made = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None

    async def obtain(self):
        self.made += 1
        number = self.made
        await self.gate.wait()
        if self.failure:
            raise self.failure
        return Expiring(number, self.now + 1000)

    def refreshed(self):
        return Refreshed(self.obtain, ahead_s=300, now=lambda: self.now)


async def test_a_value_is_obtained_once_and_kept():
    source = Source()
    refreshed = source.refreshed()
    assert [await refreshed.get() for _ in range(3)] == [1, 1, 1]


async def test_callers_share_one_refresh_and_one_that_leaves_does_not_cancel_it():
    source = Source()
    source.gate.clear()
    refreshed = source.refreshed()
    waiting = [asyncio.create_task(refreshed.get()) for _ in range(5)]
    await wait_until(lambda: source.made)
    waiting[0].cancel()
    await asyncio.wait({waiting[0]})
    source.gate.set()
    assert await asyncio.gather(*waiting[1:]) == [1, 1, 1, 1]
    assert source.made == 1


async def test_it_is_replaced_ahead_of_its_end_while_the_old_one_serves():
    source = Source()
    refreshed = source.refreshed()
    await refreshed.get()
    source.gate.clear()
    source.now = 701
    assert [await refreshed.get() for _ in range(3)] == [1, 1, 1]
    await wait_until(lambda: source.made == 2)
    source.gate.set()
    await wait_until(lambda: refreshed._task is None)
    assert await refreshed.get() == 2
    assert source.made == 2


async def test_a_failed_refresh_is_retried_later_unnoticed():
    source = Source()
    refreshed = source.refreshed()
    await refreshed.get()
    source.now, source.failure = 701, OSError("gone")
    for _ in range(3):
        assert await refreshed.get() == 1
        await wait_until(lambda: refreshed._task is None)
    assert source.made == 2
    source.now, source.failure = 701 + RETRY_S, None
    assert await refreshed.get() == 1
    await wait_until(lambda: refreshed._task is None)
    assert await refreshed.get() == 3


async def test_the_failure_is_raised_if_no_value_is_valid():
    source = Source()
    refreshed = source.refreshed()
    await refreshed.get()
    source.now, source.failure = 1000 - LEEWAY_S, OSError("gone")
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            await refreshed.get()
    source.failure = None
    assert await refreshed.get() == 4


async def test_closing_stops_a_refresh():
    source = Source()
    source.gate.clear()
    refreshed = source.refreshed()
    waiting = asyncio.create_task(refreshed.get())
    await wait_until(lambda: source.made)
    await refreshed.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await source.refreshed().aclose()
