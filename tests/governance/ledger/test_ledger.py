"""The ledger, its roll-ups and what is asked of them."""

import csv
import io
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from shared.errors import InvalidRequest, StoreUnavailable
from shared.governance.forecasts.rates import baseline, forecast, spend_rate
from shared.governance.keys.caller import ANONYMOUS, Caller
from shared.governance.ledger.call_log import CallLog
from shared.governance.ledger.exports import csv_text, json_lines
from shared.governance.ledger.focus import COLUMNS, NAMES, InvalidFocus, check_row, focus_csv, focus_row
from shared.governance.ledger.reports import Reports, UsageQuery
from shared.governance.ledger.writer import MAX_CONTENT, CallOutcome, Ledger, Redaction, entry_of, hit_entry, who
from shared.governance.pricing.prices import NO_COST, UNPRICED, Cost
from shared.governance.pricing.usage import Usage
from shared.keyspace import ALL_KEYS
from shared.settings.model import LedgerSettings
from shared.store.errors import StoreConnectionError
from shared.store.multiplexed import MultiplexedClient
from tests.key_leaks import assert_no_key_leaks

NOW = datetime.now(UTC)
TODAY = (NOW - timedelta(hours=1), NOW + timedelta(days=1))  # of any suite that runs shorter than a day
TEAM_A = Caller(key_id="a", name="Team A", team="search", customer="acme", dimensions=(("app", "shop"),))


def outcome(**changes: Any) -> CallOutcome:
    fields: dict[str, Any] = {
        "caller": TEAM_A, "request_type": "chat.completions", "provider": "openai", "model": "gpt-4o",
        "asked": "gpt-4o", "usage": Usage(input=100, output=20, cached=5, reasoning=2),
        "cost": Cost(450, list_micro_usd=500),
        "latency_ms": 80, "attempts": 2, "request_id": "req_1", "surface": "openai",
    }  # fmt: skip
    return CallOutcome(**{**fields, **changes})


@pytest.mark.parametrize("saved", [0, 500])
@pytest.mark.parametrize("scopes", [None, (), ("provider:openai",)])
def test_the_entry_of_a_hit_is_that_of_its_outcome(saved: int, scopes: tuple[str, ...] | None) -> None:
    hit = outcome(
        usage=Usage(), cost=NO_COST, cache="hit", saved=saved, scopes=scopes, attempts=0, asked="m" * 300,
        dimensions={"app": "x"},
    )  # fmt: skip
    fields = {
        "type": hit.request_type, "surface": hit.surface, "asked": hit.asked, "provider": hit.provider,
        "model": hit.model, "request_id": hit.request_id, "latency_ms": hit.latency_ms,
    }  # fmt: skip
    entry = hit_entry(who(hit.caller, hit.dimensions), fields, saved, scopes, at_ms=5)
    assert orjson.loads(entry) == orjson.loads(entry_of(hit, at_ms=5))


async def booked(ledger: Ledger, *outcomes: CallOutcome) -> None:
    for one in outcomes:
        ledger.book(entry_of(one))
    await ledger.flush()


async def test_every_outcome_is_one_entry_and_part_of_the_sums(ledger: Ledger, store: MultiplexedClient) -> None:
    await booked(
        ledger,
        outcome(),
        outcome(model="gpt-4.1", dimensions={"app": "mail"}),
        outcome(caller=ANONYMOUS, cost=UNPRICED),
        outcome(caller=ANONYMOUS, cost=UNPRICED, usage=Usage(), status=429, code="rate_limited"),
    )
    reports = Reports(store)
    (total,) = await reports.usage(UsageQuery(start=TODAY[0], end=TODAY[1], per="total"))
    assert total.to_dict() == {
        "calls": 4, "errors": 1, "unpriced_calls": 1, "input_tokens": 300, "output_tokens": 60, "cached_tokens": 15,
        "reasoning_tokens": 6, "cost_usd": 0.0009, "list_cost_usd": 0.001, "average_latency_ms": 80,
        "upstream_attempts": 8, "cache_hits": 0, "saved_usd": 0.0, "saved_by_batch_usd": 0.0, "saved_by_tier_usd": 0.0,
        "saved_by_cache_usd": 0.0, "saved_by_discount_usd": 0.0001,
    }  # fmt: skip
    entries = [entry async for batch in CallLog(store).batches(*TODAY) for entry in batch]
    assert sum(entry.get("cost", 0) for entry in entries) == 900
    assert len(entries) == 4


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("key", {"a": 2, "": 1}),
        ("name", {"Team A": 2, "": 1}),
        ("team", {"search": 2, "": 1}),
        ("customer", {"acme": 2, "": 1}),
        ("provider", {"openai": 3}),
        ("model", {"gpt-4o": 2, "o3": 1}),
        ("type", {"chat.completions": 3}),
        ("dim:app", {"shop": 1, "mail": 1, "": 1}),
    ],
)
@pytest.mark.parametrize("per", ["hour", "day", "month", "total"])
async def test_sums_by_group(ledger: Ledger, store: MultiplexedClient, group: str, expected: Any, per: Any) -> None:
    await booked(ledger, outcome(), outcome(dimensions={"app": "mail"}), outcome(caller=ANONYMOUS, model="o3"))
    rows = await Reports(store).usage(UsageQuery(start=TODAY[0], end=TODAY[1], group_by=(group,), per=per))
    calls: dict[str, int] = {}
    for row in rows:
        calls[row.group[group]] = calls.get(row.group[group], 0) + row.sums["calls"]
    assert calls == expected


async def test_sums_of_one_key_alone(ledger: Ledger, store: MultiplexedClient) -> None:
    await booked(ledger, outcome(), outcome(caller=Caller(key_id="b", name="b")))
    query = UsageQuery(start=TODAY[0], end=TODAY[1], group_by=("key", "model"), only={"key": "b"})
    rows = await Reports(store).usage(query)
    assert [row.group for row in rows] == [{"key": "b", "model": "gpt-4o"}]


@pytest.mark.parametrize(
    "changes",
    [
        {"group_by": ("colour",)},
        {"group_by": ("dim:",)},
        {"only": {"secret": "x"}},
        {"end": TODAY[0]},
        {"per": "hour", "start": NOW - timedelta(days=60)},
        {"start": NOW - timedelta(days=500)},
    ],
)
def test_invalid_queries_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        UsageQuery(**{"start": TODAY[0], "end": TODAY[1], **changes})


async def test_logs_are_filtered_and_paged(ledger: Ledger, store: MultiplexedClient) -> None:
    await booked(ledger, *(outcome(status=500 if at % 2 else 200, request_id=str(at)) for at in range(10)))
    calls = CallLog(store)
    page, cursor = await calls.page({"status": "500"}, limit=3)
    rest, end = await calls.page({"status": "5xx"}, cursor=cursor, limit=3)
    assert [entry["request_id"] for entry in page + rest] == ["9", "7", "5", "3", "1"]
    assert end == ""
    assert (await calls.page({"dim:app": "shop", "key": "a"}, start=TODAY[0], end=TODAY[1]))[0]
    assert not (await calls.page({}, end=TODAY[0]))[0]
    assert not (await calls.page({"dim:app": "else"}))[0]
    assert not [entry async for batch in calls.batches(*TODAY, {"key": "other"}) for entry in batch]
    for wrong in ({"content": "x"}, {"__class__": "x"}):
        with pytest.raises(InvalidRequest):
            await calls.page(wrong)
    with pytest.raises(InvalidRequest):
        await calls.page({}, cursor="+")


async def test_long_ledgers_are_read_page_by_page(
    ledger: Ledger, store: MultiplexedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.governance.ledger.call_log.PAGE", 3)
    monkeypatch.setattr("shared.governance.ledger.call_log.MAX_SCAN", 6)
    await booked(ledger, *(outcome(request_id=str(at)) for at in range(8)))
    calls = CallLog(store)
    read = [entry["request_id"] async for batch in calls.batches(*TODAY) for entry in batch]
    assert read == [str(at) for at in range(8)]
    none, cursor = await calls.page({"request_id": "0"})
    assert not none
    assert [entry["request_id"] for entry in (await calls.page({"request_id": "0"}, cursor=cursor))[0]] == ["0"]


class LosesAnswers:
    """The real store, over a connection that breaks after each command was executed, as often as configured."""

    def __init__(self, inner: MultiplexedClient, times: int) -> None:
        self._inner, self.times = inner, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def script(self, *args: Any, **more: Any) -> Any:
        reply = await self._inner.script(*args, **more)
        if self.times:
            self.times -= 1
            raise StoreConnectionError("the connection broke")
        return reply


async def test_a_batch_whose_answer_was_lost_is_booked_once(store: MultiplexedClient) -> None:
    ledger = Ledger(LosesAnswers(store, 2))
    await booked(ledger, outcome(), outcome())
    await booked(ledger, outcome())
    assert await store.execute("XLEN", "finops:ledger") == 3
    (total,) = await Reports(store).usage(UsageQuery(start=TODAY[0], end=TODAY[1], per="total"))
    assert total.sums["calls"] == 3


async def test_entries_wait_for_an_unavailable_store_up_to_a_limit(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.governance.ledger.writer.CLOSE_S", 0.05)
    monkeypatch.setattr("shared.governance.ledger.writer.MAX_WAITING", 2)
    client = MultiplexedClient("redis://127.0.0.1:9/0")
    ledger = Ledger(client)
    for _ in range(3):
        ledger.book(entry_of(outcome()))
    assert ledger.dropped == 1
    with caplog.at_level(logging.ERROR):
        await ledger.aclose()
    assert "were lost" in caplog.text
    await client.aclose()
    with pytest.raises(StoreUnavailable):
        await Reports(client).usage(UsageQuery(start=TODAY[0], end=TODAY[1]))
    with pytest.raises(StoreUnavailable):
        await CallLog(client).page({})


async def test_retention_is_as_configured(store: MultiplexedClient, redis: Any) -> None:
    ledger = Ledger(store, LedgerSettings(hours_days=2, days_days=3, calls_days=1, max_calls=10))
    old = str(int((NOW - timedelta(days=2)).timestamp() * 1000))
    for at in range(300):
        await store.execute("XADD", "finops:ledger", f"{old}-{at + 1}", "json", "{}")
    await booked(ledger, outcome())
    assert await store.execute("XLEN", "finops:ledger") < 300
    for name in await redis.keys("finops:usage:*"):
        days = 2 if name.startswith(b"finops:usage:h") else 3
        assert (days - 1) * 86_400 < await redis.ttl(name) <= days * 86_400
    await assert_no_key_leaks(redis, [key.pattern for key in ALL_KEYS if key.permanent])


def test_an_entry_leaves_out_empty_fields() -> None:
    entry = orjson.loads(entry_of(outcome(dimensions={"app": "x\x1fy", "tier": "gold"}, asked="m" * 500), at_ms=5))
    assert entry["at"] == 5
    assert entry["dims"] == {"app": "xy", "tier": "gold"}
    assert len(entry["asked"]) == 200
    assert not {"job", "content", "images"} & set(entry)
    assert who(ANONYMOUS) == {}
    assert orjson.loads(entry_of(outcome(cost=UNPRICED)))["priced"] is False
    assert orjson.loads(entry_of(outcome(cost=UNPRICED, usage=Usage(), status=503)))["priced"] is True


def test_credentials_never_get_into_the_ledger() -> None:
    redaction = Redaction([r"\b\d{16}\b", r"[a-z]+@example\.com"])
    text = (
        "key sk-proj-abcdefghijklmnop, sk-bf-"
        + "x" * 43
        + ", Bearer eyJhbGciOiJIUzI1NiJ9, card 4111111111111111, a@example.com"
    )
    clean = redaction.text(text)
    for secret in ("abcdefghijklmnop", "xxxx", "eyJ", "4111", "a@example"):
        assert secret not in clean
    assert redaction.body(b"\xff\xfe") == "[2 bytes]"
    assert len(redaction.body(b"y" * 10 * MAX_CONTENT)) == MAX_CONTENT


def test_focus_has_its_mandatory_columns_in_order() -> None:
    mandatory = {column.name for column in COLUMNS if column.level == "Mandatory"}
    assert mandatory == {
        "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
        "BillingPeriodStart",
        "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
        "EffectiveCost", "HostProviderName", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit",
        "ServiceCategory", "ServiceName", "ServiceProviderName",
    }  # fmt: skip
    own = [name for name in NAMES if not name.startswith("x_")]
    assert own == sorted(own)
    assert list(NAMES[len(own) :]) == sorted(NAMES[len(own) :])


def test_a_call_is_a_charge() -> None:
    entry = orjson.loads(entry_of(outcome(), at_ms=1_767_225_599_000))  # 2025-12-31 23:59:59
    row = focus_row(entry)
    check_row(row)
    assert row["BilledCost"] == row["EffectiveCost"] == "0.00045"
    assert row["ListCost"] == "0.0005"
    assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == ("120", "Tokens")
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z")
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2025-12-31T23:00:00Z", "2026-01-01T00:00:00Z")
    assert orjson.loads(row["Tags"] or "") == {"app": "shop", "customer": "acme", "surface": "openai", "team": "search"}
    assert (row["SubAccountId"], row["SkuId"], row["x_Priced"]) == ("a", "openai/gpt-4o", "true")


@pytest.mark.parametrize(
    ("usage", "quantity"),
    [
        (Usage(milliseconds=1500), ("1.5", "Seconds")),
        (Usage(characters=7), ("7", "Characters")),
        (Usage(images=2), ("2", "Images")),
        (Usage(), ("1", "Requests")),
    ],
)
def test_focus_units_other_than_tokens(usage: Usage, quantity: tuple[str, str]) -> None:
    row = focus_row(orjson.loads(entry_of(outcome(usage=usage))))
    check_row(row)
    assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == quantity


def test_names_of_hostile_callers_do_not_break_the_file() -> None:
    entries = [
        orjson.loads(entry_of(outcome(model=" =cmd|' \n", provider="", asked=" "))),
        orjson.loads(entry_of(outcome(model="", provider="", asked="", caller=ANONYMOUS, surface=""))),
    ]
    rows = list(csv.DictReader(io.StringIO("".join(focus_csv(entries)))))
    assert [row["ServiceProviderName"] for row in rows] == ["Unknown", "Unknown"]
    assert rows[0]["ServiceName"] == "'=cmd|'"
    assert (rows[1]["SkuId"], rows[1]["PricingQuantity"], rows[1]["Tags"]) == ("Unknown/chat.completions", "120", "")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("BilledCost", None),
        ("BilledCost", "a lot"),
        ("BillingCurrency", "EUR"),
        ("ChargePeriodStart", "2026-01-01"),
        ("Tags", "{"),
        ("ServiceName", " x"),
        ("PricingQuantity", None),
        ("ConsumedUnit", None),
    ],
)
def test_rows_that_break_the_specification_are_refused(column: str, value: str | None) -> None:
    row = focus_row(orjson.loads(entry_of(outcome())))
    row[column] = value
    with pytest.raises(InvalidFocus, match=column if column != "ConsumedUnit" else "Consumed"):
        check_row(row)


def test_a_row_without_every_column_is_refused() -> None:
    with pytest.raises(InvalidFocus):
        check_row({})


def test_large_files_come_in_pieces() -> None:
    entries = [orjson.loads(entry_of(outcome())) for _ in range(500)]
    assert len(list(focus_csv(entries))) > 2
    assert len(list(csv_text(entries))) > 1
    assert "".join(focus_csv(entries, header=False)).count("\n") == 500


def test_files_of_rows() -> None:
    rows = [{"a": 1, "b": "=1+1", "c": {"x": [1]}}, {"a": None, "b": "x"}]
    assert "".join(csv_text(rows)) == 'a,b,c\r\n1,\'=1+1,"{""x"":[1]}"\r\n,x,\r\n'
    assert "".join(csv_text([], ["a", "b"])) == "a,b\r\n"
    assert b"".join(json_lines(rows)) == b'{"a":1,"b":"=1+1","c":{"x":[1]}}\n{"a":null,"b":"x"}\n'


def test_recent_hours_dominate_the_spend_rate() -> None:
    assert spend_rate([]) == 0
    assert spend_rate([100, 100, 100]) == pytest.approx(100)
    assert spend_rate([0] * 20 + [100] * 6) > 45
    assert spend_rate([100, 50], part_of_last=0.5) == pytest.approx(100)


def test_forecast_of_when_a_budget_is_exhausted() -> None:
    assert forecast(50, 100, left_s=7200, rate=50).exhausted_in_s == 3600
    assert forecast(50, 100, left_s=1800, rate=50).exhausted_in_s is None
    assert forecast(50, 100, left_s=1800, rate=50).projected_micro_usd == 75
    assert forecast(50, 100, left_s=1800, rate=0).exhausted_in_s is None
    assert forecast(100, 100, left_s=1800, rate=0).exhausted_in_s == 0


def test_a_day_far_above_the_baseline_is_anomalous() -> None:
    dollars = [5_000_000, 6_000_000, 4_000_000, 5_500_000, 5_000_000, 90_000_000, 4_500_000]
    assert baseline(dollars, 30_000_000).anomalous
    assert not baseline(dollars, 7_000_000).anomalous
    assert not baseline(dollars[:3], 30_000_000).anomalous  # no habit yet
    assert not baseline([], 30_000_000).anomalous
    assert not baseline([10, 10, 10, 10, 10], 900_000).anomalous  # cents
