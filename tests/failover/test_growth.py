"""Doctor projects the store's memory an hour ahead."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.checks import growth
from shared.checks.growth import MINUTE_MS, check_growth
from shared.checks.store import check_store
from shared.jobs import keys
from shared.jobs.queue import JobQueue, QueueLimits
from shared.settings.model import JobSettings, Settings
from shared.store.commands import RedisCommands
from shared.store.connection import describe
from shared.store.multiplexed import MultiplexedClient
from tests.jobs.conftest import new_job

KIB = 1024


@pytest.fixture
async def commands(redis_url: str) -> AsyncIterator[RedisCommands]:
    client = MultiplexedClient(redis_url)
    yield client
    await client.aclose()


async def facts_of(redis: Redis, **changes: Any) -> Any:
    facts = await describe(redis)
    return type(facts)(**{**{name: getattr(facts, name) for name in facts.__dataclass_fields__}, **changes})


async def submit(commands: RedisCommands, count: int, payload: bytes = b"x" * 4 * KIB) -> list[str]:
    queue = JobQueue(commands, QueueLimits())
    return [(await queue.submit(new_job(payload=payload))).job.id for _ in range(count)]


async def test_a_store_that_will_be_full_is_named_with_the_time_it_has(commands: RedisCommands, redis: Redis) -> None:
    await submit(commands, 30)
    used = 100 * 1024 * KIB
    facts = await facts_of(redis, used_memory_bytes=used, max_memory_bytes=used + 1024 * KIB)
    (finding,) = await check_growth(commands, facts, JobSettings())
    assert (finding.check, finding.level) == ("store growth", "WARN")
    assert "0.5 jobs/s of " in finding.message
    assert "limit of 101 MiB is reached in" in finding.message
    roomy = await facts_of(redis, used_memory_bytes=used, max_memory_bytes=used * 100)
    (finding,) = await check_growth(commands, roomy, JobSettings())
    assert (finding.level, "MiB in an hour, 100 MiB now" in finding.message) == ("OK", True)


async def test_at_a_steady_rate_memory_does_not_grow(commands: RedisCommands, redis: Redis) -> None:
    """As many jobs came each minute of the last hour: what goes makes room for what comes."""
    ids = await submit(commands, 2)
    created = float(await redis.zscore(keys.ALL_JOBS, ids[0]) or 0)
    await redis.zadd(keys.ALL_JOBS, {f"old-{at}": created - at * MINUTE_MS / 2 for at in range(2, 119)})
    facts = await facts_of(redis, used_memory_bytes=0, max_memory_bytes=1024 * KIB)
    (finding,) = await check_growth(commands, facts, JobSettings())
    assert finding.level == "OK", finding


async def test_a_full_list_of_jobs_is_taken_for_its_speed(
    commands: RedisCommands, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four jobs in 30 s are all that the list keeps: eight came in the last minute."""
    monkeypatch.setattr(growth, "LISTED", 4)
    ids = await submit(commands, 4)
    created = float(await redis.zscore(keys.ALL_JOBS, ids[-1]) or 0)
    await redis.zadd(keys.ALL_JOBS, {ids[0]: created - MINUTE_MS / 2})
    minute, hour = await growth._count_jobs(commands)
    assert 4 < minute <= 8.5
    assert round(hour / minute) == 60


async def test_without_jobs_or_sizes_nothing_is_projected(commands: RedisCommands, redis: Redis) -> None:
    facts = await describe(redis)
    assert await check_growth(commands, facts, JobSettings()) == []
    await submit(commands, 1)
    unknown = await facts_of(redis, used_memory_bytes=None)
    assert await check_growth(commands, unknown, JobSettings()) == []


async def test_where_sizes_are_forbidden_doctor_says_nothing_of_growth(redis_url: str, redis: Redis) -> None:
    await redis.execute_command("ACL SETUSER", "sizeless", "on", ">x", "~*", "&*", "+@all", "-memory")
    client = MultiplexedClient(redis_url)
    await submit(client, 1)
    await client.aclose()
    try:
        url = redis_url.replace("://", "://sizeless:x@")
        checks = [finding.check for finding in await check_store(url, Settings())]
        assert "store rights" in checks
        assert "store growth" not in checks
        assert "store growth" in [finding.check for finding in await check_store(redis_url, Settings())]
    finally:
        await redis.execute_command("ACL DELUSER", "sizeless")
