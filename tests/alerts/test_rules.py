"""A rule fires once, resolves once, keeps quiet while it is muted, and measures what it says."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from shared.alerts.evaluation import AlertEvaluator, error_rate, on_time_share, open_circuits
from shared.alerts.figures import FigureLoop, FigureWriter, read_figures, uses_figures
from shared.alerts.rules import AlertRules, Mute
from shared.errors import AlertRuleNotFound, StoreUnavailable
from shared.governance.forecasts.alerts import Alert, list_alerts
from shared.governance.ledger.writer import Ledger
from shared.jobs.queue import JobQueue
from shared.settings.alert_rules import ON_TIME_BOUNDS_S, AlertSettings
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.store.multiplexed import MultiplexedClient
from shared.telemetry.metrics import WAIT_BUCKETS_S, Metrics
from tests.jobs.conftest import new_job
from tests.jobs.test_keys import assert_every_key_is_known
from tests.waiting import wait_until
from worker.alerts import watch_rules

NOW = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)


def rule(metric: str = "queue_age", **fields: Any) -> AlertSettings:
    bounds = {} if metric == "circuit_open" or "below" in fields else {"above": 10}
    return AlertSettings.model_validate({"metric": metric, **bounds, **fields})


def rules_on(commands: RedisCommands, **rules: AlertSettings) -> AlertRules:
    return AlertRules(commands, rules or {"old": rule()})


async def raised(commands: RedisCommands) -> list[tuple[str, bool]]:
    found, _ = await list_alerts(commands)
    return [(alert.kind, alert.muted) for alert in reversed(found)]


async def test_an_alert_fires_after_its_time_and_resolves_each_once(commands: RedisCommands) -> None:
    rules = rules_on(commands, old=rule(for_s=60))
    at = NOW_MS
    seen = []
    for value, later_s in ((11, 0), (12, 59), (12, 60), (13, 61), (10, 62), (9, 63), (None, 64)):
        seen.append(await rules.step("old", value, at + later_s * 1000))
    assert seen == ["pending", "pending", "firing", "firing", "ok", "ok", "ok"]
    assert await raised(commands) == [("alert.firing", False), ("alert.resolved", False)]
    [resolved, firing], _ = await list_alerts(commands, scope="rule:old")
    assert firing.to_dict() == {
        "id": firing.id, "object": "alert", "created_at": firing.at_ms // 1000, "type": "alert.firing",
        "scope": "rule:old", "rule": "old", "status": "firing", "metric": "queue_age", "value": 12.0, "threshold": 10.0,
        "muted": False,
    }  # fmt: skip
    assert resolved.to_dict()["status"] == "resolved"
    assert (firing.since_ms, resolved.value) == (at + 60_000, 10.0)
    await assert_every_key_is_known(commands)


async def test_a_rule_that_holds_too_briefly_raises_nothing(commands: RedisCommands) -> None:
    rules = rules_on(commands, old=rule(for_s=60))
    for value, later_s in ((11, 0), (9, 30), (11, 70), (11, 100)):
        await rules.step("old", value, NOW_MS + later_s * 1000)
    assert await raised(commands) == []


async def test_two_processes_with_the_same_figure_raise_one_alert(commands: RedisCommands) -> None:
    one, two = rules_on(commands), rules_on(commands)
    await asyncio.gather(*(each.step("old", 11, NOW_MS) for each in (one, two, one, two)))
    assert await raised(commands) == [("alert.firing", False)]


async def test_a_muted_alert_is_sent_when_the_mute_ends(commands: RedisCommands) -> None:
    rules = rules_on(commands)
    until_ms = round(datetime.now(UTC).timestamp() * 1000) + 3_600_000
    await rules.mute("old", Mute("maintenance", until_ms))
    await assert_every_key_is_known(commands)
    for _ in range(2):
        await rules.step("old", 11, NOW_MS)
    [state] = await rules.list()
    assert (state.status, state.mute) == ("firing", Mute("maintenance", until_ms))
    await rules.unmute("old")
    for _ in range(2):
        await rules.step("old", 11, NOW_MS)
    await rules.step("old", 1, NOW_MS)
    assert await raised(commands) == [("alert.firing", True), ("alert.firing", False), ("alert.resolved", False)]


async def test_a_mute_silences_a_whole_alert_but_not_the_end_of_one_that_was_sent(commands: RedisCommands) -> None:
    rules = rules_on(commands)
    mute = Mute("", round(datetime.now(UTC).timestamp() * 1000) + 3_600_000)
    await rules.mute("old", mute)
    await rules.step("old", 11, NOW_MS)
    await rules.step("old", 1, NOW_MS)
    assert await raised(commands) == [("alert.firing", True), ("alert.resolved", True)]
    await rules.unmute("old")
    await rules.step("old", 11, NOW_MS)
    await rules.mute("old", mute)
    await rules.step("old", 1, NOW_MS)
    assert (await raised(commands))[2:] == [("alert.firing", False), ("alert.resolved", False)]


async def test_the_alert_of_a_rule_that_was_removed_is_resolved_once(commands: RedisCommands) -> None:
    both = rules_on(commands, old=rule(webhooks=["chat", "ops"]), kept=rule())
    for name in ("old", "kept"):
        await both.step(name, 11, NOW_MS)
    without = rules_on(commands, kept=rule())
    await without.retire(NOW_MS + 59_000)
    assert len(await raised(commands)) == 2, "a process with the older configuration may still evaluate it"
    await both.retire(NOW_MS + 61_000)
    await asyncio.gather(*(without.retire(NOW_MS + 61_000) for _ in range(3)))
    [resolved], _ = await list_alerts(commands, scope="rule:old", kind="alert.resolved")
    assert (resolved.webhooks, resolved.metric, resolved.threshold, resolved.value, resolved.muted) == (
        ("chat", "ops"), "queue_age", 10.0, None, False,
    )  # fmt: skip
    assert await raised(commands) == [("alert.firing", False)] * 2 + [("alert.resolved", False)]
    assert (await both.get("old")).status == "ok"
    assert await without.step("kept", 9, NOW_MS + 62_000) == "ok"
    assert await commands.execute("HLEN", "finops:alert-rules:firing") == 0
    await assert_every_key_is_known(commands)


async def test_a_muted_alert_of_a_rule_that_was_removed_ends_muted(commands: RedisCommands) -> None:
    rules = rules_on(commands)
    await rules.mute("old", Mute("", NOW_MS * 2))
    await rules.step("old", 11, NOW_MS)
    await AlertRules(commands, {}).retire(NOW_MS + 61_000)
    assert await raised(commands) == [("alert.firing", True), ("alert.resolved", True)]


async def test_states_are_listed_in_the_order_of_the_configuration(commands: RedisCommands) -> None:
    rules = rules_on(
        commands, b=rule(webhooks=["ops"], priority="high", for_s=5), a=rule("circuit_open", provider="sim")
    )
    await rules.step("b", 75.25, NOW_MS)
    first, second = [state.to_dict() for state in await rules.list()]
    assert first == {
        "id": "b", "object": "alert.rule", "metric": "queue_age", "condition": "queue_age above 10 for 5 s (high)",
        "status": "pending", "value": 75.25, "threshold": 10.0, "since": "2026-09-21T14:13:20.000Z",
        "evaluated_at": "2026-09-21T14:13:20.000Z", "muted": None, "webhooks": ["ops"],
    }  # fmt: skip
    assert (second["status"], second["value"], second["since"], second["evaluated_at"]) == ("ok", None, None, None)
    assert second["condition"] == "circuit_open above 0 (sim)"
    assert await AlertRules(commands, {}).list() == []


async def test_an_unknown_rule_is_not_found(commands: RedisCommands) -> None:
    rules = rules_on(commands)
    for wrong in (rules.get("x"), rules.unmute("x"), rules.mute("x", Mute("", NOW_MS))):
        with pytest.raises(AlertRuleNotFound, match="Unknown alert rule 'x'"):
            await wrong


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metric": "queue_age"}, "set either above or below"),
        ({"metric": "queue_age", "above": 1, "below": 2}, "set either above or below"),
        ({"metric": "circuit_open", "below": 1}, "below is not used by circuit_open"),
        ({"metric": "spend", "above": 1, "priority": "high"}, "priority is not used by spend"),
        ({"metric": "queue_age", "above": 1, "window_s": 60}, "window_s is not used by queue_age"),
        ({"metric": "on_time_share", "below": 0.9, "on_time_s": 4}, "on_time_s must be one of 0.002, 0.005"),
        ({"metric": "on_time_share", "below": 95}, "is a share: its threshold must be between 0 and 1"),
        ({"metric": "spend", "above": 1, "scope": "planet:x"}, "String should match pattern"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AlertSettings.model_validate(fields)


def test_conditions_read_as_sentences() -> None:
    assert rule("spend", scope="team:red", window="1h").condition == "spend above 10 (team:red, USD per hour)"
    share = rule("on_time_share", below=0.95, priority="high")
    assert share.condition == "on_time_share below 0.95 (high, within 5 s)"
    assert rule("spend").condition == "spend above 10 (USD per day)"
    assert ON_TIME_BOUNDS_S == WAIT_BUCKETS_S


# ---------------------------------------------------------------------- figures


def counted() -> Metrics:
    metrics = Metrics("worker")
    for status in (200, 200, 400, 429, 502):
        metrics.attempt("sim", status, 0.1)
    metrics.attempt("other", 200, 0.1)
    for seconds in (0.001, 4.9, 5.1, 9000):
        metrics.waited(seconds, "high")
    metrics.waited(1, "low")
    return metrics


async def test_figures_of_processes_are_summed_over_a_window(commands: RedisCommands) -> None:
    writers = [FigureWriter(commands, counted().figures) for _ in range(2)]
    for writer in writers * 2:  # the second time there is nothing to add
        await writer.write()
    await assert_every_key_is_known(commands)
    now_ms = round(datetime.now(UTC).timestamp() * 1000)
    figures = await read_figures(commands, 3600, now_ms)
    assert error_rate(rule("error_rate", above=0.1, provider="sim", min_count=10), figures) == 0.4
    assert error_rate(rule("error_rate", above=0.1, min_count=12), figures) == 4 / 12
    assert error_rate(rule("error_rate", above=0.1), figures) is None
    assert on_time_share(rule("on_time_share", below=0.9, min_count=10), figures) == 0.6
    assert on_time_share(rule("on_time_share", below=0.9, priority="high", min_count=8), figures) == 0.5
    assert on_time_share(rule("on_time_share", below=0.9, priority="normal", min_count=1), figures) is None
    assert not await read_figures(commands, 60, now_ms + 3_600_000)


async def test_figures_survive_an_outage_and_the_end_of_a_process(commands: RedisCommands) -> None:
    gone = MultiplexedClient("redis://127.0.0.1:9/0")
    counts = {"calls:sim": 3}
    writer = FigureWriter(gone, lambda: counts)
    failing = FigureLoop(writer, enabled=True)
    failing.start()
    with pytest.raises(StoreUnavailable):
        await writer.write()
    await failing.aclose()
    await gone.aclose()
    loop = FigureLoop(FigureWriter(commands, lambda: counts), enabled=True)
    loop.start()
    await loop.aclose()
    await loop.aclose()
    assert await read_figures(commands, 120, round(datetime.now(UTC).timestamp() * 1000)) == counts


async def test_figures_are_written_periodically_through_outages(
    commands: RedisCommands, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "finops.alerts")
    gone = MultiplexedClient("redis://127.0.0.1:9/0")
    tasks = [asyncio.create_task(FigureWriter(at, lambda: {"calls:sim": 1}).run(0.01)) for at in (gone, commands)]

    async def written() -> bool:
        return "written later" in caplog.text and bool(await commands.execute("KEYS", "finops:figures:*"))

    await wait_until(written)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await gone.aclose()


async def test_without_rules_that_need_them_no_figures_are_written() -> None:
    assert not uses_figures([rule(), rule("circuit_open"), rule("spend")])
    assert uses_figures([rule("error_rate", above=0.5)])
    loop = FigureLoop(FigureWriter(MultiplexedClient("redis://127.0.0.1:9/0"), dict), enabled=False)
    loop.start()
    await loop.aclose()


# ---------------------------------------------------------------------- evaluation

STATES = {
    "sim": {"circuit": "open", "circuits": [{"circuit": "half_open"}]},
    "calm": {"circuit": "closed", "circuits": []},
}


def test_open_circuits_are_counted_of_one_provider_or_all() -> None:
    assert [open_circuits(STATES, name) for name in (None, "sim", "calm", "none")] == [2, 2, 0, 0]


async def test_every_metric_is_measured_in_the_store(commands: RedisCommands) -> None:
    await JobQueue(commands).submit(new_job())
    ledger = Ledger(commands)
    ledger.book(orjson.dumps({"status": 200, "cost": 2_500_000, "team": "red", "at": NOW_MS}), "hold")
    await ledger.flush()
    await FigureWriter(commands, counted().figures).write()
    rules: Mapping[str, AlertSettings] = {
        "age": rule(above=1e6),
        "age-low": rule(above=1e6, priority="low"),
        "errors": rule("error_rate", above=0.1, provider="sim", min_count=1),
        "late": rule("on_time_share", below=0.5, min_count=1),
        "circuits": rule("circuit_open"),
        "red": rule("spend", above=2, scope="team:red"),
        "hour": rule("spend", above=3, window="1h"),
    }
    evaluator = AlertEvaluator(commands, rules, lambda: STATES)
    found = {
        name: await evaluator.measure(one, datetime.now(UTC)) for name, one in rules.items() if one.metric != "spend"
    }
    assert found["age"] is not None
    assert found["age"] >= 0
    assert {name: value for name, value in found.items() if name != "age"} == {
        "age-low": 0.0, "errors": 0.4, "late": 0.6, "circuits": 2.0,
    }  # fmt: skip
    keys = await commands.execute("KEYS", "finops:usage:h:*")  # by the store's clock
    [hour] = [key for key in keys if not key.endswith(b":groups")]
    booked = datetime.fromisoformat(f"{hour.decode()[-13:]}:00:00+00:00")
    for name in ("red", "hour"):
        assert await evaluator.measure(rules[name], booked + timedelta(minutes=59)) == 2.5
    assert await evaluator.measure(rules["red"], booked + timedelta(days=1)) == 0
    status = await evaluator.evaluate(booked - timedelta(days=1))
    assert {name for name, found in status.items() if found != "ok"} == {"circuits"}


async def test_one_process_evaluates_per_period(commands: RedisCommands) -> None:
    evaluators = [AlertEvaluator(commands, {"c": rule("circuit_open")}, lambda: STATES) for _ in range(3)]
    assert [await one.look() for one in evaluators] == [{"c": "firing"}, None, None]


async def test_rules_are_evaluated_periodically_through_outages(
    commands: RedisCommands, caplog: pytest.LogCaptureFixture
) -> None:
    gone = MultiplexedClient("redis://127.0.0.1:9/0")
    rules = {"c": rule("circuit_open")}
    tasks = [
        asyncio.create_task(watch_rules(AlertEvaluator(at, rules, lambda: STATES), 0.01)) for at in (gone, commands)
    ]

    async def evaluated() -> bool:
        return "alert rules skipped" in caplog.text and await raised(commands) == [("alert.firing", False)]

    await wait_until(evaluated)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await gone.aclose()


def test_a_configuration_names_its_rules() -> None:
    tables = {"alerts": {"old-jobs": {"metric": "queue_age", "above": 60}}}
    assert Settings.model_validate(tables).alerts["old-jobs"].holds(61)
    for name in ("Old", "a b", "x" * 65, ""):
        with pytest.raises(ValidationError):
            Settings.model_validate({"alerts": {name: tables["alerts"]["old-jobs"]}})


def test_alerts_of_other_kinds_have_no_rule() -> None:
    alert = Alert(id="alert_1-0", kind="budget.threshold", at_ms=1, scope="key:a", window="1d", used=1)
    assert "rule" not in alert.to_dict()
