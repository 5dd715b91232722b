"""What `finops doctor` says of keys and limits."""

from pathlib import Path
from typing import Any

import pytest

from cli.admin_key import ensure_admin_key, read_admin_key
from shared.checks.findings import Finding
from shared.checks.governance import check_address, check_admin_key, check_configured_keys, check_keys
from shared.governance.keys.store import VirtualKeyStore
from shared.settings.model import Settings
from shared.store.multiplexed import MultiplexedClient
from tests.cli.conftest import Finops

LIMIT = {"budget": {"limit_usd": 5}}


def settings_of(keys: dict[str, Any], **more: Any) -> Settings:
    return Settings.model_validate({"virtual_keys": keys, **more})


async def found(settings: Settings, url: str | None = None) -> list[tuple[str, str]]:
    return [(finding.level, finding.message) for finding in await check_keys(settings, url)]


@pytest.mark.parametrize(
    ("key", "level"),
    [("short", "FAIL"), ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "FAIL"), ("0123456789abcdefghijklmnop", "OK")],
)
def test_an_admin_key_that_can_be_guessed_fails(tmp_path: Path, key: str, level: str) -> None:
    finding = check_admin_key(Settings.model_validate({"auth": {"admin_key": key}}), None)
    assert finding.level == level
    assert key not in str(finding)


@pytest.mark.parametrize(
    ("server", "auth", "level"),
    [
        ({}, {}, "OK"),
        ({"host": "0.0.0.0"}, {}, "FAIL"),
        ({"host": "0.0.0.0"}, {"require_virtual_key": True}, "OK"),
        ({"host": "0.0.0.0", "metrics_auth": False}, {"require_virtual_key": True}, "WARN"),
    ],
)
def test_an_address_that_strangers_reach_is_a_finding(server: object, auth: object, level: str) -> None:
    finding = check_address(Settings.model_validate({"server": server, "auth": auth}))
    assert finding.level == level
    assert bool(finding.fix) == (level != "OK")


@pytest.mark.parametrize("command", ["api", "serve"])
def test_an_address_that_strangers_reach_is_refused_until_it_is_said_to_be_open(finops: Finops, command: str) -> None:
    refused = finops(command, "--host", "0.0.0.0", "--port", "0", "--data-dir", "data")
    assert refused.exit_code == 1
    assert "anyone who reaches 0.0.0.0 could use the providers' keys" in refused.stderr
    assert "--allow-open" in refused.stderr
    assert not Path("data").exists()
    # The next refusal has nothing to do with the address.
    next_one = finops(command, "--host", "0.0.0.0", "--allow-open", "--config", "missing.toml")
    assert "missing.toml: the file does not exist" in next_one.stderr


def test_without_an_admin_key_the_administration_is_closed(tmp_path: Path) -> None:
    assert check_admin_key(Settings(), read_admin_key(tmp_path)).level == "WARN"
    ensure_admin_key(tmp_path)
    assert check_admin_key(Settings(), read_admin_key(tmp_path)).level == "OK"


def test_values_that_are_not_told_apart_fail() -> None:
    keys = {"a": {"value": "sk-bf-same"}, "b": {"value": "sk-bf-same"}, "c": {"value": "the admin key"}, "d": {}}
    same, admin = check_configured_keys(settings_of(keys, auth={"admin_key": "the admin key"}))
    assert (same.level, same.message) == ("FAIL", "the same value: a, b")
    assert (admin.level, admin.message) == ("FAIL", "the admin key is also the value of c")
    assert "sk-bf-same" not in str(same)


async def test_keys_with_limits_that_are_required_are_fine() -> None:
    settings = settings_of({"a": {"value": "x", **LIMIT}}, auth={"require_virtual_key": True})
    assert await found(settings) == [("OK", "1 active, each with a limit")]


async def test_keys_without_limits_and_callers_without_keys_are_told() -> None:
    keys = {f"k{at}": {"value": f"v{at}"} for at in range(7)} | {"t": {"value": "t", "team": "red"}}
    findings = await found(settings_of(keys, teams={"red": LIMIT}, auth={"require_virtual_key": False}))
    assert findings == [
        ("WARN", "without any limit: k0, k1, k2, k3, k4 and 2 more"),
        ("WARN", "calls without a key are accepted"),
    ]


async def test_an_expired_key_in_the_file_is_told() -> None:
    keys = {"old": {"value": "x", "expires_at": "2020-01-01T00:00:00Z"}}
    findings = await found(settings_of(keys, auth={"require_virtual_key": True}))
    assert ("WARN", "configured and expired: old") in findings


async def test_no_keys_at_all_are_reported() -> None:
    assert (await found(Settings()))[0][1].startswith("none: anyone")
    assert "is required" in (await found(settings_of({}, auth={"require_virtual_key": True})))[0][1]


async def test_keys_of_the_store_are_looked_at_too(redis_url: str) -> None:
    commands = MultiplexedClient(redis_url)
    await VirtualKeyStore(commands, Settings()).create("loose", {})
    await commands.aclose()
    assert ("WARN", "without any limit: loose") in await found(Settings(), redis_url)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "ftp://nowhere"])
async def test_a_store_that_is_not_there_leaves_the_configured_ones(url: str) -> None:
    settings = settings_of({"a": {"value": "x"}})
    assert ("WARN", "without any limit: a") in await found(settings, url)


def test_each_problem_comes_with_a_fix(tmp_path: Path) -> None:
    findings: list[Finding] = [check_admin_key(Settings(), read_admin_key(tmp_path))]
    assert all(finding.fix for finding in findings)


async def test_a_limit_of_each_value_that_callers_can_leave_out_is_a_finding() -> None:
    limits = {name: {"each": LIMIT} for name in ("user", "dimension:customer")}
    keys = {"fixed": {"dimensions": {"customer": "acme"}}, "free": {}, "capped": LIMIT}
    findings = [
        finding for finding in await check_keys(settings_of(keys, limits=limits), None) if finding.check == "limits"
    ]
    assert [finding.message for finding in findings] == [
        "[limits.user] is the only limit of fixed, free, whose callers name it",
        "[limits.dimension:customer] is the only limit of free, whose callers name it",
    ]
    assert {finding.level for finding in findings} == {"WARN"}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"ledger": {"unpriced": "allow"}}, "calls without a known price pass the budgets of a"),
        ({"prices": {"acme/*": {"input": 0, "output": 0}}}, "models at a price of 0 pass the budgets of a"),
        ({"prices": {"openai/*": {"discount": 1}}}, "models at a price of 0 pass the budgets of a"),
        ({"prices": {"vllm/*": {"input": 0, "output": 0}}}, ""),
        ({"prices": {"openai/*": {"input": 1, "output": 0}}}, ""),
    ],
)
async def test_a_budget_that_something_can_pass_is_found(more: dict[str, Any], problem: str) -> None:
    keys = {"a": {"value": "sk-a", "budget": {"limit_usd": 5}}}
    findings = await check_keys(Settings.model_validate({"virtual_keys": keys, **more}), None)
    passed = [finding.message for finding in findings if finding.check == "budgets"]
    assert [problem in fact for fact in passed] == ([True] if problem else [])


async def test_budgets_of_providers_and_models_count_too() -> None:
    budget = {"budget": {"limit_usd": 5}}
    keys = {"a": {"value": "sk-a", "rate_limit": {"requests": 5}}}
    more = {"providers": {"openai": budget}, "models": {"openai/*": budget}, "ledger": {"unpriced": "allow"}}
    findings = await check_keys(Settings.model_validate({"virtual_keys": keys, **more}), None)
    (fact,) = [finding.message for finding in findings if finding.check == "budgets"]
    assert fact.endswith("provider openai, model openai/*")
