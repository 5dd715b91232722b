"""Processes share provider health over a real store; here two boards stand for two processes."""

import time
from collections.abc import AsyncIterator, Callable

import pytest
from redis.asyncio import Redis

from shared.errors import UpstreamRefused
from shared.providers.base import Provider, ProviderKey
from shared.providers.client import gate_of
from shared.providers.health.board import HealthBoard
from shared.providers.health.changes import HealthChange, write_change
from shared.providers.health.keys import CHANNEL, HASH
from shared.providers.health.sharing import SharedHealth
from shared.store.commands import PooledCommands
from shared.store.connection import connect
from tests.key_leaks import assert_no_key_leaks
from tests.waiting import wait_until

PROVIDER = Provider(
    name="p",
    wire="openai",
    host="direct",
    base_url="http://p",
    keys=(ProviderKey(name="a", value="1"), ProviderKey(name="b", value="2")),
)
Open = Callable[..., tuple[HealthBoard, SharedHealth]]


@pytest.fixture
async def process() -> AsyncIterator[Open]:
    opened: list[tuple[SharedHealth, PooledCommands]] = []

    def start(url: str) -> tuple[HealthBoard, SharedHealth]:
        board = HealthBoard({"p": PROVIDER}, {"p": gate_of(PROVIDER)})
        commands = PooledCommands(connect(url, connect_timeout_s=0.2))
        sharing = SharedHealth(board, commands, lambda: connect(url, timeout_s=None, connect_timeout_s=0.2))
        opened.append((sharing, commands))
        sharing.start()
        return board, sharing

    yield start
    for sharing, commands in opened:
        await sharing.aclose()
        await commands.aclose()


def limited(board: HealthBoard, key: str = "a", wait_s: float = 30) -> None:
    board["p"].failed(key, "m", UpstreamRefused(429, {}, provider="p", retry_after_s=wait_s))


def resting(board: HealthBoard) -> list[str]:
    return [each["key"] for each in board.states()["p"]["resting_keys"]]


async def test_a_cooldown_and_its_end_reach_every_process(process: Open, redis_url: str, redis: Redis) -> None:
    (here, hears), (there, also_hears) = process(redis_url), process(redis_url)
    await hears.caught_up.wait()
    await also_hears.caught_up.wait()
    limited(here)
    await wait_until(lambda: resting(there) == ["a"])
    assert there["p"].gate.limit < 1000, "fewer calls at once, in every process"
    await assert_no_key_leaks(redis)
    there["p"].answered("a", "m", 0.1)
    await wait_until(lambda: resting(here) == [])


async def test_a_process_that_starts_later_knows_it_too(process: Open, redis_url: str, redis: Redis) -> None:
    here, _ = process(redis_url)
    limited(here)
    await wait_until(lambda: redis.hlen(HASH))
    past = HealthChange(kind="rest", provider="p", key="b", until=time.time() - 5)
    await redis.hset(HASH, past.subject, write_change(past, "gone"))
    await redis.hset(HASH, "garbage", b"{")
    late, hears = process(redis_url)
    await hears.caught_up.wait()
    assert resting(late) == ["a"]
    assert await redis.hlen(HASH) == 2, "the rest and the limit; what is past or garbage was thrown out"


async def test_garbage_on_the_channel_is_passed_over(process: Open, redis_url: str, redis: Redis) -> None:
    here, hears = process(redis_url)
    await hears.caught_up.wait()
    await redis.publish(CHANNEL, b"\xff garbage")
    found = HealthChange(kind="rest", provider="p", key="b", model="m", until=time.time() + 9, stated=True, status=429)
    await redis.publish(CHANNEL, write_change(found, "other"))
    await wait_until(lambda: resting(here) == ["b"])


async def test_without_a_store_a_process_keeps_what_it_finds(process: Open) -> None:
    here, sharing = process("redis://127.0.0.1:9")
    limited(here)
    await wait_until(lambda: sharing._writer is None)
    assert resting(here) == ["a"]
    limited(here, "b")
    assert resting(here) == ["a", "b"]


async def test_a_lost_subscription_is_made_again(process: Open, redis_url: str, redis: Redis) -> None:
    (here, hears), (there, also_hears) = process(redis_url), process(redis_url)
    await hears.caught_up.wait()
    await also_hears.caught_up.wait()
    also_hears.caught_up.clear()
    await redis.client_kill_filter(_type="pubsub")
    await also_hears.caught_up.wait()
    limited(here)
    await wait_until(lambda: resting(there) == ["a"])


async def test_the_hash_does_not_grow_for_ever(
    process: Open, redis_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.providers.health.sharing.MAX_FIELDS", 5)
    here, sharing = process(redis_url)
    for number in range(20):
        here["p"].failed("a", f"m{number}", UpstreamRefused(429, {}, provider="p", retry_after_s=9))
    await wait_until(lambda: sharing._writer is None)
    assert await redis.hlen(HASH) == 0


async def test_a_closed_one_sends_and_starts_nothing(process: Open, redis_url: str) -> None:
    here, sharing = process(redis_url)
    await sharing.aclose()
    sharing.start()
    limited(here)
    assert sharing._writer is None
