"""Skips: what two sets do not share is passed over, and nothing else."""

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.jobs import keys, skips
from shared.jobs.scripts import EngineScripts
from shared.jobs.skips import Skips
from shared.store.commands import PooledCommands, RedisCommands
from shared.store.connection import connect

FIRST, SECOND = keys.index(1), keys.index(2)


@pytest.fixture
async def commands(redis_url: str) -> AsyncIterator[RedisCommands]:
    """One server: what is tried is what the ranges of scores hold."""
    commands = PooledCommands(connect(redis_url))
    yield commands
    await commands.aclose()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skips, "ENTRIES", 10)
    monkeypatch.setattr(skips, "PLANNED", 2)


async def fill(commands: RedisCommands, **scores: dict[str, int]) -> None:
    await commands.execute("DEL", keys.ALL_JOBS, FIRST, SECOND)
    for name, entries in scores.items():
        pairs = [text for job, score in entries.items() for text in (score, job)]
        await commands.execute("ZADD", {"all": keys.ALL_JOBS, "first": FIRST, "second": SECOND}[name], *pairs)


def numbered(prefix: str, scores: range) -> dict[str, int]:
    return {f"{prefix}{score:03}": score for score in scores}


async def skip(commands: RedisCommands, order: Any, score: int, job: str) -> tuple[tuple[Any, Any], int]:
    (at, member), windows = await Skips(EngineScripts(commands)).skip(FIRST, SECOND, order, (score, job))
    return (int(at), member), windows


async def test_sets_that_never_meet_are_skipped_up_to_their_last_window(commands: RedisCommands) -> None:
    await fill(commands, all={"oldest": 1}, first=numbered("f", range(2, 102)), second=numbered("s", range(2, 102)))
    assert await skip(commands, "desc", 101, "f101") == ((11, "~"), 9)
    assert await skip(commands, "asc", 2, "f002") == ((92, "!"), 9)


async def test_a_shared_entry_is_not_skipped_and_comes_after_the_position(commands: RedisCommands) -> None:
    first = numbered("f", range(2, 102))
    await fill(commands, all={"oldest": 1}, first=first, second=numbered("s", range(2, 102)) | {"f050": 50})
    (above, _), windows = await skip(commands, "desc", 101, "f101")
    assert (50 <= above < 60, windows) == (True, 5)
    (below, _), windows = await skip(commands, "asc", 2, "f002")
    assert (40 < below <= 50, windows) == (True, 4)


async def test_readers_stop_at_the_first_window_that_is_shared(
    commands: RedisCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skips, "PLANNED", 8)
    await fill(commands, all={"oldest": 1}, first=numbered("f", range(2, 102)), second={"f100": 100, "f005": 5})
    assert await skip(commands, "desc", 101, "f101") == ((101, "f101"), 0)


async def test_nothing_is_skipped_where_indexes_may_have_lost_jobs(commands: RedisCommands) -> None:
    first, second = numbered("f", range(2, 102)), numbered("s", range(2, 102))
    await fill(commands, first=first, second=second)
    assert await skip(commands, "desc", 101, "f101") == ((101, "f101"), 0)
    await fill(commands, all={"oldest": 80}, first=first, second=second)
    assert await skip(commands, "desc", 101, "f101") == ((81, "~"), 2)
    assert await skip(commands, "asc", 80, "f080") == ((80, "f080"), 0)


async def test_a_millisecond_with_too_many_jobs_is_not_read_in_one_piece(commands: RedisCommands) -> None:
    crowd = {f"c{number:03}": 50 for number in range(40)}
    first, second = numbered("f", range(2, 102)), numbered("s", range(2, 102))
    for sets in ({"first": first | crowd, "second": second}, {"first": first, "second": second | crowd}):
        await fill(commands, all={"oldest": 1}, **sets)
        (at, _), _ = await skip(commands, "desc", 101, "f101")
        assert 50 <= at <= 61


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_millisecond_with_more_jobs_than_all_windows_hold_ends_where_it_began(
    commands: RedisCommands, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    monkeypatch.setattr(skips, "PLANNED", 4)
    crowd = {f"c{number:03}": 50 for number in range(60)}
    await fill(commands, all={"oldest": 1}, first=crowd, second={"s": 50})
    assert await skip(commands, order, 50, "c030") == ((50, "c030"), 0)


@pytest.mark.parametrize("seed", range(3))
async def test_no_shared_job_lies_before_the_position(commands: RedisCommands, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(25):
        jobs = {f"j{number:03}": dice.randrange(2, 60) for number in range(150)}
        halves = [dict(dice.sample(sorted(jobs.items()), dice.randrange(1, 80))) for _ in range(2)]
        await fill(commands, all={"oldest": 1}, first=halves[0], second=halves[1])
        order = dice.choice(["asc", "desc"])
        ordered = sorted(((score, job) for job, score in halves[0].items()), reverse=order == "desc")
        start = dice.choice(ordered)
        position, _ = await skip(commands, order, *start)
        low, high = sorted([start, position])
        passed = [job for score, job in ordered if low < (score, job) < high]
        assert not set(passed) & halves[1].keys()
