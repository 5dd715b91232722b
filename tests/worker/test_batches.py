"""The loop that advances batches: outages, faults and stops on its way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from shared.batches.files import FileStore
from shared.batches.keys import OPEN
from shared.batches.model import Batch, Status
from shared.batches.store import BatchStore, Turn, TurnLost
from shared.errors import StoreUnavailable
from shared.store.commands import PooledCommands, RedisCommands
from shared.store.connection import connect
from tests.batches.conftest import made
from tests.waiting import wait_until
from worker import batches as loops
from worker.batches import MAX_TRIES, BatchLoop

Step = Callable[[Turn], Awaitable[int | None]]


class Turns:
    """Does in a turn what the test says; gives up as the real ones do."""

    def __init__(self, store: BatchStore, step: Step) -> None:
        self._store = store
        self._step = step
        self.taken = 0

    async def step(self, turn: Turn) -> int | None:
        self.taken += 1
        return await self._step(turn)

    async def fail(self, batch: Batch, *faults: object) -> None:
        await self._store.close(batch, Status.FAILED)


@pytest.fixture
async def commands(redis_url: str) -> AsyncIterator[RedisCommands]:
    opened = PooledCommands(connect(redis_url))
    yield opened
    await opened.aclose()


@pytest.fixture
def store(commands: RedisCommands) -> BatchStore:
    return BatchStore(commands)


@pytest.fixture
async def batch(commands: RedisCommands, store: BatchStore) -> Batch:
    return await made(FileStore(commands, max_owner_bytes=1000), store)


async def test_a_turn_that_fails_is_repeated_until_the_batch_is_abandoned(
    commands: RedisCommands, store: BatchStore, batch: Batch
):
    async def broken(turn: Turn) -> int | None:
        raise RuntimeError("a fault of ours")

    turns = Turns(store, broken)
    loop = BatchLoop(store, turns)  # type: ignore[arg-type]
    for _ in range(MAX_TRIES + 1):
        await commands.execute("ZADD", OPEN, "XX", 0, batch.id)
        assert await loop.take_turn()
    found = await store.get(batch.id)
    assert found is not None
    assert (turns.taken, found.status) == (MAX_TRIES, Status.FAILED)
    assert not await loop.take_turn()


async def test_a_lost_turn_belongs_to_another_worker(store: BatchStore, batch: Batch):
    async def late(turn: Turn) -> int | None:
        raise TurnLost(turn.batch.id)

    assert await BatchLoop(store, Turns(store, late)).take_turn()  # type: ignore[arg-type]
    found = await store.get(batch.id)
    assert found is not None
    assert found.tries == 1


async def test_a_stopping_worker_frees_its_turn_at_once(store: BatchStore, batch: Batch):
    begun = asyncio.Event()

    async def long(turn: Turn) -> int | None:
        begun.set()
        await asyncio.Event().wait()
        return None

    task = asyncio.create_task(BatchLoop(store, Turns(store, long)).run())  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    turn = await store.take()
    assert turn is not None
    assert turn.batch.id == batch.id


async def test_an_outage_is_waited_out(store: BatchStore, batch: Batch, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loops, "PAUSE_S", 0.001)
    monkeypatch.setattr(loops, "POLL_S", 0.001)
    faults = [StoreUnavailable(), StoreUnavailable()]

    async def away(turn: Turn) -> int | None:
        if faults:
            # What a store does that comes back: the lease has ended meanwhile.
            await store.end_turn(turn.batch, 0)
            raise faults.pop()
        await store.close(turn.batch, Status.COMPLETED)
        return None

    task = asyncio.create_task(BatchLoop(store, Turns(store, away)).run())  # type: ignore[arg-type]

    async def ended() -> bool:
        found = await store.get(batch.id)
        return found is not None and found.status is Status.COMPLETED

    await wait_until(ended)
    task.cancel()
    await asyncio.wait([task])
