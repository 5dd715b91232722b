"""What the workers can do: reported by each, summed over the last minute, forgotten when they are gone."""

from datetime import UTC, datetime

import pytest

from shared import clock
from shared.jobs import keys
from shared.jobs.capacity import BUCKET_S, Capacity, CapacityReport, read_capacity
from shared.store.commands import RedisCommands


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    at = [1_795_348_800.0]
    monkeypatch.setattr(clock, "now", lambda: datetime.fromtimestamp(at[0], UTC))
    return at


async def test_reports_of_all_workers_are_summed(commands: RedisCommands, now: list[float]) -> None:
    assert await read_capacity(commands) == Capacity(0, 0, None)
    one, two = CapacityReport("one", 10), CapacityReport("two", 30)
    one.ran(1.0)
    one.ran(2.0)
    two.ran(6.0)
    for report in (one, two, one):
        await commands.execute_many(report.commands())
    assert await read_capacity(commands) == Capacity(2, 40, 3.0)
    assert 0 < await commands.execute("TTL", keys.capacity(int(now[0]) // BUCKET_S)) <= 70


async def test_a_worker_that_is_killed_is_forgotten_and_its_runs_after_a_minute(
    commands: RedisCommands, now: list[float]
) -> None:
    one, two = CapacityReport("one", 10), CapacityReport("two", 30)
    one.ran(1.0)
    await commands.execute_many(one.commands())
    now[0] += 2 * BUCKET_S
    two.ran(4.0)
    await commands.execute_many(two.commands())
    assert await read_capacity(commands) == Capacity(1, 30, 2.5)
    now[0] += 4 * BUCKET_S
    assert await read_capacity(commands) == Capacity(0, 0, 4.0)


async def test_a_worker_that_leaves_is_no_longer_counted(commands: RedisCommands, now: list[float]) -> None:
    report = CapacityReport("one", 10)
    await commands.execute_many(report.commands())
    now[0] += BUCKET_S
    await commands.execute_many(report.commands())
    await commands.execute_many(report.leave())
    assert (await read_capacity(commands)).workers == 0
