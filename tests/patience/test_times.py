"""Times of lanes: counted in the store, by day, and read as quantiles."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.patience import keys
from shared.patience.lanes import Lane
from shared.patience.times import DAY_S, LATE, Histogram, LaneTimes, bound_of, bucket_of
from shared.store.commands import RedisCommands
from tests.jobs.test_keys import assert_every_key_is_known

NOON = 20_000 * DAY_S + DAY_S / 2


@pytest.fixture
def times(commands: RedisCommands) -> LaneTimes:
    return LaneTimes(commands, wall=lambda: NOON, clock=iter(range(0, 10**6, 60)).__next__)


@given(st.floats(0, 1e7))
def test_a_bucket_holds_no_longer_time_than_its_bound(seconds: float) -> None:
    bucket = bucket_of(seconds)
    assert bound_of(bucket) >= seconds * (1 - 1e-6)
    assert 0 <= bucket <= LATE
    assert bound_of(bucket) <= max(seconds, 0.05) * 1.42 or bucket == LATE


@given(st.lists(st.floats(0.1, 1e5), min_size=1, max_size=50), st.floats(0.01, 0.99))
def test_a_quantile_is_never_shorter_than_the_measured_one(seconds: list[float], share: float) -> None:
    counts: dict[int, int] = {}
    for each in seconds:
        counts[bucket_of(each)] = counts.get(bucket_of(each), 0) + 1
    measured = sorted(seconds)[math.ceil(share * len(seconds)) - 1]
    assert Histogram(counts).quantile(share) >= measured * (1 - 1e-6)


def test_what_was_late_has_no_bound() -> None:
    assert bound_of(bucket_of(None)) == math.inf
    assert Histogram({3: 94, LATE: 6}).quantile(0.95) == math.inf
    assert Histogram({3: 95, LATE: 5}).quantile(0.95) == bound_of(3)
    assert Histogram().quantile(0.5) == math.inf


async def test_times_are_counted_by_model_and_lane(times: LaneTimes, commands: RedisCommands) -> None:
    for seconds in (1.0, 1.0, 300.0):
        await times.record("openai/gpt-4o", Lane.BATCH, seconds)
    await times.record("openai/gpt-4o", Lane.FLEX, None)
    found = await times.of("openai/gpt-4o")
    assert (found[Lane.BATCH].total, found[Lane.FLEX].counts, found[Lane.NOW].total) == (3, {LATE: 1}, 0)
    assert found[Lane.BATCH].quantile(0.6) == bound_of(bucket_of(1.0))
    rows = await times.rows()
    assert [(row.lane, row.model, row.histogram.total) for row in rows] == [
        ("batch", "openai/gpt-4o", 3),
        ("flex", "openai/gpt-4o", 1),
    ]
    await assert_every_key_is_known(commands)


async def test_times_of_two_days_count_and_older_ones_do_not(commands: RedisCommands) -> None:
    def at(day: int) -> LaneTimes:
        return LaneTimes(commands, wall=lambda: NOON + day * DAY_S)

    await at(0).record("a/b", Lane.FLEX, 1.0)
    assert (await at(1).of("a/b"))[Lane.FLEX].total == 1
    assert (await at(2).of("a/b"))[Lane.FLEX].total == 0
    assert await at(2).rows() == []


async def test_times_are_remembered_for_half_a_minute(commands: RedisCommands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.patience.times.REMEMBERED", 1)
    seconds = [0.0]
    clock: Callable[[], float] = lambda: seconds[0]  # noqa: E731
    times = LaneTimes(commands, wall=lambda: NOON, clock=clock)
    assert (await times.of("a/b"))[Lane.FLEX].total == 0
    await times.record("a/b", Lane.FLEX, 1.0)
    assert (await times.of("a/b"))[Lane.FLEX].total == 0
    seconds[0] = 31.0
    assert (await times.of("a/b"))[Lane.FLEX].total == 1
    await times.record("a/b", Lane.FLEX, 1.0)
    await times.of("c/d")
    assert (await times.of("a/b"))[Lane.FLEX].total == 2, "forgotten: there is room for one"


async def test_a_day_has_a_bounded_number_of_models(
    times: LaneTimes, commands: RedisCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MAX_MODELS", 1)
    await times.record("a/b", Lane.FLEX, 1.0)
    await times.record("a/c", Lane.FLEX, 1.0)
    await times.record("a/b", Lane.FLEX, 1.0)
    assert [(row.model, row.histogram.total) for row in await times.rows()] == [("a/b", 2)]
