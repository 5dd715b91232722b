"""Checks of what operators set up in the queue: schedules, pauses and operations on many jobs."""

from collections.abc import Iterator, Sequence
from typing import Final

from shared import clock
from shared.checks.findings import Finding, ok, unstyled, warn
from shared.jobs import keys as job_keys
from shared.jobs.pauses import Pause, PauseStore
from shared.schedules import keys as schedule_keys
from shared.schedules.model import Schedule, Status
from shared.schedules.store import ScheduleStore
from shared.store.commands import RedisCommands, translated_faults

LATE_MS: Final = 60_000
"""A turn lasts a second and its lease 30 s at most, so that what waits for longer has no worker."""
LONG_MS: Final = 24 * 3600 * 1000
MOST_SCHEDULES: Final = 1_000
PAGE: Final = 100
LISTED: Final = 5


async def check_queue(commands: RedisCommands) -> list[Finding]:
    """Check schedules, pauses and operations in the store.

    Raises:
        StoreConnectionError: The store does not answer.
        StoreUnavailable: Likewise.
    """
    now_ms = clock.now().timestamp() * 1000
    schedules = await _schedules(ScheduleStore(commands))
    late = {name: await _late(commands, key, now_ms) for name, key in _DUE.items()}
    return [
        *_judge_schedules(schedules, late["schedules"]),
        _judge_operations(late["operations"]),
        *_judge_pauses(await PauseStore(commands).list(), now_ms),
    ]


_DUE: Final = {"schedules": schedule_keys.DUE, "operations": job_keys.OPEN_OPERATIONS}


async def _schedules(store: ScheduleStore) -> list[Schedule]:
    """Return the newest schedules of all callers."""
    found: list[Schedule] = []
    while len(found) < MOST_SCHEDULES:
        page = await store.page(None, after=found[-1].id if found else "", limit=PAGE)
        found += page.schedules if page else ()
        if page is None or not page.has_more:
            break
    return found


async def _late(commands: RedisCommands, key: str, now_ms: float) -> int:
    """Count the entries whose turn has been due for long."""
    with translated_faults():
        return int(await commands.execute("ZCOUNT", key, "-inf", int(now_ms - LATE_MS), retry_safe=True))


def _judge_schedules(schedules: Sequence[Schedule], late: int) -> Iterator[Finding]:
    if late:
        fix = "start a worker with `finops worker`: workers fire schedules, and skip what they miss"
        yield warn("schedules", f"{late} are late by more than a minute", fix)
    blocked = [schedule for schedule in schedules if schedule.paused_reason == "key_blocked"]
    if blocked:
        fix = "delete them with `finops schedules delete ID`, or renew their key and run `finops schedules resume ID`"
        yield warn("schedules", f"paused as their virtual key is no longer valid: {_named(blocked)}", fix)
    refused = [each for each in schedules if each.status is Status.ACTIVE and _code(each) not in {"", "max_active"}]
    if refused:
        fix = "see last_error of `finops schedules show ID`"
        text = f"the last firing was skipped: {_named(refused)} ({unstyled(_code(refused[0]))})"
        yield warn("schedules", text, fix)
    if not late and not blocked and not refused:
        paused = sum(schedule.status is Status.PAUSED for schedule in schedules)
        yield ok("schedules", f"{len(schedules) - paused} active, {paused} paused" if schedules else "none")


def _judge_operations(late: int) -> Finding:
    if not late:
        return ok("operations", "none waits for a worker")
    fix = "start a worker with `finops worker`; operations go on where they stopped"
    return warn("operations", f"{late} have waited for a worker for more than a minute", fix)


def _judge_pauses(pauses: Sequence[Pause], now_ms: float) -> Iterator[Finding]:
    """Judge pauses without an end that somebody may have forgotten."""
    old = [pause for pause in pauses if pause.until_ms is None and now_ms - pause.created_ms > LONG_MS]
    for pause in old[:LISTED]:
        since = clock.rfc3339_ms(pause.created_ms)
        text = unstyled(f"{pause.scope} is paused since {since}: {pause.reason}")
        yield warn("pauses", text, f'run `finops queue resume "{unstyled(pause.scope)}"` when its reason is gone')
    if not old:
        yield ok("pauses", f"{len(pauses)} in force" if pauses else "none")


def _code(schedule: Schedule) -> str:
    return str((schedule.last_error or {}).get("code", ""))


def _named(schedules: Sequence[Schedule]) -> str:
    names = ", ".join(unstyled(each.name or each.id) for each in schedules[:LISTED])
    return names + (f" and {len(schedules) - LISTED} more" if len(schedules) > LISTED else "")
