import asyncio

import pytest

from shared.errors import Overloaded
from shared.providers.health.gate import Gate


def gate(places: int = 1, wait_s: float = 5) -> Gate:
    return Gate(places, wait_s, lambda: Overloaded("full"))


async def test_the_longest_waiter_enters_next() -> None:
    narrow = gate(2)
    await narrow.enter()
    await narrow.enter()
    order: list[str] = []

    async def wait(name: str) -> None:
        await narrow.enter()
        order.append(name)
        narrow.leave()

    waiting = [asyncio.create_task(wait(name)) for name in ("first", "second")]
    await asyncio.sleep(0)
    narrow.leave()
    await asyncio.gather(*waiting)
    narrow.leave()
    assert order == ["first", "second"]
    assert narrow.inside == 0


async def test_a_wait_is_bounded_in_time_and_number() -> None:
    narrow = gate(1, wait_s=0.01)
    await narrow.enter()
    waiting = asyncio.create_task(narrow.enter())
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await narrow.enter()
    with pytest.raises(Overloaded):
        await waiting
    narrow.leave()
    assert narrow.inside == 0


async def test_a_slot_given_to_a_cancelled_waiter_is_passed_on() -> None:
    narrow = gate()
    await narrow.enter()
    waiting = asyncio.create_task(narrow.enter())
    await asyncio.sleep(0)
    narrow.leave()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert narrow.inside == 0


async def test_a_cancelled_waiter_takes_no_slot() -> None:
    narrow = gate()
    await narrow.enter()
    waiting = asyncio.create_task(narrow.enter())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    narrow.leave()
    assert narrow.inside == 0
