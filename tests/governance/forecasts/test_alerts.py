"""Alerts: listed page by page; unusual spending is found by one process, and alerts once a day."""

from datetime import datetime, timedelta

import orjson
import pytest

from shared.errors import InvalidRequest, StoreUnavailable
from shared.governance.forecasts import anomalies
from shared.governance.forecasts.alerts import ANOMALY, THRESHOLD, Alert, alert_of, list_alerts
from shared.governance.forecasts.anomalies import AnomalyWatch
from shared.governance.keyspace import usage_day
from shared.governance.ledger.writer import Ledger
from shared.governance.limits.guard import LimitGuard
from shared.store.multiplexed import MultiplexedClient
from tests.governance.conftest import budget

USD = 1_000_000


async def spend(store: MultiplexedClient, day: datetime, **keys: int) -> None:
    """Sums of a day, each key's in two groups."""
    for key, cost in keys.items():
        for model, part in (("m", cost // 2), ("n", cost - cost // 2)):
            group = f"{key}\x1f{key}\x1f\x1f\x1fsim\x1f{model}\x1fchat.completions\x1f"
            await store.execute("HSET", usage_day(f"{day:%Y-%m-%d}"), group, f"1,0,0,9,9,0,0,{part},{part},5,1")


async def alerts(store: MultiplexedClient) -> list[Alert]:
    return (await list_alerts(store))[0]


@pytest.fixture
async def spending(store: MultiplexedClient, today_noon: datetime) -> MultiplexedClient:
    """A steady key, a new one, one without a name, and a day on which all spend much."""
    for day in range(1, 11):
        await spend(store, today_noon - timedelta(days=day), steady=2 * USD, **{"": USD})
    await spend(store, today_noon - timedelta(days=1), new=USD)
    await spend(store, today_noon, steady=20 * USD, new=20 * USD, **{"": 20 * USD})
    return store


async def test_a_key_far_above_its_baseline_alerts_once_a_day(
    spending: MultiplexedClient, today_noon: datetime
) -> None:
    watch = AnomalyWatch(spending, 300)
    assert await watch.check(today_noon) == 1
    assert await watch.check(today_noon + timedelta(hours=1)) == 0
    (alert,) = await alerts(spending)
    assert (alert.kind, alert.scope, alert.window) == (ANOMALY, "key:steady", "1d")
    assert (alert.used, alert.usual) == (20 * USD, 2 * USD)
    assert alert.to_dict()["usual_usd"] == 2.0
    assert "percent" not in alert.to_dict()


async def test_it_alerts_again_the_next_day(spending: MultiplexedClient, today_noon: datetime) -> None:
    watch = AnomalyWatch(spending, 300)
    await watch.check(today_noon)
    await spend(spending, today_noon + timedelta(days=1), steady=90 * USD)
    assert await watch.check(today_noon + timedelta(days=1)) == 1


async def test_days_before_a_keys_first_do_not_count(store: MultiplexedClient, today_noon: datetime) -> None:
    for day in range(1, 4):
        await spend(store, today_noon - timedelta(days=day), young=USD)
    await spend(store, today_noon, young=50 * USD)
    assert await AnomalyWatch(store, 300).check(today_noon) == 0


async def test_one_process_checks_per_period(spending: MultiplexedClient, today_noon: datetime) -> None:
    found = [await AnomalyWatch(spending, 300).look(today_noon) for _ in range(3)]
    assert found == [1, 0, 0]
    assert 0 < await spending.execute("PTTL", "finops:alerts:watch") <= 300_000


async def test_past_days_are_read_once(spending: MultiplexedClient, today_noon: datetime) -> None:
    watch = AnomalyWatch(spending, 300)
    await watch.check(today_noon)
    past = [today_noon - timedelta(days=back) for back in range(1, 11)]
    await spending.execute("DEL", *[usage_day(f"{day:%Y-%m-%d}") for day in past])
    assert await spending.execute("DEL", f"finops:alerted:anomaly:steady:{today_noon:%Y-%m-%d}") == 1
    assert await watch.check(today_noon) == 1


async def test_the_number_of_groups_read_is_bounded(
    store: MultiplexedClient, monkeypatch: pytest.MonkeyPatch, today_noon: datetime
) -> None:
    monkeypatch.setattr(anomalies, "SCAN_COUNT", 10)
    monkeypatch.setattr(anomalies, "MAX_GROUPS", 20)
    for n in range(700):
        await spend(store, today_noon, **{f"k{n}": 2})
    spent = await AnomalyWatch(store, 300)._spend(f"{today_noon:%Y-%m-%d}")
    assert 0 < len(spent) < 700


async def test_an_alert_that_cannot_be_written_is_logged(
    spending: MultiplexedClient, caplog: pytest.LogCaptureFixture, today_noon: datetime
) -> None:
    await spending.execute("SET", "finops:alerts", "no stream")
    assert await AnomalyWatch(spending, 300).check(today_noon) == 0
    assert "could not be written" in caplog.text


async def test_lists_are_read_page_by_page_and_by_kind(
    spending: MultiplexedClient,
    guard: LimitGuard,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    today_noon: datetime,
) -> None:
    monkeypatch.setattr("shared.governance.forecasts.alerts._PAGE", 2)
    await AnomalyWatch(spending, 300).check(today_noon)
    await guard.admit("a", (budget(100), budget(200, "team:t")), cost=1, tokens=0)
    ledger.book(orjson.dumps({"status": 200, "cost": 170}), "a")
    await ledger.flush()
    everything = await alerts(spending)
    assert [(alert.scope, alert.percent) for alert in everything] == [
        ("team:t", 80), ("team:t", 50), ("key:a", 100), ("key:a", 80), ("key:a", 50), ("key:steady", 0),
    ]  # fmt: skip
    first, more = await list_alerts(spending, limit=4)
    rest, end = await list_alerts(spending, after=first[-1].id, limit=4)
    assert (more, end, first + rest) == (True, False, everything)
    assert [a.scope for a in (await list_alerts(spending, kind=ANOMALY))[0]] == ["key:steady"]
    assert len((await list_alerts(spending, kind=THRESHOLD, scope="key:a"))[0]) == 3
    document = everything[2].to_dict()
    assert (document["type"], document["limit_usd"], document["used_usd"], document["percent"]) == (
        THRESHOLD,
        0.0001,
        0.00017,
        100,
    )


@pytest.mark.parametrize("cursor", ["x", "alert_", "alert_1", "alert_\u0661-0", "alert_1-0\n", "alert_1-0 +", "1-0"])
async def test_an_invalid_cursor_is_refused(store: MultiplexedClient, cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        await list_alerts(store, after=cursor)


async def test_an_unknown_kind_is_refused(store: MultiplexedClient) -> None:
    with pytest.raises(InvalidRequest, match=r"budget\.threshold"):
        await list_alerts(store, kind="other")


async def test_an_unavailable_store_is_reported() -> None:
    gone = MultiplexedClient("redis://127.0.0.1:9/0")
    with pytest.raises(StoreUnavailable):
        await list_alerts(gone)
    await gone.aclose()


def test_alerts_of_an_earlier_version_are_thresholds() -> None:
    alert = alert_of(b"1795000000000-1", {b"scope": b"key:a", b"window": b"1d", b"percent": b"50", b"limit": b"9"})
    assert (alert.id, alert.kind, alert.at_ms) == ("alert_1795000000000-1", THRESHOLD, 1_795_000_000_000)
