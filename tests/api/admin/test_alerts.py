"""Alert rules at a running gateway: fired, delivered signed and to a chat, listed, muted, resolved."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from standardwebhooks.webhooks import Webhook

from cli.main import main
from shared import clock
from shared.alerts.evaluation import AlertEvaluator
from shared.alerts.rules import AlertRules, Mute
from shared.checks.alerts import check_alerts
from shared.settings.load import effective
from shared.settings.model import Settings
from shared.webhooks.slack import MAX_TEXT, slack_body
from tests.api.admin.administering import ADMIN, refused
from tests.api.conftest import ADMIN_KEY, KEY_A, Gateway, Start
from tests.api.test_webhooks import rows, until_delivered, worker_of
from tests.waiting import wait_until
from tests.webhooks.lane import SECRET
from tests.worker.test_webhooks import Receiver, receiver  # noqa: F401 - a fixture

RULES = {
    "old-jobs": {"metric": "queue_age", "above": 0, "webhooks": ["ops", "chat"]},
    "errors": {"metric": "error_rate", "above": 0.5, "provider": "sim", "min_count": 1},
}


@pytest.fixture
async def alerting(start: Start, receiver: Receiver) -> Gateway:  # noqa: F811
    """A gateway with alert rules, a signed receiver and a chat."""
    return await start(
        alerts=RULES,
        server={"allow_private_network": True, "max_body_mb": 1, "shutdown_grace_s": 2},
        webhooks={
            "ops": {"url": receiver.url, "secret": SECRET, "events": ["alert.firing"]},
            "chat": {"url": receiver.url.replace("/hook?a=b", "/services/T0/B0/token-of-the-chat"), "format": "slack"},
        },
    )


def evaluator_of(gateway: Gateway) -> AlertEvaluator:
    services = gateway.services
    return AlertEvaluator(services.commands, services.settings.alerts, services.inference.states)


async def fires(evaluator: AlertEvaluator, name: str) -> bool:
    return (await evaluator.evaluate())[name] == "firing"


async def rules(gateway: Gateway) -> dict[str, Any]:
    answer = await gateway.http.get("/api/alerts/rules", headers=ADMIN)
    assert answer.status_code == 200, answer.text
    return {row["id"]: row for row in answer.json()["data"]}


async def finops(gateway: Gateway, *arguments: str) -> Any:
    """Call `finops alerts` in a thread, where it runs an event loop of its own."""
    command = ["alerts", *arguments, "--url", gateway.url, "--key", ADMIN_KEY]
    return await asyncio.to_thread(CliRunner().invoke, main, command)


async def test_an_alert_is_fired_delivered_and_resolved(
    alerting: Gateway,
    receiver: Receiver,  # noqa: F811
    redis_url: str,
) -> None:
    evaluator = evaluator_of(alerting)
    await alerting.submit()
    async with worker_of(alerting, redis_url):
        await wait_until(lambda: fires(evaluator, "old-jobs"))  # once the job is a millisecond old
        await until_delivered(alerting, "event=alert.firing", 2)
        assert await alerting.worker.work_off() == 1
        assert (await evaluator.evaluate())["old-jobs"] == "ok"
        resolved = await until_delivered(alerting, "event=alert.resolved", 2)
    assert {row["webhook"] for row in resolved} == {"ops", "chat"}
    chats = [orjson.loads(body) for headers, body in receiver.requests if "webhook-id" not in headers]
    assert [chat["text"].partition(" is ")[0] for chat in chats] == [
        "[FIRING] old-jobs: queue_age", "[RESOLVED] old-jobs: queue_age",
    ]  # fmt: skip
    signed = [(headers, body) for headers, body in receiver.requests if "webhook-id" in headers]
    for headers, body in signed:
        Webhook(SECRET).verify(body, headers)
    firing = orjson.loads(signed[0][1])
    assert (firing["type"], firing["data"]["rule"], firing["data"]["status"]) == ("alert.firing", "old-jobs", "firing")
    assert "token-of-the-chat" not in json.dumps(await rows(alerting))
    listed = (await alerting.http.get("/api/alerts?type=alert.firing&scope=rule:old-jobs", headers=ADMIN)).json()
    assert [alert["rule"] for alert in listed["data"]] == ["old-jobs"]
    assert 'finops_alert_firing{rule="old-jobs"} 0.0' in (await alerting.http.get("/metrics")).text


async def test_who_was_notified_learns_of_the_end_of_a_rule_that_is_removed(
    alerting: Gateway,
    receiver: Receiver,  # noqa: F811
    redis_url: str,
) -> None:
    await alerting.submit()
    await wait_until(lambda: fires(evaluator_of(alerting), "old-jobs"))
    alerting.services.settings.alerts.clear()  # as after a restart with another configuration
    async with worker_of(alerting, redis_url):
        await evaluator_of(alerting).evaluate(clock.now() + timedelta(seconds=61))
        resolved = await until_delivered(alerting, "event=alert.resolved", 2)
    assert {row["webhook"] for row in resolved} == {"ops", "chat"}


async def test_the_error_rate_counts_the_calls_of_every_process(alerting: Gateway) -> None:
    for status in (500, 200, 500):
        model = "sim/gpt-4o" if status == 200 else f"sim/gpt-4o@status={status}"
        await alerting.post(
            "/openai/chat/completions", {"model": model, "messages": [{"role": "user", "content": "x"}]}
        )
    await alerting.services.figures.aclose()  # writes what was counted
    assert (await evaluator_of(alerting).evaluate())["errors"] == "firing"
    row = (await rules(alerting))["errors"]
    assert (row["status"], round(row["value"], 3), row["condition"]) == (
        "firing", 0.667, "error_rate above 0.5 (sim)",
    )  # fmt: skip
    assert 'finops_alert_firing{rule="errors"} 1.0' in (await alerting.http.get("/metrics")).text


async def test_a_rule_is_muted_and_unmuted_by_the_command_line(alerting: Gateway) -> None:
    muted = await finops(alerting, "mute", "errors", "--reason", "maintenance", "--until", "2999-01-01T00:00:00Z")
    assert (muted.exit_code, "at most 90 days ahead" in muted.output) == (1, True)
    muted = await finops(alerting, "mute", "errors", "--reason", "maintenance")
    assert (muted.exit_code, muted.stdout.startswith("errors is muted until ")) == (0, True), muted.output
    assert (await rules(alerting))["errors"]["muted"]["reason"] == "maintenance"
    assert (await rules(alerting))["old-jobs"]["muted"] is None
    shown = await finops(alerting, "list")
    assert "error_rate above 0.5 (sim)" in shown.stdout
    unmuted = await finops(alerting, "unmute", "errors", "--json")
    assert json.loads(unmuted.stdout)["muted"] is None
    assert (await finops(alerting, "unmute", "errors")).stdout == "errors is not muted; status: ok\n"
    audit = (await alerting.http.get("/api/audit?target=errors", headers=ADMIN)).json()["data"]
    assert [entry["action"] for entry in audit][-1] == "POST /api/alerts/{name}/mute"
    wrong = await finops(alerting, "mute", "nothing")
    assert "Unknown alert rule 'nothing'. Configured: errors, old-jobs." in wrong.output


async def test_the_command_line_lists_alerts(alerting: Gateway) -> None:
    await AlertRules(alerting.services.commands, alerting.services.settings.alerts).step("old-jobs", 7.5, 1)
    await alerting.post("/api/alerts/errors/mute", headers=ADMIN)
    found = json.loads((await finops(alerting, "list", "--json")).stdout)
    assert ([rule["status"] for rule in found["rules"]], found["alerts"][0]["value"]) == (["firing", "ok"], 7.5)
    assert "alert.firing" in (await finops(alerting, "list")).stdout


async def test_bad_mutes_are_refused(alerting: Gateway) -> None:
    path = "/api/alerts/errors/mute"
    for body, param in (
        ({"until": "2020-01-01T00:00:00Z"}, "until"), ({"until": "soon"}, "until"), ({"reason": "x" * 501}, "reason"),
        ({"till": 1}, "till"),
    ):  # fmt: skip
        assert (await refused(alerting, "POST", path, 400, json=body))["param"] == param
    unknown = await refused(alerting, "POST", "/api/alerts/%2e%2e%0a/mute", 404)
    assert unknown["code"] == "alert_not_found"
    for method, where in (("GET", "/api/alerts/rules"), ("POST", path), ("POST", "/api/alerts/errors/unmute")):
        answer = await alerting.http.request(method, where, headers={"x-bf-vk": KEY_A})
        assert answer.status_code == 401


async def test_a_chat_gets_a_test_message_and_has_no_secret(
    alerting: Gateway,
    receiver: Receiver,  # noqa: F811
    redis_url: str,
) -> None:
    async with worker_of(alerting, redis_url):
        await alerting.post("/api/webhooks/chat/test", headers=ADMIN)
        await until_delivered(alerting, "webhook=chat")
    assert receiver.requests[0][1] == b'{"text":"webhook.test: chat"}'
    error = await refused(alerting, "POST", "/api/webhooks/chat/rotate-secret", 400)
    assert "it has no secret to rotate" in error["message"]
    shown = effective(alerting.services.settings)["webhooks"]
    assert shown["chat"]["url"].endswith("/****")
    assert "hook" in shown["ops"]["url"]


def test_messages_for_chats_are_escaped_and_bounded() -> None:
    budget = {"scope": "team:<!channel>&", "percent": 80, "window": "1d", "used_usd": 8.0, "limit_usd": 10.0}
    assert orjson.loads(slack_body({"type": "budget.threshold", "data": budget})) == {
        "text": "team:&lt;!channel&gt;&amp; has used 80 % of its budget per 1d: $8.00 of $10.00"
    }
    anomaly = {"scope": "key:a", "used_usd": 8.0, "usual_usd": 1.0}
    assert b"has spent $8.00 today" in slack_body({"type": "spend.anomaly", "data": anomaly})
    unknown = {"rule": "r", "metric": "error_rate", "value": None, "threshold": 0.5}
    assert b"is unknown" in slack_body({"type": "alert.resolved", "data": unknown})
    assert orjson.loads(slack_body({"type": "async_job.failed", "data": {"id": "j"}})) == {
        "text": "async_job.failed: j"
    }
    assert len(orjson.loads(slack_body({"type": "x", "data": {"id": "y" * 9000}}))["text"]) == MAX_TEXT


# ---------------------------------------------------------------------- doctor


@pytest.fixture
async def rules_of_doctor(redis_url: str) -> AsyncIterator[Any]:
    from shared.store.multiplexed import MultiplexedClient

    commands = MultiplexedClient(redis_url)

    async def check(**tables: Any) -> list[tuple[str, str]]:
        findings = await check_alerts(commands, Settings.model_validate(tables))
        return [(finding.level, finding.message) for finding in findings]

    check.commands = commands  # type: ignore[attr-defined]
    yield check
    await commands.aclose()


async def test_doctor_names_rules_without_receiver_that_fire_or_are_not_evaluated(rules_of_doctor: Any) -> None:
    check = rules_of_doctor
    assert await check() == [("OK", "no rules are configured")]
    tables = {"alerts": {"old": {"metric": "queue_age", "above": 5}}}
    assert await check(**tables) == [
        ("WARN", "nobody is notified of old"), ("WARN", "not evaluated in the last minute: old"),
    ]  # fmt: skip
    settings = Settings.model_validate(tables)
    states = AlertRules(check.commands, settings.alerts)
    evaluator = AlertEvaluator(check.commands, settings.alerts, dict)
    await evaluator.evaluate()
    hook = {"url": "https://example.com", "secret": SECRET, "events": ["alert.firing"]}
    assert await check(**tables, webhooks={"ops": hook}) == [("OK", "1 rules, none fires")]
    [state] = await states.list()
    await states.step("old", 9, state.at_ms)
    await states.mute("old", Mute("", state.at_ms + 3_600_000))
    [(level, message)] = await check(**tables, webhooks={"ops": hook})
    assert (level, message.partition(", muted")[0]) == ("WARN", "old fires: queue_age above 5")
