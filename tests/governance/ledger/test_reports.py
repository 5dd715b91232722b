"""Reports, exports and forecasts of the ledger (the ledger itself: test_ledger.py)."""

import csv
import io
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from shared.errors import InvalidRequest
from shared.governance import keyspace
from shared.governance.forecasts.spend_forecast import Spender, SpendForecast, names_in_use, spend_forecasts
from shared.governance.keys.caller import ANONYMOUS
from shared.governance.ledger.call_log import CallLog
from shared.governance.ledger.exports import CALL_COLUMNS, call_to_dict, csv_text, json_lines, without_formula
from shared.governance.ledger.focus import InvalidFocus, check_row, focus_row
from shared.governance.ledger.reports import SUMS, Reports, UsageQuery
from shared.governance.ledger.writer import Ledger, entry_of
from shared.governance.limits.guard import LimitGuard, governance_scripts
from shared.governance.limits.model import Limit
from shared.governance.pricing.prices import UNPRICED
from shared.settings.model import LedgerSettings
from shared.store.multiplexed import MultiplexedClient
from tests.governance.ledger.test_ledger import TEAM_A, TODAY, booked, outcome

NOW = datetime(2026, 11, 18, 12, 30, tzinfo=UTC)
A_DOLLAR = 1_000_000


async def sums_of(store: MultiplexedClient, key: str, group: Sequence[str], **sums: int) -> None:
    """Put sums into a roll-up, as the books write them."""
    amounts = ",".join(str(sums.get(name, 0)) for name in SUMS)
    await store.execute("HSET", key, "\x1f".join(group), amounts)
    await store.execute("EXPIRE", key, 3600)


def group(key: str = "a", team: str = "search", model: str = "gpt", dims: str = "") -> tuple[str, ...]:
    return (key, f"name of {key}", team, "acme", "sim", model, "chat.completions", dims)


async def test_a_summary_has_a_total_and_names_unpriced_models(ledger: Ledger, store: MultiplexedClient) -> None:
    await booked(ledger, outcome(), outcome(model="x", cost=UNPRICED), outcome(model="y", cost=UNPRICED))
    await booked(ledger, outcome(model="y", cost=UNPRICED, caller=ANONYMOUS))
    query = UsageQuery(start=TODAY[0], end=TODAY[1], group_by=("key",), per="total")
    summary = await Reports(store).summary(query)
    assert summary.total.sums["calls"] == sum(row.sums["calls"] for row in summary.rows) == 4
    assert list(summary.unpriced.items()) == [(("openai", "y"), 2), (("openai", "x"), 1)]
    assert {row.to_dict()["key_name"] for row in summary.rows} == {"Team A", ""}


def test_queries_cover_whole_hours_or_days() -> None:
    period = {"start": NOW, "end": NOW + timedelta(minutes=1)}
    hours, days = UsageQuery(**period, per="hour"), UsageQuery(**period, per="total")
    assert (hours.begin, hours.until) == (NOW.replace(minute=0), NOW.replace(hour=13, minute=0))
    assert (days.begin, days.until) == (NOW.replace(hour=0, minute=0), datetime(2026, 11, 19, tzinfo=UTC))
    exact = UsageQuery(start=days.begin, end=days.until)
    assert exact.until == days.until


async def test_more_groups_than_an_answer_can_hold_are_refused(
    ledger: Ledger, store: MultiplexedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.governance.ledger.reports.MAX_ROWS", 2)
    await booked(ledger, *(outcome(model=f"m{at}") for at in range(3)))
    with pytest.raises(InvalidRequest):
        await Reports(store).usage(UsageQuery(start=TODAY[0], end=TODAY[1], group_by=("model",)))


async def test_the_number_of_groups_is_bounded(ledger: Ledger, store: MultiplexedClient) -> None:
    await booked(ledger, outcome())
    names = [name.decode() for name in await store.execute("KEYS", "finops:usage:*") if b":groups" not in name]
    for name in names:
        await store.execute("HSET", name, *itertools.chain.from_iterable((f"g{at}", "0") for at in range(10_000)))
    await booked(ledger, *(outcome(model=f"m{at}", dimensions={"user": str(at)}) for at in range(5)), outcome())
    query = UsageQuery(start=TODAY[0], end=TODAY[1], group_by=("key", "model"), only={"key": "a"}, per="total")
    calls = {row.group["model"]: row.sums["calls"] for row in await Reports(store).usage(query)}
    assert calls == {"gpt-4o": 2, "(other)": 5}
    assert max([await store.execute("HLEN", name) for name in names]) <= 10_002


async def test_one_key_cannot_use_up_the_groups_of_others(store: MultiplexedClient) -> None:
    ledger = Ledger(store, LedgerSettings(max_groups_per_key=3))
    await booked(
        ledger, *(outcome(model=f"m{at}", dimensions={"user": str(at)}) for at in range(5)), outcome(model="n")
    )
    await booked(ledger, *(outcome(model=f"m{at}", caller=ANONYMOUS) for at in range(4)))
    query = UsageQuery(start=TODAY[0], end=TODAY[1], group_by=("key", "model"), per="total")
    rows = await Reports(store).usage(query)
    for key, other in (("a", 3), ("", 1)):  # three groups of each have their model
        models = {row.group["model"]: row.sums["calls"] for row in rows if row.group["key"] == key}
        assert models.pop("(other)") == other
        assert list(models.values()) == [1, 1, 1]
    for name in await store.execute("KEYS", "finops:usage:*:groups"):
        assert await store.execute("HGETALL", name) == [b"a", b"3", b"", b"3"]
        assert await store.execute("PTTL", name) > 0
    await ledger.aclose()


@pytest.mark.parametrize("stored", ["7", ",".join(["7"] * 13), ",".join(["7", "-7"] * 8), ",".join(["7"] * 18)])
async def test_sums_are_added_to_groups_with_fewer_and_with_more_of_them(store: MultiplexedClient, stored: str) -> None:
    clock, entry = int(NOW.timestamp() * 1000), entry_of(outcome())

    async def book(batch: int) -> list[list[int]]:
        await store.script(governance_scripts()["settle"], (), ["w", batch, clock, "", "settled", entry])
        names = sorted(await store.execute("KEYS", "finops:usage:[hd]:*"))
        found = [await store.execute("HGETALL", name) for name in names if b":groups" not in name]
        return [[int(number) for number in sums.split(b",")] for _, sums in found]

    once = await book(1)
    assert once == [once[0]] * 2
    assert len(once[0]) == 16
    for name in await store.execute("KEYS", "finops:usage:[hd]:*"):
        if b":groups" not in name:
            (group, _) = await store.execute("HGETALL", name)
            await store.execute("HSET", name, group, stored)
    before = [int(number) for number in stored.split(",")]
    added = [have + more for have, more in itertools.zip_longest(before, once[0], fillvalue=0)]
    assert await book(2) == [added] * 2


@pytest.mark.parametrize("per", ["hour", "day"])
async def test_charges_of_a_period_are_focus_rows_that_add_up(
    ledger: Ledger, store: MultiplexedClient, per: Any
) -> None:
    await booked(
        ledger, *(outcome() for _ in range(3)), outcome(model="dear", cost=UNPRICED), outcome(caller=ANONYMOUS)
    )
    query = UsageQuery(start=TODAY[0], end=TODAY[1], per=per)
    rows = [focus_row(charge) async for batch in Reports(store).charges(query) for charge in batch]
    for row in rows:
        check_row(row)
    by_sku = {(row["SubAccountId"], row["SkuId"]): row for row in rows}
    many = by_sku["a", "openai/gpt-4o"]
    assert (many["BilledCost"], many["x_Calls"], many["ConsumedQuantity"]) == ("0.00135", "3", "360")
    assert (many["x_HttpStatus"], many["x_Estimated"]) == (None, None)
    assert by_sku["a", "openai/dear"]["x_Priced"] == "false"
    start, end = (datetime.fromisoformat(str(many[f"ChargePeriod{side}"])) for side in ("Start", "End"))
    assert end - start == (timedelta(hours=1) if per == "hour" else timedelta(days=1))
    own = UsageQuery(start=TODAY[0], end=TODAY[1], per=per, only={"key": "a", "dim:app": "shop"})
    assert len([charge async for batch in Reports(store).charges(own) for charge in batch]) == 2


async def test_long_entries_come_in_small_batches(ledger: Ledger, store: MultiplexedClient) -> None:
    await booked(ledger, *(outcome(content={"request": "x" * 30_000, "answer": "y"}) for _ in range(150)))
    sizes = [len(batch) async for batch in CallLog(store).batches(*TODAY)]
    assert sizes[:2] == [100, 17]
    assert sum(sizes) == 150


def test_public_form_of_a_call() -> None:
    entry = {"id": "5-1", **orjson.loads(entry_of(outcome(content={"request": "hi", "answer": "ho"}), at_ms=1_500))}
    document = call_to_dict(entry)
    assert tuple(document) == CALL_COLUMNS
    assert (document["ended_at"], document["cost_usd"], document["list_cost_usd"]) == (
        "1970-01-01T00:00:01.500Z",
        0.00045,
        0.0005,
    )
    assert (document["key_name"], document["dimensions"], document["code"], document["images"]) == (
        "Team A",
        {"app": "shop"},
        "",
        0,
    )
    assert call_to_dict(entry, content=True)["content"] == {"request": "hi", "answer": "ho"}
    unpriced = call_to_dict(orjson.loads(entry_of(outcome(cost=UNPRICED))))
    assert (unpriced["cost_usd"], unpriced["list_cost_usd"]) == (None, None)


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20x"]
)
def test_text_of_callers_is_never_a_spreadsheet_formula(text: str) -> None:
    rows = list(csv.reader(io.StringIO("".join(csv_text([{text: text, "n": -1, "nested": {"x": text}}])), newline="")))
    assert rows == [[f"'{text}", "n", "nested"], [f"'{text}", "-1", orjson.dumps({"x": text}).decode()]]
    assert orjson.loads(next(json_lines([{"x": text}])))["x"] == text
    assert without_formula("gpt-4o") == "gpt-4o"


async def forecast_of(store: MultiplexedClient, *limits: Limit, key: str = "a") -> SpendForecast:
    guard = LimitGuard(store)
    (found,) = await spend_forecasts(Reports(store), guard, [Spender(key, "Team A", limits)], "key", NOW)
    await guard.aclose()
    return found


async def test_a_forecast_follows_the_rate(store: MultiplexedClient) -> None:
    for back in range(25):
        hour = (NOW - timedelta(hours=back)).strftime("%Y-%m-%dT%H")
        await sums_of(store, keyspace.usage_hour(hour), group(), cost=A_DOLLAR // (2 if back == 0 else 1), calls=1)
    for back in range(20):
        day = (NOW - timedelta(days=back)).strftime("%Y-%m-%d")
        await sums_of(store, keyspace.usage_day(day), group(), cost=24 * A_DOLLAR if back else 90 * A_DOLLAR, calls=1)
        await sums_of(store, keyspace.usage_day(day), group(key="b"), cost=A_DOLLAR, calls=1)
    requests = Limit("requests", "key:a", "1m", 5)
    month, rolling = Limit("cost", "key:a", "1M", 500 * A_DOLLAR), Limit("cost", "key:a", "rolling:2d", 40 * A_DOLLAR)
    found = await forecast_of(store, requests, month, rolling)
    assert found.rate_micro_usd_per_hour == pytest.approx(A_DOLLAR)
    assert found.month_micro_usd == (17 * 24 + 90) * A_DOLLAR
    assert found.projected_month_micro_usd == pytest.approx(found.month_micro_usd + 299.5 * A_DOLLAR, abs=10)
    assert found.baseline.anomalous
    document = found.to_dict(NOW)
    assert (document["id"], document["rate_usd_per_hour"], document["usual_day_usd"]) == ("a", 1.0, 24.0)
    by_window = {budget["window"]: budget for budget in document["budgets"]}
    assert by_window.keys() == {"1M", "rolling:2d"}
    # Nothing is booked on the meters: the rolling window holds two days of a dollar an hour in the long run.
    assert (by_window["rolling:2d"]["projected_usd"], by_window["rolling:2d"]["state"]) == (48.0, "at_risk")
    assert by_window["rolling:2d"]["window_ends_at"] is None
    assert by_window["rolling:2d"]["exhausted_at"] == "2026-11-20T04:30:00Z"
    assert by_window["1M"]["window_ends_at"]


async def test_a_rolling_budget_that_the_rate_never_exhausts_is_ok(store: MultiplexedClient) -> None:
    hour = (NOW - timedelta(hours=1)).strftime("%Y-%m-%dT%H")
    await sums_of(store, keyspace.usage_hour(hour), group(), cost=A_DOLLAR, calls=1)
    found = await forecast_of(store, Limit("cost", "key:a", "rolling:1d", 500 * A_DOLLAR))
    (budget,) = found.to_dict(NOW)["budgets"]
    assert (budget["state"], budget["exhausted_at"]) == ("ok", None)


async def test_a_spent_budget_and_a_key_that_never_spent(store: MultiplexedClient, guard: LimitGuard) -> None:
    limit = Limit("cost", "key:a", "1d", 10)
    await guard.admit("h", [limit], cost=10, tokens=0)
    found = await forecast_of(store, limit)
    (budget,) = found.to_dict(NOW)["budgets"]
    assert (budget["state"], budget["reserved_usd"]) == ("spent", 0.00001)
    assert not found.baseline.anomalous
    assert found.baseline.usual_micro_usd == 0


async def test_names_with_recent_spend(store: MultiplexedClient) -> None:
    day = NOW.strftime("%Y-%m-%d")
    for team in ("search", "ads", ""):
        await sums_of(store, keyspace.usage_day(day), group(team=team), cost=1)
    assert await names_in_use(Reports(store), "team", NOW) == ["", "ads", "search"]
    assert TEAM_A.team == "search"


def test_usage_rows_need_a_quantity() -> None:
    row = focus_row(orjson.loads(entry_of(outcome())))
    row["PricingQuantity"] = row["SkuPriceId"] = None
    with pytest.raises(InvalidFocus, match="usage"):
        check_row(row)
