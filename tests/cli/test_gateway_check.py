"""`finops doctor` asks the gateway that runs, not only its own environment."""

import json
from typing import Any

import pytest

from cli.checks import gateway as checks
from cli.checks.examination import local_url
from cli.checks.gateway import await_gateway, check_gateway
from shared.settings.model import Settings
from tests.cli.conftest import Finops
from tests.served import Served
from tests.serving import serving


@pytest.mark.process
def test_the_running_gateway_is_asked_for_its_providers(finops: Finops, gateway: Served) -> None:
    found = finops("doctor", "--json", "--url", gateway.url, "--data-dir", str(gateway.data_dir))
    findings = {finding["check"]: finding for finding in json.loads(found.stdout)}
    assert findings["gateway"]["level"] == "OK"
    assert "version" in findings["gateway"]["said"]
    assert findings["providers"]["level"] == "OK"
    assert "the running gateway has anthropic" in findings["providers"]["said"]


def app_answering(front: Any, status: int, health: Any) -> Any:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        answer = front if scope["path"] == "/" else health
        code = 200 if scope["path"] == "/" else status
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        await send({"type": "http.response.start", "status": code, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return app


OURS = {"name": "FinOps gateway", "version": "1.2.3"}


@pytest.mark.parametrize(
    ("front", "status", "health", "level", "message"),
    [
        (OURS, 200, {"status": "ok"}, "OK", "version 1.2.3; providers: none"),
        (OURS, 503, {"missing": {"redis": "away"}, "providers": {"sim": {}}}, "FAIL", "but lacks redis"),
        (OURS, 503, b"not json", "FAIL", "but lacks something"),
        ([], 200, {}, "WARN", "is not this gateway"),
        (b"<html>", 200, {}, "WARN", "is not this gateway"),
    ],
)
async def test_what_answers_is_judged(front: Any, status: int, health: Any, level: str, message: str) -> None:
    async with serving(app_answering(front, status, health)) as origin:
        finding, _ = await check_gateway(origin, "a-key")
    assert finding.level == level
    assert message in finding.message


async def test_a_gateway_that_does_not_run_is_a_warning() -> None:
    finding, providers = await check_gateway("http://127.0.0.1:1", "")
    assert (finding.level, providers) == ("WARN", [])
    assert "finops serve" in finding.fix


async def test_a_gateway_is_awaited_until_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "PAUSE_S", 0)
    statuses = [503, 503, 200]

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        status = 200 if scope["path"] == "/" else statuses.pop(0)
        await app_answering(OURS, status, {"missing": {"redis": "away"}})(scope, receive, send)

    async with serving(app) as origin:
        finding, _ = await await_gateway(origin, "", 300)
    assert (finding.level, statuses) == ("OK", [])


async def test_a_gateway_that_is_awaited_in_vain_is_a_failure() -> None:
    finding, _ = await await_gateway("http://127.0.0.1:1", "", 0)
    assert finding.level == "FAIL"
    assert "(after 0 s)" in finding.message


def test_doctor_exits_with_1_if_the_gateway_does_not_become_ready(finops: Finops) -> None:
    found = finops("doctor", "--url", "http://127.0.0.1:1", "--wait", "0", "--json")
    assert found.exit_code == 1
    assert {"gateway"} == {finding["check"] for finding in json.loads(found.stdout) if finding["level"] == "FAIL"}


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:8080"), ("::", "http://[::1]:8080"), ("10.0.0.1", "http://10.0.0.1:8080")],
)
def test_the_address_is_the_configured_one(host: str, url: str) -> None:
    assert local_url(Settings.model_validate({"server": {"host": host}})) == url
