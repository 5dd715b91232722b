"""What the doctor finds in background parts, in the groups of usage, and in the version of what is stored."""

import time
from datetime import UTC, datetime

import pytest

from cli.checks.gateway import check_gateway
from shared.background import RECENT_S, PartFailures
from shared.checks.parts import LISTED, MAX_GROUPS, check_groups, check_parts
from shared.checks.store import _check_schema
from shared.governance.keyspace import usage_day
from shared.jobs.workers import WorkerRecord
from shared.settings.model import LedgerSettings
from shared.store.commands import RedisCommands
from shared.store.schema import SCHEMA, SCHEMA_KEY
from tests.cli.test_gateway_check import OURS, app_answering
from tests.serving import serving


async def announce(commands: RedisCommands, name: str, failing: dict[str, int]) -> None:
    now_ms = int(time.time() * 1000) + 60_000
    record = WorkerRecord(
        id=name, version="1", concurrency=1, running=0, started_ms=0, seen_ms=now_ms, failing_parts=failing
    )
    for command in record.announcement():
        await commands.execute(*command)


async def test_background_parts_of_workers_that_fail_are_named(commands: RedisCommands) -> None:
    await announce(commands, "sound", {})
    assert (await check_parts(commands)).level == "OK"
    await announce(commands, "worker-1", {"webhooks": 3, "outbox": 1})
    found = await check_parts(commands)
    assert (found.check, found.level) == ("background parts", "WARN")
    assert found.message.endswith("10 minutes: outbox (1 times), webhooks (3 times) in worker-1")
    assert "log" in found.fix
    for number in range(LISTED):
        await announce(commands, f"x{number}", {"outbox": 1})
    assert (await check_parts(commands)).message.endswith("and in 1 more")


async def test_background_parts_of_the_gateway_that_fail_are_named() -> None:
    health = {"status": "ok", "missing": {}, "providers": {"sim": {}}, "failing_parts": {"keys": 4}}
    async with serving(app_answering(OURS, 200, health)) as origin:
        finding, providers = await check_gateway(origin, "")
    assert (finding.level, providers) == ("WARN", ["sim"])
    assert "keys (4 times)" in finding.message
    assert "log" in finding.fix


def test_failures_of_a_part_are_forgotten_after_a_while() -> None:
    failures = PartFailures()
    for _ in range(2):
        failures.note("keys")
    assert failures.recent() == {"keys": 2}
    assert failures.recent(within_s=-1) == {}
    assert RECENT_S == 600


@pytest.mark.parametrize(
    ("counts", "groups", "level", "message"),
    [
        ({}, 0, "OK", "0 of 10000 today, no key near its 100"),
        ({"a": 79}, 79, "OK", "79 of 10000 today"),
        (
            {"a": 79, "b": 80, "": 100},
            300,
            "WARN",
            "of 100 that a key may add a day: callers without a key (100), b (80)",
        ),
        ({f"k{number}": 90 for number in range(LISTED + 2)}, 700, "WARN", "and 2 more"),
        ({"a": 5}, MAX_GROUPS * 8 // 10, "WARN", "all keys together have 8000 of 10000 groups today"),
    ],
)
async def test_keys_near_the_limit_of_their_groups_are_named(
    commands: RedisCommands, counts: dict[str, int], groups: int, level: str, message: str
) -> None:
    now = datetime(2026, 11, 29, tzinfo=UTC)
    day = usage_day("2026-11-29")
    for at in range(0, groups, 1000):
        pairs = [part for number in range(at, min(at + 1000, groups)) for part in (f"g{number}", "0")]
        await commands.execute("HSET", day, *pairs)
    for key, count in counts.items():
        await commands.execute("HSET", f"{day}:groups", key, count)
    found = await check_groups(commands, LedgerSettings(max_groups_per_key=100), now)
    assert (found.check, found.level) == ("usage groups", level)
    assert message in found.message
    assert bool(found.fix) == (level == "WARN")


async def test_a_store_of_a_newer_release_is_a_failure(commands: RedisCommands) -> None:
    assert await _check_schema(commands) == []
    await commands.execute("SET", SCHEMA_KEY, SCHEMA + 1)
    (found,) = await _check_schema(commands)
    assert (found.check, found.level) == ("store schema", "FAIL")
    assert "upgrade" in found.fix
