"""Admission on the real store: reserved before, settled after, never more than one estimate too much."""

import asyncio
import math
import uuid
from calendar import isleap
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BudgetExceeded, RequestLimited, StoreUnavailable, TokenLimited
from shared.governance.forecasts.limit_status import limit_status_of
from shared.governance.ledger.reports import Reports
from shared.governance.ledger.writer import Ledger
from shared.governance.limits.guard import RESERVATION_TTL_S, UNLIMITED, LimitGuard, LimitStatus, governance_scripts
from shared.governance.limits.model import LIMIT_KINDS, Limit, LimitKind, limits_of
from shared.governance.limits.raises import Raises
from shared.governance.limits.windows import UNIT_MS, parse_window
from shared.settings.limits import Limited, RateLimitSettings
from shared.store.multiplexed import MultiplexedClient
from tests.governance.conftest import budget, meter_sums


async def test_a_call_without_limits_makes_no_round_trip() -> None:
    gone = MultiplexedClient("redis://127.0.0.1:9/0")
    assert await LimitGuard(gone).admit("a", (), cost=5, tokens=5) is UNLIMITED
    with pytest.raises(StoreUnavailable):
        await LimitGuard(gone).admit("a", (budget(1),), cost=5, tokens=5)
    await gone.aclose()


async def test_money_is_reserved_and_then_spent(guard: LimitGuard, ledger: Ledger, store: MultiplexedClient) -> None:
    admitted = await guard.admit("a", (budget(100),), cost=60, tokens=10)
    assert admitted.reservation == "a"
    assert list((await meter_sums(store)).values()) == [(0, 60)]
    ledger.book(orjson.dumps({"status": 200, "cost": 42}), "a")
    await ledger.flush()
    assert list((await meter_sums(store)).values()) == [(42, 0)]
    assert await store.execute("ZCARD", "finops:holds") == 0


async def test_a_spent_budget_refuses_before_any_work(guard: LimitGuard, ledger: Ledger) -> None:
    await guard.admit("a", (budget(100),), cost=60, tokens=0)
    await guard.admit("b", (budget(100),), cost=60, tokens=0)  # something was left: one estimate too much at most
    with pytest.raises(BudgetExceeded, match=r"budget of key:a for this day .*\$0.0001.*\$0.00012 reserved") as refused:
        await guard.admit("c", (budget(100),), cost=60, tokens=0)
    assert refused.value.should_retry is False
    ledger.release("a")
    await ledger.flush()
    await guard.admit("c", (budget(100),), cost=1, tokens=0)


@pytest.mark.parametrize(("of_job", "held"), [(False, 0), (True, 60)])
async def test_a_call_cancelled_while_it_is_admitted_holds_nothing(
    store: MultiplexedClient, *, of_job: bool, held: int
) -> None:
    ledger = Ledger(store)
    guard = LimitGuard(store, release=ledger.release)
    await guard.admit("first", (budget(100),), cost=1, tokens=0)
    ledger.release("first")
    await ledger.flush()
    admitting = asyncio.create_task(guard.admit("a", (budget(100),), cost=60, tokens=0, of_job=of_job))
    await asyncio.sleep(0)  # its command is on its way
    admitting.cancel()
    await asyncio.wait([admitting])
    assert admitting.cancelled()
    await ledger.flush()
    assert list((await meter_sums(store)).values()) == [(0, held)], "a repeat of a job's request may hold the same id"
    await ledger.aclose()
    await guard.aclose()


async def test_a_zero_budget_refuses_every_call(guard: LimitGuard) -> None:
    with pytest.raises(BudgetExceeded):
        await guard.admit("a", (budget(0),), cost=0, tokens=0)


async def test_a_refusal_reserves_under_none_of_the_limits(guard: LimitGuard, store: MultiplexedClient) -> None:
    limits = (budget(1000), Limit("requests", "team:t", "1m", 1), budget(1000, "customer:c", "1M"))
    await guard.admit("a", limits, cost=7, tokens=0)
    before = await meter_sums(store)
    with pytest.raises(
        RequestLimited, match=r"limit of requests of team:t for this minute \(UTC\) is reached: 1"
    ) as no:
        await guard.admit("b", limits, cost=7, tokens=0)
    assert 0 < (no.value.retry_after_s or 0) <= 60
    assert await meter_sums(store) == before


async def test_requests_are_counted_exactly_by_many_at_once(guard: LimitGuard, store: MultiplexedClient) -> None:
    limits = (Limit("requests", "key:a", "1d", 50), budget(10**9))
    results = await asyncio.gather(
        *(guard.admit(str(at), limits, cost=1, tokens=0) for at in range(80)), return_exceptions=True
    )
    assert sum(isinstance(answer, RequestLimited) for answer in results) == 30


async def test_tokens_are_limited_like_money(guard: LimitGuard, ledger: Ledger) -> None:
    limit = (Limit("tokens", "key:a", "rolling:1h", 100),)
    await guard.admit("a", limit, cost=0, tokens=90)
    ledger.book(orjson.dumps({"status": 200, "input": 60, "output": 40}), "a")
    await ledger.flush()
    with pytest.raises(TokenLimited, match="last 1 hour") as refused:
        await guard.admit("b", limit, cost=0, tokens=1)
    assert 3500 < (refused.value.retry_after_s or 0) <= 3660


async def test_rolling_windows_forget_slice_by_slice(guard: LimitGuard, store: MultiplexedClient, noon_ms: int) -> None:
    limit = (Limit("requests", "key:a", "rolling:1h", 2),)
    minute = 60_000
    await guard.admit("a", limit, cost=0, tokens=0, clock=str(noon_ms))
    await guard.admit("b", limit, cost=0, tokens=0, clock=str(noon_ms + 30 * minute))
    with pytest.raises(RequestLimited) as refused:
        await guard.admit("c", limit, cost=0, tokens=0, clock=str(noon_ms + 59 * minute))
    assert refused.value.retry_after_s == 120  # room comes when the first slice is wholly out of the last hour
    await guard.admit("c", limit, cost=0, tokens=0, clock=str(noon_ms + 61 * minute))
    with pytest.raises(RequestLimited):
        await guard.admit("d", limit, cost=0, tokens=0, clock=str(noon_ms + 62 * minute))


async def test_admitting_twice_reserves_once(guard: LimitGuard, store: MultiplexedClient) -> None:
    for _ in range(2):
        await guard.admit("a", (budget(100), Limit("requests", "key:a", "1d", 5)), cost=60, tokens=0)
    assert sorted((await meter_sums(store)).values()) == [(0, 60), (1, 0)]


async def test_settling_twice_counts_once(guard: LimitGuard, store: MultiplexedClient) -> None:
    await guard.admit("a", (budget(100),), cost=60, tokens=0)
    for writer in ("one", "two"):
        args: list[Any] = [writer, 1, "", "a", "settled", '{"cost":30,"status":200}']
        await store.script(governance_scripts()["settle"], (), args)
        await store.script(governance_scripts()["settle"], (), args)
    assert list((await meter_sums(store)).values()) == [(30, 0)]


async def test_the_reservation_of_a_dead_process_runs_out_and_a_late_settlement_still_counts(
    guard: LimitGuard, store: MultiplexedClient, noon_ms: int
) -> None:
    await guard.admit("dead", (budget(100),), cost=100, tokens=0, clock=str(noon_ms))
    with pytest.raises(BudgetExceeded):
        await guard.admit("b", (budget(100),), cost=1, tokens=0, clock=str(noon_ms + 1000))
    await guard.admit("b", (budget(100),), cost=1, tokens=0, clock=str(noon_ms + round(RESERVATION_TTL_S * 1000)))
    assert list((await meter_sums(store)).values()) == [(0, 1)]
    late = ["w", 1, str(noon_ms + 200_000), "dead", "settled", '{"cost":70,"status":200}']
    await store.script(governance_scripts()["settle"], (), late)
    assert list((await meter_sums(store)).values()) == [(70, 1)]


async def test_open_reservations_are_renewed(store: MultiplexedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.governance.limits.guard.RENEWALS", math.inf)
    guard = LimitGuard(store)
    await guard.admit("a", (budget(100),), cost=1, tokens=0)
    await store.execute("ZADD", "finops:holds", 5, "a")
    await guard.renew_now()
    assert float(await store.execute("ZSCORE", "finops:holds", "a")) > 5
    guard.ended("a")
    await store.execute("ZADD", "finops:holds", 5, "a")
    await guard.renew_now()
    assert float(await store.execute("ZSCORE", "finops:holds", "a")) == 5
    await guard.aclose()


async def test_thresholds_alert_once_per_window(guard: LimitGuard, ledger: Ledger, store: MultiplexedClient) -> None:
    for at, cost in enumerate((40, 15, 30, 40)):
        await guard.admit(str(at), (budget(100), budget(100, "team:t", "rolling:1d")), cost=1, tokens=0)
        ledger.book(orjson.dumps({"status": 200, "cost": cost}), str(at))
        await ledger.flush()
    alerts = [
        dict(zip(f[::2], f[1::2], strict=True)) for _, f in await store.execute("XRANGE", "finops:alerts", "-", "+")
    ]
    mine = [(int(line[b"percent"]), int(line[b"used"])) for line in alerts if line[b"scope"] == b"key:a"]
    assert mine == [(50, 55), (80, 85), (100, 125)]


async def test_outcomes_of_one_batch_are_counted_as_if_each_came_alone(
    guard: LimitGuard, store: MultiplexedClient, noon_ms: int
) -> None:
    limits = (
        budget(100),
        budget(100, "provider:p"),
        budget(100, "team:t", "rolling:1d"),
        Limit("tokens", "key:a", "1d", 999),
    )
    for name in "abcd":
        await guard.admit(name, limits, cost=10, tokens=7, clock=str(noon_ms))
    lines = [
        ["a", "settled", '{"cost":30,"input":2,"output":3,"status":200,"scopes":["provider:p"]}'],
        ["b", "settled", '{"cost":25,"input":1,"status":200,"scopes":["provider:other"]}'],
        ["b", "settled", '{"cost":25,"input":1,"status":200,"scopes":["provider:other"]}'],
        ["c", "released", ""],
    ]
    await store.script(
        governance_scripts()["settle"], (), ["w", 1, str(noon_ms), *(word for line in lines for word in line)]
    )
    sums = {key[13:].partition(b":1d")[0]: counted for key, counted in (await meter_sums(store)).items()}
    assert sums == {
        b"cost:key:a": (55, 10),
        b"cost:provider:p": (30, 10),
        b"cost:team:t:rolling": (55, 10),
        b"tokens:key:a": (6, 7),
    }
    assert await store.execute("ZRANGE", "finops:holds", 0, -1) == [b"d"]
    alerts = await store.execute("XRANGE", "finops:alerts", "-", "+")
    assert sorted(f[f.index(b"scope") + 1] for _, f in alerts) == [b"key:a", b"team:t"], "half of each is spent"


async def test_thresholds_of_a_rolling_window_count_all_its_slices(
    guard: LimitGuard, store: MultiplexedClient, noon_ms: int
) -> None:
    slice_ms = parse_window("rolling:1d").slice_ms
    for at in range(3):
        clock = str(noon_ms + at * slice_ms)
        await guard.admit(str(at), (budget(100, window="rolling:1d"),), cost=1, tokens=0, clock=clock)
        line = [str(at), "settled", '{"cost":30,"status":200}']
        await store.script(governance_scripts()["settle"], (), ["w", at + 1, clock, *line])
    alerts = await store.execute("XRANGE", "finops:alerts", "-", "+")
    facts = [dict(zip(f[::2], f[1::2], strict=True)) for _, f in alerts]
    assert [(fact[b"percent"], fact[b"used"]) for fact in facts] == [(b"50", b"60"), (b"80", b"90")]


async def test_headers_show_the_tightest_limit(guard: LimitGuard) -> None:
    limits = (
        Limit("requests", "key:a", "1m", 10),
        Limit("requests", "team:t", "1d", 3),
        Limit("tokens", "key:a", "1h", 1000),
        budget(5),
    )
    headers = (await guard.admit("a", limits, cost=1, tokens=100)).headers()
    assert headers["x-ratelimit-limit-requests"] == "3"
    assert headers["x-ratelimit-remaining-requests"] == "2"
    assert headers["x-ratelimit-remaining-tokens"] == "900"
    assert set(headers) == {
        f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset") for kind in ("requests", "tokens")
    }
    assert headers["x-ratelimit-reset-requests"].endswith("s")


class EmbeddingLimits(RateLimitSettings):
    """A rate limit with the field of a kind that only this test knows."""

    embedding_calls: int | None = None
    embedding_tokens: int | None = None


async def test_a_row_in_the_table_makes_a_kind_of_limit(
    guard: LimitGuard, ledger: Ledger, store: MultiplexedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    common: dict[str, Any] = {"section": "rate_limit", "error": RequestLimited}
    for name, meter in (("embedding_calls", "requests"), ("embedding_tokens", "tokens")):
        label, header = f"limit of {name}", name.replace("_", "-")
        kind = LimitKind(name=name, public=name, label=label, meter=meter, field=name, header=header, **common)
        monkeypatch.setitem(LIMIT_KINDS, name, kind)
    table = EmbeddingLimits(embedding_calls=2, embedding_tokens=100, requests=9, window="1d")
    limits = limits_of("key:a", Limited(rate_limits=(table,)))
    assert [limit.kind for limit in limits] == ["requests", "embedding_calls", "embedding_tokens"]
    headers = (await guard.admit("a", limits, cost=0, tokens=90)).headers()
    assert headers["x-ratelimit-remaining-embedding-calls"] == "1"
    assert headers["x-ratelimit-remaining-embedding-tokens"] == "10"
    ledger.book(orjson.dumps({"status": 200, "input": 60, "output": 50}), "a")
    await ledger.flush()
    with pytest.raises(RequestLimited, match=r"limit of embedding_tokens of key:a for this day .* is reached: 100"):
        await guard.admit("b", limits, cost=0, tokens=1)
    await guard.admit("b", limits[:2], cost=0, tokens=0)
    with pytest.raises(RequestLimited, match="limit of embedding_calls"):
        await guard.admit("c", limits[:2], cost=0, tokens=0)
    rows = await limit_status_of(guard, Reports(store), Raises(store), limits, datetime.now(UTC))
    assert [(row["kind"], row["used"], row["left"]) for row in rows[1:]] == [
        ("embedding_calls", 2, 0),
        ("embedding_tokens", 110, 0),
    ]


async def test_another_kind_of_budget_has_its_own_thresholds(
    guard: LimitGuard, ledger: Ledger, store: MultiplexedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = replace(LIMIT_KINDS["cost"], name="shared_cost", public="shared_budget")
    monkeypatch.setitem(LIMIT_KINDS, row.name, row)
    await guard.admit("a", (Limit("shared_cost", "key:a", "rolling:1d", 100),), cost=1, tokens=0)
    ledger.book(orjson.dumps({"status": 200, "cost": 60}), "a")
    await ledger.flush()
    ((_, fields),) = await store.execute("XRANGE", "finops:alerts", "-", "+")
    assert dict(zip(fields[::2], fields[1::2], strict=True))[b"used"] == b"60"


def test_durations_in_headers() -> None:
    from shared.governance.limits.guard import _duration

    assert [_duration(ms) for ms in (350, 1000, 360_000, 3_600_000)] == ["350ms", "1s", "6m0s", "1h0m0s"]
    assert str(LimitStatus(budget(1), 0, 0, 0).limit.amount) == "1"


WINDOWS = ["1m", "1h", "1d", "1w", "1M", "rolling:1m", "rolling:6h", "rolling:30d", "rolling:1M"]


@pytest.mark.parametrize("name", WINDOWS)
async def test_script_and_python_agree_on_windows(store: MultiplexedClient, name: str, noon_ms: int) -> None:
    window = parse_window(name)
    year = datetime.fromtimestamp(noon_ms / 1000, UTC).year
    leap = next(year for year in range(year + 1, year + 10) if isleap(year))
    ahead = [datetime(year + 1, 1, 1, tzinfo=UTC), datetime(leap, 2, 29, 23, 59, 59, 999_000, tzinfo=UTC)]
    future = [noon_ms, *(round(moment.timestamp() * 1000) for moment in ahead)]
    past = [0, 951_782_400_000, 1_709_164_799_999, 1_735_689_600_000, 1_767_225_599_999, 4_102_444_800_000]
    for now in (*future, *past):
        id_ = uuid.uuid4().hex
        (_, facts, _) = await store.script(
            governance_scripts()["admit"],
            (),
            [id_, 1000, 0, 0, now, "calls", 0, "", "requests", "requests", id_, name, 10],
        )
        assert facts[2] == window.end_ms(now) - now
        if now in future:  # meters of windows long past are gone at once
            (key,) = await store.execute("KEYS", f"finops:meter:requests:{id_}*")
            (field,) = await store.execute("HKEYS", key)
            start = field[1:] if window.rolling else key.rsplit(b":", 1)[1]
            assert int(start) == window.start_ms(now)


@given(st.integers(0, 4_000_000_000_000), st.sampled_from(WINDOWS))
def test_a_window_contains_its_moment(now: int, name: str) -> None:
    window = parse_window(name)
    start, end = window.start_ms(now), window.end_ms(now)
    assert start <= now < end
    if not window.rolling:
        assert window.start_ms(end) == end
        assert window.start_ms(start) == start
    else:
        assert end - now >= UNIT_MS[window.unit] * window.rolling - 1


def test_known_windows() -> None:
    sunday = 4_004_683_200_000  # 2096-11-25 12:00 UTC
    results = {
        name: datetime.fromtimestamp(parse_window(name).start_ms(sunday) / 1000, UTC).isoformat()
        for name in ("1d", "1w", "1M")
    }
    assert results == {
        "1d": "2096-11-25T00:00:00+00:00", "1w": "2096-11-19T00:00:00+00:00", "1M": "2096-11-01T00:00:00+00:00",
    }  # fmt: skip
    assert parse_window("rolling:2d").name == "rolling:2d"
    assert parse_window("rolling:2d").description == "the last 2 days"


@pytest.mark.parametrize(
    "text", ["", "1", "2d", "1y", "rolling:", "rolling:d", "rolling:0d", "rolling:1000d", "x:1d", "d1"]
)
def test_invalid_windows_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a window"):
        parse_window(text)


async def test_a_call_that_can_be_limited_reserves_what_is_left(guard: LimitGuard, store: MultiplexedClient) -> None:
    two = (budget(100), budget(80, "team:t"))
    assert (await guard.admit("a", two, cost=60, tokens=0, least=5)).cost == 60
    assert (await guard.admit("b", two, cost=60, tokens=0, least=5)).cost == 20
    assert (await guard.admit("b", two, cost=60, tokens=0, least=5)).cost == 20, "once"
    with pytest.raises(BudgetExceeded):
        await guard.admit("c", two, cost=60, tokens=0, least=5)
    assert (await guard.admit("d", (budget(100),), cost=60, tokens=0, least=30)).cost == 30, "never less than the least"
    assert sorted(held for _, held in (await meter_sums(store)).values()) == [80, 110]
