"""The loop that takes turns: it waits for what is due, and outlives outages."""

import asyncio

import pytest

from shared.errors import StoreUnavailable
from worker import turn_loop
from worker.turn_loop import TurnLoop


async def test_the_loop_takes_turns_through_outages_until_it_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_loop, "PAUSE_S", 0.001)
    script: list[float | Exception] = [0.0, StoreUnavailable(), 0.001, 0.0]
    done = asyncio.Event()

    async def take_turn() -> float:
        if not script:
            done.set()
            return float("inf")
        following = script.pop(0)
        if isinstance(following, Exception):
            raise following
        return following

    task = asyncio.create_task(TurnLoop(take_turn).run())
    async with asyncio.timeout(10):
        await done.wait()
    task.cancel()
    await asyncio.wait([task])
    assert (script, task.cancelled()) == ([], True)
