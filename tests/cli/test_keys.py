"""`finops keys`: create, show, change and revoke keys."""

import json
from datetime import UTC, datetime
from typing import Any

import click
import httpx
import pytest

from cli.client.key_options import rules_of, seconds_of
from cli.views.keys import print_keys
from tests.cli.conftest import Finops
from tests.served import Served
from tests.waiting import wait_until_sync

NOTHING: dict[str, Any] = {
    "team": None, "customer": None, "budgets": (), "requests": (), "tokens": (), "models": (), "denied_models": (),
    "providers": (), "fallbacks": (), "weight": None, "max_concurrent_jobs": None, "expires_at": None, "dimensions": (),
    "max_stored_mb": None, "passthrough": None, "max_concurrent_calls": None,
}  # fmt: skip


def status_of(gateway: Served, value: str) -> int:
    body = {"model": "sim/gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"x-bf-vk": value}
    url = f"{gateway.url}/v1/chat/completions"
    return httpx.post(url, json=body, headers=headers, trust_env=False, timeout=20).status_code


@pytest.mark.process
@pytest.mark.timeout(120)
class TestCommands:
    def test_a_key_lives_and_ends(self, keys: Finops, gateway: Served) -> None:
        made = keys("create", "web shop", "--team", "web", "--budget", "50/1d", "--requests", "600/1m")
        assert made.exit_code == 0
        value = made.stdout.strip()
        assert value.startswith("sk-bf-")
        assert "only this once" in made.stderr
        assert value not in made.stderr
        key_id = made.stderr.split()[0]
        assert status_of(gateway, value) == 200

        document = keys("show", key_id)
        assert "budget $50" in document.stdout
        assert "requests 600" in document.stdout
        assert value not in document.stdout
        assert json.loads(keys("show", key_id, "--json").stdout)["limits"][1]["used"] == 1

        limit = f"budget:key:{key_id}:1d"
        raise_it = ("raise", key_id, limit, "--amount", "20", "--until", "8h", "--reason", "release night")
        assert f"{limit}: $70 until" in keys(*raise_it).stdout
        assert json.loads(keys(*raise_it, "--json").stdout)["raise"]["reason"] == "release night"
        assert keys(*raise_it[:6], "someday", *raise_it[7:]).exit_code == 2

        rotated = json.loads(keys("rotate", key_id, "--grace", "1h", "--json").stdout)
        assert status_of(gateway, value) == status_of(gateway, rotated["value"]) == 200
        assert "working for 3600 s" in keys("rotate", key_id, "--grace", "1h").stderr

        revoked = keys("revoke", key_id)
        assert revoked.stdout.strip() == f"{key_id} revoked"
        wait_until_sync(lambda: status_of(gateway, value) == 403)

    def test_for_scripts_every_answer_is_one_json_document(self, keys: Finops) -> None:
        made = json.loads(keys("create", "a", "--json").stdout)
        assert made["value"].startswith("sk-bf-")
        changed = json.loads(keys("change", made["id"], "--weight", "2", "--json").stdout)
        assert changed["weight"] == 2
        other = json.loads(keys("create", "b", "--json").stdout)["id"]
        assert [key["id"] for key in json.loads(keys("revoke", made["id"], other, "--json").stdout)] == [
            made["id"],
            other,
        ]
        assert json.loads(keys("revoke", other, "--json").stdout)["status"] == "revoked"

    def test_keys_are_listed_page_by_page(self, keys: Finops) -> None:
        ids = [json.loads(keys("create", f"k{at}", "--team", "listed", "--json").stdout)["id"] for at in range(2)]
        first = keys("list", "--team", "listed", "--limit", "1")
        assert ids[0] in first.stdout
        assert f"more with --after {ids[0]}" in first.stdout
        page = json.loads(keys("list", "--team", "listed", "--after", ids[0], "--status", "active", "--json").stdout)
        assert [key["id"] for key in page["data"]] == ids[1:]
        assert keys("list", "--team", "nobody").stdout == "no keys\n"

    def test_a_change_is_shown(self, keys: Finops) -> None:
        made = json.loads(keys("create", "a", "--dimension", "app=shop", "--json").stdout)
        changed = keys("change", made["id"], "--name", "b", "--tokens", "1.5k/1h")
        assert "1,500 tokens/1h" in changed.stdout
        assert "app=shop" in changed.stdout

    def test_what_the_gateway_refuses_is_told_in_its_words(self, keys: Finops) -> None:
        unknown = keys("revoke", "vk_nobody")
        assert unknown.exit_code == 1
        assert "key_not_found" in unknown.stderr
        assert keys("create", "a", "--weight", "0").exit_code == 1
        assert keys("show", "../jobs").exit_code == 1
        refused = keys("list", "--key", "not the admin key")
        assert refused.exit_code == 1
        assert "admin key" in refused.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("create",),
        ("change", "vk_1"),
        ("create", "a", "--budget", "50"),
        ("create", "a", "--budget", "much/1d"),
        ("create", "a", "--requests", "1.5/1m"),
        ("create", "a", "--tokens", "9" * 30 + "/1m"),
        ("create", "a", "--expires", "soon"),
        ("create", "a", "--expires", "999999999d"),
        ("create", "a", "--dimension", "app"),
        ("rotate", "vk_1", "--grace", "long"),
        ("revoke",),
    ],
)
def test_wrong_usage_is_told_before_anybody_is_asked(finops: Finops, arguments: tuple[str, ...]) -> None:
    result = finops("keys", *arguments, "--url", "http://127.0.0.1:9")
    assert result.exit_code == 2, result.output


@pytest.mark.parametrize("name", ["create", "list", "show", "change", "rotate", "revoke"])
def test_each_command_has_an_example(finops: Finops, name: str) -> None:
    assert f"finops keys {name}" in finops("keys", name, "--help").stdout


def test_the_options_become_settings() -> None:
    given = {
        **NOTHING, "team": "t", "budgets": ("$50/1d", "1_000/rolling:7d"), "requests": ("600/1m",),
        "tokens": ("1M/1m",), "models": ("openai/*",), "dimensions": ("app=a=b",), "expires_at": "2027-01-31",
    }  # fmt: skip
    assert rules_of(given) == {
        "team": "t",
        "models": ["openai/*"],
        "budgets": [{"limit_usd": 50.0, "window": "1d"}, {"limit_usd": 1000.0, "window": "rolling:7d"}],
        "rate_limits": [{"requests": 600, "window": "1m"}, {"tokens": 1_000_000, "window": "1m"}],
        "expires_at": "2027-01-31T00:00:00+00:00",
        "dimensions": {"app": "a=b"},
    }
    assert rules_of(NOTHING) == {}
    ends = datetime.fromisoformat(rules_of({**NOTHING, "expires_at": "90d"})["expires_at"])
    assert 89.9 < (ends - datetime.now(UTC)).total_seconds() / 86_400 <= 90


def test_spans_of_time() -> None:
    assert [seconds_of(text, "--grace") for text in ("90", "90s", "2m", "24h", "7d", "1w")] == [
        90, 90, 120, 86_400, 604_800, 604_800,
    ]  # fmt: skip
    with pytest.raises(click.BadParameter):
        seconds_of("1y", "--grace")


def test_what_steers_a_terminal_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_keys({"data": [{"id": "vk_1\x1b[2J", "name": "[red]x", "configured": True}]})
    document = capsys.readouterr().out
    assert "\x1b" not in document
    assert "[red]x" in document
    assert "in finops.toml" in document


def test_access_to_a_providers_objects_is_an_option() -> None:
    assert rules_of({**NOTHING, "passthrough": "account"}) == {"passthrough": "account"}
