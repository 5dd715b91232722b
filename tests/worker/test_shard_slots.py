"""Slots that shards share: who gets a free one, and when a shard is only looked at."""

import asyncio
from dataclasses import dataclass

import pytest

from shared.jobs.queue import ClaimBatch
from worker import shard_slots
from worker.shard_slots import LATE_S, ShardSlots, Turn


@dataclass
class Occupied:
    """Slots in use, as many as a test says."""

    count: int = 0


@dataclass
class Clock:
    """A clock that stands still until a test moves it."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def slots(clock: Clock) -> ShardSlots:
    """Ten slots of three shards; shard 0 occupies as many as its count says."""
    made = ShardSlots(10, 3, clock)
    made.runs = (Occupied(),)
    return made


def batch(head: float | None = None, virtual: float = 0.0) -> ClaimBatch:
    return ClaimBatch((), 500, head is not None, 0, head, virtual)


async def know(slots: ShardSlots, **heads: float | None) -> None:
    """Let the slots know the tags of the next callers: ``s0=1.5``."""
    for name, head in heads.items():
        turn = await slots.turn(int(name[1:]), 0)
        slots.end(int(name[1:]), turn, batch(head))


def occupy(slots: ShardSlots, count: int) -> None:
    occupied = slots.runs[0]
    assert isinstance(occupied, Occupied)
    occupied.count = count


async def test_an_idle_shard_waits_for_a_job_with_a_slot_of_its_own(slots: ShardSlots) -> None:
    assert [await slots.turn(shard, 500) for shard in range(3)] == [Turn(1, 500)] * 3
    assert (slots.free, slots.used) == (7, 0)
    slots.end(0, Turn(1, 500), batch(virtual=4.5))
    assert (slots.free, slots.virtual) == (8, 4.5)


async def test_an_idle_shard_keeps_no_slot_from_others_when_they_are_few(slots: ShardSlots) -> None:
    await know(slots, s0=1.0)
    occupy(slots, 8)
    assert await slots.turn(1, 500) == Turn(0, 250)
    assert slots.free == 2


async def test_the_last_slots_wait_with_no_shard(slots: ShardSlots) -> None:
    occupy(slots, 9)
    assert [await slots.turn(shard, 500) for shard in range(3)] == [Turn(0, 250)] * 3
    slots.end(1, Turn(0, 250), batch(1.0))
    assert await slots.turn(1, 500) == Turn(1, 0, competes=True)


async def test_free_slots_go_to_the_shard_that_is_furthest_behind_half_of_them_at_a_time(slots: ShardSlots) -> None:
    await know(slots, s0=3.0, s1=2.0, s2=1.0)
    occupy(slots, 10)
    turns = [asyncio.create_task(slots.turn(shard, 0)) for shard in range(3)]
    await asyncio.sleep(0)
    occupy(slots, 2)
    slots.dispatch()
    assert await turns[2] == Turn(4, 0, competes=True)
    slots.dispatch()
    assert not turns[1].done()  # one claims at a time: its reply says who comes next
    slots.end(2, await turns[2], batch(5.0))
    slots.dispatch()
    assert await turns[1] == Turn(4, 0, competes=True)
    turns[0].cancel()
    await asyncio.gather(turns[0], return_exceptions=True)


async def test_a_shard_alone_gets_all_free_slots(slots: ShardSlots) -> None:
    await know(slots, s1=2.0)
    assert await slots.turn(1, 0) == Turn(10, 0, competes=True)


async def test_a_shard_that_does_not_answer_holds_up_the_others_for_a_moment(slots: ShardSlots, clock: Clock) -> None:
    await know(slots, s0=1.0, s1=2.0)
    hung = await slots.turn(0, 0)
    waiting = asyncio.create_task(slots.turn(1, 0))
    await asyncio.sleep(0)
    clock.now += LATE_S * 2
    slots.dispatch()
    assert (await waiting).count == 2
    slots.end(0, hung, None)
    slots.end(1, await waiting, batch())
    assert slots.free == 10


async def test_a_shard_without_a_slot_is_looked_at(slots: ShardSlots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_slots, "LOOK_S", 0.001)
    await know(slots, s0=1.0)
    occupy(slots, 10)
    assert await slots.turn(0, 500) == Turn(0, 0)
    assert await slots.turn(1, 500) == Turn(0, 0)


@pytest.mark.parametrize("given", [False, True])
async def test_a_cancelled_turn_keeps_no_slot(slots: ShardSlots, *, given: bool) -> None:
    await know(slots, s0=1.0)
    occupy(slots, 10)
    turn = asyncio.create_task(slots.turn(0, 0))
    await asyncio.sleep(0)
    occupy(slots, 0)
    if given:
        slots.dispatch()
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert slots.free == 10
    slots.dispatch()  # nobody waits


async def test_a_turn_that_is_given_to_a_worker_as_it_ends_keeps_no_slot(slots: ShardSlots) -> None:
    await know(slots, s0=1.0)
    occupy(slots, 10)
    turn = asyncio.create_task(slots.turn(0, 0))
    await asyncio.sleep(0)
    occupy(slots, 0)
    turn.cancel()
    slots.dispatch()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert slots.free == 10
