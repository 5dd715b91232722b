"""Sums of hours that are over are read back as reports read what was booked."""

from datetime import UTC, datetime, timedelta

from cli.demo.history import DAYS, past_uses
from shared.governance.ledger.past import PastUse, write_past
from shared.governance.ledger.reports import Reports, UsageQuery
from shared.store.multiplexed import MultiplexedClient

NOON = datetime(2026, 3, 18, 12, 30, tzinfo=UTC)


def use(at: datetime, **sums: int) -> PastUse:
    return PastUse(at=at, key="vk_1", name="one", team="a", provider="sim", model="m", dims={"app": "web"}, sums=sums)


async def test_hours_and_days_hold_the_sums_of_their_uses(redis_url: str) -> None:
    store = MultiplexedClient(redis_url)
    await write_past(store, [use(NOON, calls=2, cost=5), use(NOON, calls=1, input=7), use(NOON - timedelta(hours=2))])
    reports = Reports(store)
    query = UsageQuery(start=NOON, end=NOON + timedelta(hours=1), per="hour", group_by=("key", "team", "dim:app"))
    (hour,) = await reports.usage(query)
    assert (hour.period, hour.group) == ("2026-03-18T12:00:00Z", {"key": "vk_1", "team": "a", "dim:app": "web"})
    assert (hour.key_name, hour.sums["calls"], hour.sums["cost"], hour.sums["input"]) == ("one", 3, 5, 7)
    (day,) = await reports.usage(UsageQuery(start=NOON, end=NOON + timedelta(hours=1)))
    assert day.sums == hour.sums
    for name in await store.execute("KEYS", "finops:usage:*"):
        assert await store.execute("TTL", name) > 0
    await store.aclose()


async def test_a_month_of_use_fills_every_hour_before_this_one() -> None:
    uses = list(past_uses({"search": ("vk_1", "discovery"), "reports": ("vk_2", "finance")}, NOON))
    assert len({use.at for use in uses}) == DAYS * 24 - 1
    assert max(use.at for use in uses) == datetime(2026, 3, 18, 11, tzinfo=UTC)
    assert {use.key for use in uses} == {"vk_1", "vk_2"}
    for one in uses:
        assert 0 <= one.sums["errors"] <= one.sums["calls"]
        assert one.sums["cost"] > 0
