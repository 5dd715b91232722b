"""What the doctor finds in schedules, operations and pauses."""

from shared.checks.findings import Finding
from shared.checks.queue import LISTED, check_queue
from shared.jobs import keys as job_keys
from shared.jobs.pauses import Pause, PauseStore
from shared.schedules import keys
from shared.schedules.model import Schedule, SkipReason, Status
from shared.schedules.store import ScheduleStore, Turn
from shared.schedules.times import Timing
from shared.store.commands import RedisCommands

SOON = 4_000_000_000_000


async def warnings(commands: RedisCommands, check: str) -> list[Finding]:
    return [each for each in await check_queue(commands) if each.check == check and each.level != "OK"]


async def scheduled(commands: RedisCommands, name: str, next_ms: int = SOON) -> Schedule:
    fields = {"timing": Timing(every_s=60), "request": {"type": "embeddings"}, "job": {"model": "m"}}
    new = Schedule(id=keys.mint_schedule_id(), owner="a", name=name, next_ms=next_ms, **fields)  # type: ignore[arg-type]
    return await ScheduleStore(commands).create(new, max_per_owner=500)


async def test_an_empty_queue_has_no_findings(commands: RedisCommands) -> None:
    found = await check_queue(commands)
    assert [(each.check, each.level, each.message) for each in found] == [
        ("schedules", "OK", "none"),
        ("operations", "OK", "none waits for a worker"),
        ("pauses", "OK", "none"),
    ]


async def test_schedules_and_operations_that_no_worker_handles_are_reported(commands: RedisCommands) -> None:
    await scheduled(commands, "report", next_ms=1)
    await commands.execute("ZADD", job_keys.OPEN_OPERATIONS, 1, "op_1")
    for check in ("schedules", "operations"):
        (finding,) = await warnings(commands, check)
        assert "more than a minute" in finding.message
        assert "finops worker" in finding.fix


async def test_schedules_that_do_not_fire_are_named_with_the_reason(commands: RedisCommands) -> None:
    store = ScheduleStore(commands)
    for name in ("budget", "blocked", "busy"):
        await scheduled(commands, name, next_ms=1)
        turn = await store.take()
        assert isinstance(turn, Turn)
        if name == "blocked":
            await store.pause(turn.schedule, "key_blocked", SkipReason("key_revoked", "Revoked."))
        else:
            code = "budget_exceeded" if name == "budget" else "max_active"
            await store.skipped(turn.schedule, 1, SOON, SkipReason(code, "Skipped."))
    blocked, refused = await warnings(commands, "schedules")
    assert blocked.message.endswith("blocked")
    assert refused.message.endswith("budget (budget_exceeded)")
    for number in range(101):
        await scheduled(commands, f"s{number}")
    assert len(await warnings(commands, "schedules")) == 2


async def test_active_and_paused_schedules_are_counted(commands: RedisCommands) -> None:
    await scheduled(commands, "active")
    await ScheduleStore(commands).set_status(await scheduled(commands, "paused"), Status.PAUSED, 0)
    assert "1 active, 1 paused" in [each.message for each in await check_queue(commands)]


async def test_many_names_are_cut(commands: RedisCommands) -> None:
    store = ScheduleStore(commands)
    for number in range(LISTED + 2):
        await scheduled(commands, f"s{number}", next_ms=1)
        turn = await store.take()
        assert isinstance(turn, Turn)
        await store.skipped(turn.schedule, 1, SOON, SkipReason("missed", "Missed."))
    (finding,) = await warnings(commands, "schedules")
    assert "and 2 more" in finding.message


async def test_a_pause_without_an_end_is_reported_after_a_day(commands: RedisCommands) -> None:
    store = PauseStore(commands)
    await store.put(Pause(scope="all", reason="with an end", until_ms=SOON, created_ms=1))
    assert await warnings(commands, "pauses") == []
    await store.put(Pause(scope="provider:openai", reason="outage", created_ms=1))
    (finding,) = await warnings(commands, "pauses")
    assert "outage" in finding.message
    assert 'finops queue resume "provider:openai"' in finding.fix
