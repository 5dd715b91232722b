"""One misconfiguration a row, and what `finops doctor` says of it.

Of the front door, forwarding, deliveries, the store, access, upstreams and encryption.
"""

import dataclasses
import resource
from typing import Any

import pytest

from shared.checks.findings import Finding
from shared.checks.governance import check_address, check_admin_key, check_configured_keys, check_keys
from shared.checks.limits import check_limits
from shared.checks.providers import check_providers
from shared.checks.store import _judge
from shared.settings.model import Settings
from tests.cli.test_doctor import SOUND

ADMIN = "0123456789abcdefghijklmnop"
KEY = {"value": "sk-bf-a-0123456789", "rate_limit": {"requests": 5}}
PUBLIC = {"host": "0.0.0.0"}
HOOK = {"url": "http://hooks.example.com/x", "secret": "whsec_" + "a" * 32}


def provider(**more: Any) -> dict[str, Any]:
    return {"providers": {"up": {"wire": "openai", "base_url": "http://127.0.0.1:9", **more}}}


async def findings_of(tables: dict[str, Any], facts: dict[str, Any]) -> list[Finding]:
    settings = Settings.model_validate(tables)
    return [
        check_address(settings),
        check_admin_key(settings, None),
        *check_limits(settings),
        *check_configured_keys(settings),
        *await check_keys(settings, None),
        *(await check_providers(settings, {}) if settings.providers else ()),
        *_judge(dataclasses.replace(SOUND, **facts), settings),
    ]


MISCONFIGURED = [
    # 1. The front door.
    ({"server": {"max_body_mb": 100, "max_inflight_mb": 50}}, {}, "limits", "WARN", "max_inflight_mb only 50"),
    ({"server": {"max_connections": 1_000_000}}, {}, "limits", "WARN", "may open 4096 files"),
    ({"server": {"trusted_proxies": ["0.0.0.0/0"]}}, {}, "limits", "WARN", "callers can choose the address"),
    ({"server": {"trusted_proxies": ["::/0"]}}, {}, "limits", "WARN", "callers can choose the address"),
    # 2. Objects in providers' accounts.
    ({"virtual_keys": {"a": {**KEY, "passthrough": "account"}}}, {}, "virtual keys", "WARN", "accounts: a"),
    # 3. Deliveries.
    ({"server": {"allow_private_network": True}}, {}, "webhooks", "WARN", "metadata services"),
    ({"webhooks": {"orders": HOOK}}, {}, "webhooks", "WARN", "in clear: orders"),
    # 4. The store.
    ({}, {"eviction_policy": "allkeys-lru"}, "store eviction", "FAIL", "allkeys-lru"),
    ({"redis": {"allow_eviction": True}}, {"eviction_policy": "volatile-ttl"}, "store eviction", "WARN", "allowed by"),
    ({}, {"role": "slave"}, "store role", "FAIL", "refuses writes"),
    ({}, {"appendfsync": None, "persistent": False}, "store persistence", "FAIL", "a restart loses every job"),
    ({"jobs": {"durability": "fsync"}}, {"appendfsync": None}, "durability", "FAIL", "has no effect"),
    ({"jobs": {"durability": "replicated"}}, {"replicas": 0}, "durability", "FAIL", "every submit is refused"),
    ({"jobs": {"max_stored_mb": 200}}, {"max_memory_bytes": 128 << 20}, "store memory", "WARN", "one caller may fill"),
    ({"files": {"max_mb": 200, "max_stored_mb_per_key": 100}}, {}, "limits", "WARN", "max_stored_mb_per_key only 100"),
    # 5. Access.
    ({"server": PUBLIC}, {}, "address", "FAIL", "anyone who reaches 0.0.0.0"),
    (
        {"server": {**PUBLIC, "metrics_auth": False}, "virtual_keys": {"a": KEY}},
        {},
        "address",
        "WARN",
        "serves /metrics without a key",
    ),
    ({"auth": {"admin_key": "a" * 30}}, {}, "admin key", "FAIL", "can be guessed"),
    ({}, {}, "admin key", "WARN", "none is configured"),
    ({"auth": {"admin_key": ADMIN, "monitoring_token": ADMIN}}, {}, "admin key", "WARN", "the monitoring token too"),
    (
        {"auth": {"admin_key": KEY["value"]}, "virtual_keys": {"a": KEY}},
        {},
        "virtual keys",
        "FAIL",
        "the admin key is also the value of a",
    ),
    ({"virtual_keys": {"a": KEY, "b": KEY}}, {}, "virtual keys", "FAIL", "the same value: a, b"),
    (
        {"auth": {"require_virtual_key": False}, "virtual_keys": {"a": KEY}},
        {},
        "virtual keys",
        "WARN",
        "calls without a key are accepted",
    ),
    # 6. Upstreams.
    ({"server": {"max_answer_mb": 600}}, {}, "limits", "WARN", "max_answers_mb only 512"),
    (provider(ca_file="/nowhere/ca.pem"), {}, "provider up", "FAIL", "/nowhere/ca.pem"),
    (provider(client_cert="/nowhere/cert.pem"), {}, "provider up", "FAIL", "/nowhere/cert.pem"),
    (provider(proxy="http://127.0.0.1:1"), {}, "provider up", "FAIL", "cannot be reached"),
    (
        provider(base_url="http://192.0.2.1/v1", proxy="http://127.0.0.1:1", keys=["sk-x"]),
        {},
        "provider up",
        "WARN",
        "its key crosses the network in clear",
    ),
]


@pytest.fixture(autouse=True)
def open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (4096, 4096))


@pytest.mark.parametrize(
    ("tables", "facts", "check", "level", "text"), MISCONFIGURED, ids=[f"{row[2]}: {row[4]}" for row in MISCONFIGURED]
)
async def test_a_misconfiguration_is_named_with_a_fix(
    tables: dict[str, Any], facts: dict[str, Any], check: str, level: str, text: str
) -> None:
    server = {"max_connections": 4000, **tables.get("server", {})}
    findings = await findings_of({**tables, "server": server}, facts)
    found = [(each.check, each.level) for each in findings if text in each.message and each.fix]
    assert (check, level) in found, [each.message for each in findings]


async def test_a_sound_configuration_has_nothing_to_fix() -> None:
    tables = {
        "auth": {"admin_key": ADMIN},
        "virtual_keys": {"a": KEY},
        "server": {"max_connections": 4000, "trusted_proxies": ["10.0.0.0/8", "fd00::/16"]},
        "webhooks": {
            "orders": {**HOOK, "url": "https://hooks.example.com/x"},
            "own": {**HOOK, "url": "http://127.0.0.1/x", "allow_private_network": True},
            "cluster": {**HOOK, "url": "http://orders/x", "allow_private_network": True},
            "local": {**HOOK, "url": "http://localhost/x", "allow_private_network": True},
        },
    }
    found = await findings_of(tables, {})
    assert [finding.message for finding in found if finding.level != "OK"] == []
    (limits,) = [finding.message for finding in found if finding.check == "limits"]
    assert limits == "answers above 16 MiB reach direct callers and fail jobs"
    aligned = Settings.model_validate({"jobs": {"max_result_mb": 32}, "server": {"max_connections": 4000}})
    assert [finding.message for finding in check_limits(aligned)] == ["none contradicts another"]


async def test_many_names_are_shortened() -> None:
    hooks = {f"hook-{number}": HOOK for number in range(7)}
    findings = check_limits(Settings.model_validate({"webhooks": hooks, "server": {"max_connections": 4000}}))
    assert any(finding.message.endswith("hook-4 and 2 more") for finding in findings)
