"""The evidence of semantic matches in the store: what was long ago weighs less, and a store that is away is said."""

import pytest

from shared.cache import audit_log
from shared.cache.audit_log import AuditLog, Family
from shared.cache.evidence import Evidence
from shared.cache.store import cache_scripts
from shared.errors import StoreUnavailable
from shared.store.commands import RedisCommands
from shared.store.multiplexed import MultiplexedClient

FAMILY = Family("s-1", "key:a", "p/m")


def log_of(commands: RedisCommands) -> AuditLog:
    return AuditLog(commands, cache_scripts()["audit"])


async def test_comparisons_are_counted_by_family_and_similarity(commands: RedisCommands) -> None:
    log = log_of(commands)
    assert await log.read("s-1") == Evidence()
    await log.record(FAMILY, 93, agreed=True)
    await log.record(FAMILY, 93, agreed=False)
    found = await log.record(FAMILY, 97, agreed=True)
    assert found == await log.read("s-1") == Evidence({93: 2, 97: 1}, {93: 1})
    other = Family("r-2", "key:b", "p/m")
    await log.record(other, 90, agreed=True)
    assert await log.families() == [(FAMILY, found), (other, Evidence({90: 1}, {}))]


async def test_what_was_long_ago_weighs_less(commands: RedisCommands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "HALVED_AT", 10)
    log = log_of(commands)
    for _ in range(8):
        await log.record(FAMILY, 93, agreed=True)
    for _ in range(2):
        found = await log.record(FAMILY, 93, agreed=False)
    assert found == Evidence({93: 5}, {93: 1})
    assert await log.record(FAMILY, 93, agreed=True) == Evidence({93: 6}, {93: 1})


async def test_a_report_ends_where_families_are_too_many(
    commands: RedisCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(commands)
    for number in range(3):
        await log.record(Family(f"s-{number}", "key:a", f"p/{number}"), 93, agreed=True)
    monkeypatch.setattr(audit_log, "MOST_FAMILIES", 2)
    assert len(await log.families()) == 2


async def test_a_store_that_is_away_is_said() -> None:
    nowhere = MultiplexedClient("redis://127.0.0.1:9/0")
    with pytest.raises(StoreUnavailable):
        await log_of(nowhere).families()
    await nowhere.aclose()


async def test_with_no_difference_the_bound_of_one_percent_holds_within_400_comparisons_and_with_5_percent_never(
    commands: RedisCommands,
) -> None:
    log = log_of(commands)
    different = Family("s-2", "key:a", "p/m")
    for number in range(1, 401):
        same = await log.record(FAMILY, 93, agreed=True)
        other = await log.record(different, 93, agreed=number % 20 != 0)
        assert other.serves_from(85, 0.01, 50) is None
    assert same.serves_from(85, 0.01, 50) == 93
