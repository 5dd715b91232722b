"""Waiting and following: woken by what happens, one connection for all, nothing missed."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis

from shared.errors import JobNotFound
from shared.jobs import keys, signals
from shared.jobs.events import EventLog
from shared.jobs.model import Event, State
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobStore
from shared.jobs.waiting import OutcomeWaiters
from shared.store.commands import PooledCommands, RedisCommands
from shared.store.connection import connect
from shared.store.multiplexed import MultiplexedClient
from tests.jobs.conftest import BROKEN, DONE, claim_one, new_job, until
from tests.waiting import wait_until

Connect = Callable[[], Redis]


@pytest.fixture
def open_client(commands_url: str | None) -> Connect:
    """Makes clients of one and the same store."""
    if commands_url is None:
        server = FakeServer()
        return lambda: FakeAsyncRedis(server=server)
    return lambda: connect(commands_url, timeout_s=None)


@pytest.fixture
async def commands(commands_kind: str, commands_url: str | None, open_client: Connect) -> AsyncIterator[RedisCommands]:
    opened: RedisCommands
    if commands_kind == "real-multiplexed" and commands_url:
        opened = MultiplexedClient(commands_url)
    else:
        opened = PooledCommands(open_client(), knows_script_flags=commands_url is not None)
    yield opened
    await opened.aclose()


@pytest.fixture
async def waiters(store: JobStore, log: EventLog, open_client: Connect) -> AsyncIterator[OutcomeWaiters]:
    made = OutcomeWaiters(store, log, open_client)
    yield made
    await made.aclose()


async def subscribers(commands: RedisCommands, job_id: str) -> int:
    reply = await commands.execute("PUBSUB", "NUMSUB", keys.signal(job_id))
    return int(reply[1])


async def test_a_waiter_is_woken_by_the_outcome(
    queue: JobQueue, store: JobStore, waiters: OutcomeWaiters, commands: RedisCommands
) -> None:
    new = new_job()
    await queue.submit(new)
    waiting = asyncio.create_task(waiters.wait(new.id, 30))
    await until(lambda: subscribers(commands, new.id))
    await store.finish(await claim_one(queue), DONE)
    assert (await waiting).state is State.COMPLETED

    async def nobody_listens() -> bool:
        return await subscribers(commands, new.id) == 0

    await until(nobody_listens)


async def test_an_outcome_between_the_first_look_and_the_subscription_is_seen(
    queue: JobQueue, store: JobStore, waiters: OutcomeWaiters
) -> None:
    new = new_job()
    await queue.submit(new)
    claim = await claim_one(queue)
    waiting = asyncio.create_task(waiters.wait(new.id, 30))
    await asyncio.sleep(0)
    await store.finish(claim, DONE)
    assert (await waiting).state is State.COMPLETED


async def test_a_wait_ends_with_its_time(queue: JobQueue, waiters: OutcomeWaiters) -> None:
    new = new_job()
    await queue.submit(new)
    assert (await waiters.wait(new.id, 0.02)).state is State.QUEUED
    assert (await waiters.wait(new.id, 0)).state is State.QUEUED
    with pytest.raises(JobNotFound):
        await waiters.wait("nobody", 1)


async def test_many_wait_on_one_connection_and_for_one_job(
    queue: JobQueue, store: JobStore, waiters: OutcomeWaiters, commands: RedisCommands
) -> None:
    made = [new_job() for _ in range(50)]
    for new in made:
        await queue.submit(new)
    waiting = [asyncio.create_task(waiters.wait(new.id, 30)) for new in (*made, *made)]
    await until(lambda: subscribers(commands, made[-1].id))
    assert await subscribers(commands, made[0].id) == 1
    for claim in (await queue.claim("w", 50)).claims:
        await store.finish(claim, DONE)
    assert {job.state for job in await asyncio.gather(*waiting)} == {State.COMPLETED}


@pytest.mark.parametrize("commands_kind", ["real-pooled", "real-multiplexed"], indirect=True)
async def test_a_lost_subscription_reconnects_and_rechecks(
    queue: JobQueue,
    store: JobStore,
    waiters: OutcomeWaiters,
    commands: RedisCommands,
    caplog: pytest.LogCaptureFixture,
) -> None:
    new = new_job()
    await queue.submit(new)
    waiting = asyncio.create_task(waiters.wait(new.id, 30))
    await until(lambda: subscribers(commands, new.id))
    await commands.execute("CLIENT", "KILL", "TYPE", "pubsub")
    await store.finish(await claim_one(queue), DONE)
    assert (await waiting).state is State.COMPLETED
    assert "subscription to the store was lost" in caplog.text


@pytest.mark.parametrize("answers", [True, False])
async def test_a_silent_connection_is_pinged_and_dropped_when_dead(
    queue: JobQueue,
    store: JobStore,
    waiters: OutcomeWaiters,
    commands: RedisCommands,
    commands_url: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answers: bool,
) -> None:
    if commands_url is None:
        pytest.skip("the fake answers no pings in between")
    ping_s = 1.5 if answers else 0.03  # a busy store may take a second to answer
    monkeypatch.setattr(signals, "PING_S", ping_s)
    new = new_job()
    await queue.submit(new)
    claim = await claim_one(queue)
    waiting = asyncio.create_task(waiters.wait(new.id, 30))
    await until(lambda: subscribers(commands, new.id))
    if answers:
        await asyncio.wait([waiting], timeout=ping_s + 0.15)
    else:
        await commands.execute("CLIENT", "PAUSE", 2000, "ALL")
        await wait_until(lambda: "no answer to a ping" in caplog.text)
    assert not waiting.done()
    await store.finish(claim, DONE)
    assert (await waiting).state is State.COMPLETED
    assert ("no answer to a ping" in caplog.text) == (not answers)


async def test_events_are_replayed_then_followed_to_the_one_that_ends_them(
    queue: JobQueue, store: JobStore, log: EventLog, waiters: OutcomeWaiters, commands: RedisCommands
) -> None:
    new = new_job()
    await queue.submit(new)
    claim = await claim_one(queue)
    seen: list[Event] = []

    async def follow() -> None:
        async for event in waiters.follow(new.id):
            seen.append(event)  # noqa: PERF401 - one by one, as they come

    following = asyncio.create_task(follow())
    await until(lambda: subscribers(commands, new.id))
    await log.append(claim, [("delta", b'"a"')])

    async def delta_seen() -> bool:
        return len(seen) == 3

    await until(delta_seen)
    await store.finish(claim, BROKEN, [("delta", b'"b"')])
    await following
    assert [event.name for event in seen] == ["job.queued", "job.started", "delta", "delta", "job.failed"]
    again = [event async for event in waiters.follow(new.id, after=seen[2].id)]
    assert again == seen[3:]
    assert [event async for event in waiters.follow(new.id, after=seen[-1].id)] == []
    with pytest.raises(JobNotFound):
        await anext(aiter(waiters.follow("nobody")))


async def test_following_ends_when_the_job_is_deleted(
    queue: JobQueue, store: JobStore, waiters: OutcomeWaiters, commands: RedisCommands
) -> None:
    new = new_job()
    await queue.submit(new)
    events = aiter(waiters.follow(new.id))
    assert (await anext(events)).name == "job.queued"
    remaining = asyncio.create_task(_read_all(events))
    await until(lambda: subscribers(commands, new.id))
    await commands.execute("DEL", keys.job(new.id), keys.events(new.id))
    await commands.execute("PUBLISH", keys.signal(new.id), "running")
    assert await remaining == []


async def _read_all(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


async def test_nothing_is_subscribed_after_the_end(
    queue: JobQueue, waiters: OutcomeWaiters, commands: RedisCommands
) -> None:
    await waiters.aclose()
    new = new_job()
    await queue.submit(new)
    assert (await waiters.wait(new.id, 0.01)).live
    assert await subscribers(commands, new.id) == 0
