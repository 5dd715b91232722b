"""The tests' own tools can fail."""

import pytest
from blockbuster import BlockingError
from redis.asyncio import Redis

from shared.store.embedded import EmbeddedStore
from tests.key_leaks import assert_no_key_leaks
from tests.waiting import wait_until, wait_until_sync


async def test_our_code_that_blocks_the_loop_fails(tmp_path) -> None:
    with pytest.raises(BlockingError):
        EmbeddedStore(tmp_path / "data").start()


async def test_keys_without_a_ttl_are_found(redis: Redis) -> None:
    await redis.set("dies", 1, ex=60)
    await assert_no_key_leaks(redis)
    await redis.set("keys:1", 1)
    await redis.rpush("list", 1)
    await assert_no_key_leaks(redis, permanent=["keys:*", "list"])
    with pytest.raises(AssertionError, match=r"never expire: list$"):
        await assert_no_key_leaks(redis, permanent=["keys:*"])


async def test_waiting_gives_what_was_waited_for_or_fails() -> None:
    answers = iter([None, 0, "here"])
    assert await wait_until(lambda: next(answers)) == "here"

    async def never() -> bool:
        return False

    with pytest.raises(AssertionError, match="async def never"):
        await wait_until(never, timeout_s=0.05)


def test_waiting_without_a_loop() -> None:
    answers = iter([0, 1])
    assert wait_until_sync(lambda: next(answers)) == 1
    with pytest.raises(AssertionError, match=r"not within 0\.05 s"):
        wait_until_sync(lambda: False, timeout_s=0.05)


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_finds_an_empty_store(redis: Redis, turn: int) -> None:
    assert await redis.dbsize() == 0
    await redis.set("left behind", turn, ex=60)
