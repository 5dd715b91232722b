"""The loop that fires schedules: it waits for what is due, and outlives outages."""

import asyncio

from shared.errors import StoreUnavailable
from shared.schedules.model import Schedule
from shared.schedules.store import Turn
from shared.schedules.times import Timing
from worker import schedules as loops
from worker.schedules import ScheduleLoop

TURN = Turn(Schedule(id="s", timing=Timing(every_s=1), request={}, job={}), 0)


class Store:
    """Hands out the turns, waits and outages of a script."""

    def __init__(self, *script: Turn | float | Exception) -> None:
        self.script = list(script)
        self.stepped: list[str] = []
        self.done = asyncio.Event()

    async def take(self) -> Turn | float:
        if not self.script:
            self.done.set()
            return float("inf")
        found = self.script.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def step(self, turn: Turn) -> None:
        self.stepped.append(turn.schedule.id)


async def test_the_loop_takes_turns_through_outages_until_it_is_cancelled(monkeypatch) -> None:
    monkeypatch.setattr(loops, "PAUSE_S", 0.001)
    store = Store(TURN, TURN, 0.001, StoreUnavailable(), TURN)
    task = asyncio.create_task(ScheduleLoop(store, store).run())  # type: ignore[arg-type]
    async with asyncio.timeout(10):
        await store.done.wait()
    task.cancel()
    await asyncio.wait([task])
    assert store.stepped == ["s", "s", "s"]
    assert task.cancelled()
