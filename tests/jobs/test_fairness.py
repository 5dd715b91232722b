"""Shares between callers, priorities within them, limits, and a queue that says when it is full."""

import pytest

from shared.errors import QueueFull
from shared.jobs import keys
from shared.jobs.model import Deferral, Priority
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.store import JobStore
from shared.store.commands import RedisCommands
from tests.jobs.conftest import BROKEN, DONE, claim_one, new_job


async def owners(queue: JobQueue, count: int, **options: object) -> str:
    """Return the owners of the claimed jobs, in order."""
    return "".join(claim.owner for claim in (await queue.claim("w", count, **options)).claims)  # type: ignore[arg-type]


async def submit(queue: JobQueue, owner: str, count: int = 1, **options: object) -> None:
    for _ in range(count):
        await queue.submit(new_job(owner=owner, **options))


async def test_a_backlog_does_not_delay_another_callers_first_job(queue: JobQueue) -> None:
    await submit(queue, "a", 20)
    assert await owners(queue, 5) == "aaaaa"
    await submit(queue, "b")
    assert "b" in await owners(queue, 2)


async def test_callers_take_turns_within_a_batch_and_across_batches(queue: JobQueue) -> None:
    await submit(queue, "a", 6)
    await submit(queue, "b", 6)
    order = await owners(queue, 3) + await owners(queue, 1) + await owners(queue, 8)
    assert order == "abababababab"


async def test_a_callers_own_jobs_come_in_the_order_of_their_submits(queue: JobQueue) -> None:
    made = [new_job() for _ in range(5)]
    for new in made:
        await queue.submit(new)
    assert [claim.id for claim in (await queue.claim("w", 5)).claims] == [new.id for new in made]


async def test_weight_multiplies_a_share(queue: JobQueue) -> None:
    await submit(queue, "a", 12, weight=3.0)
    await submit(queue, "b", 12, weight=1.0)
    order = await owners(queue, 12)
    assert order.count("a") == 9


async def test_idle_time_gives_no_credit(queue: JobQueue) -> None:
    await submit(queue, "a", 30)
    await submit(queue, "b", 1)
    await owners(queue, 21)
    await submit(queue, "b", 9)
    order = await owners(queue, 8)
    assert "bbb" not in order
    assert order.count("a") >= 3


async def test_priority_orders_a_callers_jobs_and_not_the_callers(queue: JobQueue) -> None:
    for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH):
        await submit(queue, "a", 1, priority=priority)
    await submit(queue, "b", 2, priority=Priority.LOW)
    claims = (await queue.claim("w", 5)).claims
    assert [c.priority for c in claims if c.owner == "a"] == [Priority.HIGH, Priority.NORMAL, Priority.LOW]
    assert "".join(c.owner for c in claims)[:4] in {"abab", "baba"}


async def test_a_worker_claims_only_its_priorities(queue: JobQueue) -> None:
    await submit(queue, "a", 1, priority=Priority.LOW)
    await submit(queue, "a", 1, priority=Priority.HIGH)
    assert await owners(queue, 5, priorities=(Priority.HIGH,)) == "a"
    assert await owners(queue, 5, priorities=(Priority.HIGH, Priority.NORMAL)) == ""
    assert await owners(queue, 5, priorities=(Priority.LOW,)) == "a"


async def test_a_caller_at_its_limit_waits_for_its_own_jobs_only(queue: JobQueue, store: JobStore) -> None:
    await submit(queue, "a", 4, max_concurrent=2)
    await submit(queue, "b", 1)
    batch = await queue.claim("w", 10)
    assert sorted(c.owner for c in batch.claims) == ["a", "a", "b"]
    assert not batch.ready
    assert await owners(queue, 10) == ""
    mine = [c for c in batch.claims if c.owner == "a"]
    await store.finish(mine[0], DONE)
    assert await owners(queue, 10) == "a"
    await store.finish(mine[1], BROKEN)
    assert await owners(queue, 10) == "a"


@pytest.mark.parametrize("how", ["finish", "cancel", "release", "defer"])
async def test_every_way_to_end_a_run_makes_room_under_the_limit(queue: JobQueue, store: JobStore, how: str) -> None:
    await submit(queue, "a", 2, max_concurrent=1)
    claim = await claim_one(queue)
    assert await owners(queue, 1) == ""
    if how == "finish":
        await store.finish(claim, DONE)
    elif how == "cancel":
        await store.cancel(claim.id)
    elif how == "release":
        await queue.release([claim])
    else:
        await queue.defer(claim, Deferral(delay_s=60))
    assert (await queue.claim("w", 2)).claims[0].owner == "a"


async def test_a_limit_that_is_raised_counts_from_the_next_submit(queue: JobQueue) -> None:
    await submit(queue, "a", 3, max_concurrent=1)
    assert await owners(queue, 3) == "a"
    await submit(queue, "a", 1, max_concurrent=3)
    assert await owners(queue, 9) == "aa"


async def test_a_lifted_limit_frees_all_priorities(queue: JobQueue) -> None:
    await submit(queue, "a", 2, max_concurrent=1)
    assert await owners(queue, 3) == "a"
    await submit(queue, "a", 1, priority=Priority.LOW, max_concurrent=0)
    assert await owners(queue, 9) == "aa"


async def test_a_full_queue_rejects_with_retry_after(commands: RedisCommands) -> None:
    queue = JobQueue(commands, QueueLimits(max_queued=2))
    await submit(queue, "a", 1)
    await submit(queue, "b", 1, delay_s=60)
    with pytest.raises(QueueFull, match="queue holds 2") as refused:
        await submit(queue, "c")
    assert refused.value.retry_after_s
    assert 1 <= refused.value.retry_after_s <= 60
    await claim_one(queue)
    await submit(queue, "c")


async def test_one_callers_waiting_jobs_are_limited(queue: JobQueue) -> None:
    await submit(queue, "a", 2, max_queued=2)
    with pytest.raises(QueueFull, match="You have 2"):
        await submit(queue, "a", 1, max_queued=2)
    await submit(queue, "b", 1, max_queued=2)


async def test_the_queue_position_counts_other_callers(queue: JobQueue, store: JobStore) -> None:
    await submit(queue, "a", 10)
    first = await queue.submit(new_job(owner="b"))
    second = await queue.submit(new_job(owner="b", priority=Priority.HIGH))
    third = await queue.submit(new_job(owner="b"))
    assert [s.job.queue_position for s in (first, second, third)] == [1, 1, 5]
    job = await store.get(first.job.id)
    assert job and job.queue_position == 3
    assert third.job.estimated_start_ms is None


async def test_an_estimated_start_follows_the_speed_of_the_queue(queue: JobQueue, commands: RedisCommands) -> None:
    await commands.execute("HSET", keys.CLOCK, "rate", "10")
    await submit(queue, "a", 20)
    job = (await queue.submit(new_job(owner="a"))).job
    assert job.estimated_start_ms == job.created_ms + 2000


async def test_queue_statistics(queue: JobQueue, store: JobStore) -> None:
    await submit(queue, "a", 3)
    await submit(queue, "b", 1, priority=Priority.HIGH)
    await submit(queue, "", 1, delay_s=60)
    await queue.claim("w", 1)
    stats = await store.stats()
    depths = {str(priority): queued.depth for priority, queued in stats.priorities.items()}
    assert depths in ({"high": 0, "normal": 3, "low": 0}, {"high": 1, "normal": 2, "low": 0})
    assert all(queued.oldest_age_s >= 0 for queued in stats.priorities.values())
    assert (stats.deferred, stats.running, stats.dead) == (1, 1, 0)
    assert sum(stats.callers.values()) == 4


@pytest.mark.parametrize("commands_kind", ["real-pooled", "real-multiplexed"], indirect=True)
async def test_the_cost_of_a_claim_does_not_grow_with_the_queue(queue: JobQueue) -> None:
    await submit(queue, "a", 4)
    await submit(queue, "b", 4)
    few = await _calls(queue)
    await submit(queue, "a", 300)
    await submit(queue, "b", 300)
    assert await _calls(queue) <= few


async def _calls(queue: JobQueue) -> int:
    await queue._scripts.execute("CONFIG", "RESETSTAT")
    assert len((await queue.claim("w", 4)).claims) == 4
    info = (await queue._scripts.execute("INFO", "commandstats")).decode()
    return sum(int(line.split("calls=")[1].split(",")[0]) for line in info.split() if "calls=" in line)


async def test_a_listed_caller_without_jobs_is_removed(queue: JobQueue, commands: RedisCommands) -> None:
    await commands.execute("ZADD", keys.priority_callers(Priority.LOW), 0, "ghost")
    batch = await queue.claim("w", 1)
    assert (batch.claims, batch.ready) == ((), False)


async def test_a_changed_weight_applies_to_waiting_jobs(queue: JobQueue) -> None:
    await submit(queue, "a", 12)
    await submit(queue, "b", 12)
    await queue.reweigh("a", 3.0, 0)
    order = await owners(queue, 12)
    assert order.count("a") == 9


async def test_a_changed_limit_applies_to_waiting_jobs(queue: JobQueue) -> None:
    await submit(queue, "a", 4, max_concurrent=1)
    assert await owners(queue, 4) == "a"
    assert await owners(queue, 4) == ""
    await queue.reweigh("a", 1.0, 2)
    assert await owners(queue, 4) == "a"
    await queue.reweigh("a", 1.0, 0)
    assert await owners(queue, 4) == "aa"


async def test_weighing_a_caller_without_jobs_leaves_nothing_behind(queue: JobQueue) -> None:
    await queue.reweigh("nobody", 3.0, 1)
    assert not await queue._scripts.execute("EXISTS", keys.caller("nobody"))
