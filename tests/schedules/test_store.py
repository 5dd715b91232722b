"""The store of schedules: lists, changes, turns, and keys that expire."""

import re

import pytest

from shared.errors import InvalidRequest, NotFound
from shared.schedules import keys
from shared.schedules.model import Schedule, SkipReason, Status
from shared.schedules.scripts import schedule_scripts
from shared.schedules.store import ScheduleStore, Turn
from shared.schedules.times import Timing
from shared.store.commands import RedisCommands
from tests.jobs.test_keys import assert_every_key_is_known

LATER = 4_000_000_000_000
DUE = 1
REASON = SkipReason("missed", "No worker ran at the time.")


@pytest.fixture
def schedules(commands: RedisCommands) -> ScheduleStore:
    return ScheduleStore(commands)


def new(owner: str = "a", next_ms: int = LATER, **more: object) -> Schedule:
    fields = {"timing": Timing(every_s=60), "request": {"type": "embeddings"}, "job": {"model": "m"}, **more}
    return Schedule(id=keys.mint_schedule_id(), owner=owner, next_ms=next_ms, **fields)  # type: ignore[arg-type]


async def made(schedules: ScheduleStore, **more: object) -> Schedule:
    return await schedules.create(new(**more), max_per_owner=5)  # type: ignore[arg-type]


async def taken(schedules: ScheduleStore) -> Schedule:
    turn = await schedules.take()
    assert isinstance(turn, Turn)
    return turn.schedule


async def test_a_schedule_is_read_as_it_was_stored(schedules: ScheduleStore, commands: RedisCommands) -> None:
    timing = Timing(cron="0 0 29 2 *", timezone="Europe/Berlin")
    stored = await made(schedules, name="Bücher", timing=timing, catch_up="last", max_active=2)
    assert await schedules.get(stored.id) == stored
    assert (stored.name, stored.timing, stored.catch_up, stored.max_active) == ("Bücher", timing, "last", 2)
    assert (stored.status, stored.created_ms > 0, stored.fired) == (Status.ACTIVE, True, 0)
    assert await schedules.create(stored, max_per_owner=5) == stored
    await assert_every_key_is_known(commands)


async def test_lists_hold_an_owners_schedules_newest_first(schedules: ScheduleStore, commands: RedisCommands) -> None:
    first, second, other = await made(schedules), await made(schedules), await made(schedules, owner="")
    page = await schedules.page("a", limit=1)
    assert page is not None
    assert ([each.id for each in page.schedules], page.has_more) == ([second.id], True)
    page = await schedules.page("a", after=second.id)
    assert page is not None
    assert ([each.id for each in page.schedules], page.has_more) == ([first.id], False)
    everything = await schedules.page(None)
    assert everything is not None
    assert [each.id for each in everything.schedules] == [other.id, second.id, first.id]
    assert await schedules.page("a", after=other.id) is None
    await commands.execute("DEL", keys.schedule(second.id))  # as if it had expired
    page = await schedules.page("a")
    assert page is not None
    assert [each.id for each in page.schedules] == [first.id]


async def test_the_number_of_schedules_is_bounded(schedules: ScheduleStore, commands: RedisCommands) -> None:
    first = await made(schedules)
    for _ in range(4):
        await made(schedules)
    with pytest.raises(InvalidRequest, match="You have 5 schedules"):
        await made(schedules)
    await made(schedules, owner="b")
    await commands.execute("DEL", keys.schedule(first.id))  # an expired one makes room
    await made(schedules)


async def test_the_number_of_all_schedules_is_bounded(
    schedules: ScheduleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.schedules.store.MAX_SCHEDULES", 1)
    await made(schedules)
    with pytest.raises(InvalidRequest, match="The gateway has 1 schedules"):
        await made(schedules, owner="b")


async def test_a_turn_is_held_until_it_ends(schedules: ScheduleStore) -> None:
    assert await schedules.take() == float("inf")
    late = await made(schedules)
    wait_s = await schedules.take()
    assert isinstance(wait_s, float)
    assert wait_s > 1_000_000
    due = await made(schedules, next_ms=DUE)
    schedule = await taken(schedules)
    assert (schedule.id, schedule.tries) == (due.id, 1)
    assert not isinstance(await schedules.take(), Turn)
    assert await schedules.fired(schedule, DUE, "job-1", LATER, missed=2)
    stored = await schedules.get(due.id)
    assert (stored.last_job_id, stored.last_ms, stored.next_ms, stored.tries) == ("job-1", DUE, LATER, 0)
    assert (stored.fired, stored.skipped, stored.live_jobs) == (1, 2, ())
    assert not await schedules.fired(schedule, DUE, "job-2", LATER, missed=0)  # the turn is over
    await schedules.delete(late.id)


async def test_turns_end_in_other_ways(schedules: ScheduleStore) -> None:
    made_one = await made(schedules, next_ms=DUE)
    assert await schedules.put_off(await taken(schedules), 0, REASON)
    again = await taken(schedules)
    assert (again.next_ms, again.tries) == (DUE, 2)
    assert await schedules.skipped(again, 3, DUE + 1, REASON)
    stored = await schedules.get(made_one.id)
    assert (stored.skipped, stored.fired, stored.next_ms) == (3, 0, DUE + 1)
    assert stored.last_error is not None
    assert stored.last_error["code"] == "missed"
    assert await schedules.pause(await taken(schedules), "key_blocked", REASON)
    stored = await schedules.get(made_one.id)
    assert (stored.status, stored.paused_reason, stored.next_ms) == (Status.PAUSED, "key_blocked", 0)
    assert await schedules.take() == float("inf")


async def test_a_change_ends_a_turn_that_was_taken_before(schedules: ScheduleStore) -> None:
    stored = await made(schedules, next_ms=DUE)
    turn = await taken(schedules)
    paused = await schedules.set_status(stored, Status.PAUSED, 0)
    assert (paused.status, paused.next_ms) == (Status.PAUSED, 0)
    assert not await schedules.fired(turn, DUE, "job-1", LATER, missed=0)
    resumed = await schedules.set_status(paused, Status.ACTIVE, LATER)
    assert (resumed.status, resumed.next_ms) == (Status.ACTIVE, LATER)


async def test_a_deleted_schedule_is_gone(schedules: ScheduleStore, commands: RedisCommands) -> None:
    stored = await made(schedules, next_ms=DUE)
    await schedules.delete(stored.id)
    for attempt in (
        schedules.get(stored.id), schedules.delete(stored.id), schedules.redefine(stored), schedules.get("x"),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            await attempt
    assert await schedules.take() == float("inf")
    assert await commands.execute("KEYS", "*") == []


async def test_an_expired_schedule_leaves_the_due_list(schedules: ScheduleStore, commands: RedisCommands) -> None:
    stored = await made(schedules, next_ms=DUE)
    await commands.execute("DEL", keys.schedule(stored.id))
    assert await schedules.take() == float("inf")


async def test_a_schedule_lives_longer_than_its_next_firing(schedules: ScheduleStore, commands: RedisCommands) -> None:
    stored = await made(schedules, next_ms=LATER)
    assert await commands.execute("PTTL", keys.schedule(stored.id)) > LATER - stored.created_ms


def test_python_and_lua_build_the_same_names() -> None:
    prelude = schedule_scripts()["prelude"].source
    assert f"'{keys.ALL}'" in prelude
    assert f"'{keys.DUE}'" in prelude
    assert re.search(r"return 'finops:schedule:' \.\. id end", prelude)
    assert keys.schedule("x") == "finops:schedule:x"
    assert (keys.owner_schedules("a"), keys.owner_schedules("")) == (
        "finops:owner:a:schedules", "finops:owner:-:schedules",
    )  # fmt: skip


def test_a_firing_has_one_job_id() -> None:
    assert keys.firing_job_id("s", 1) == keys.firing_job_id("s", 1) != keys.firing_job_id("s", 2)
    assert keys.is_schedule_id(keys.mint_schedule_id())
    assert not keys.is_schedule_id("sched_x:y")
