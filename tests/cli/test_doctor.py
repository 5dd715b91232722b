import dataclasses
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.admin_key import ensure_admin_key
from shared.checks.findings import Finding
from shared.checks.providers import check_providers
from shared.checks.store import (
    LISTED,
    _judge,
    _judge_skew,
    _judge_workers,
    _unusable,
    check_store,
    find_disabled_endpoints,
    find_unpriced,
)
from shared.governance.keys.caller import ANONYMOUS
from shared.governance.ledger.writer import CallOutcome, Ledger, entry_of
from shared.governance.pricing.usage import Usage
from shared.settings.load import load_settings
from shared.settings.model import JobSettings, ProviderSettings, RedisSettings, Settings
from shared.store.commands import RedisCommands
from shared.store.connection import StoreFacts, connect
from shared.store.embedded import EmbeddedStore
from shared.store.multiplexed import MultiplexedClient
from simulator.serve import running
from tests.cli.conftest import Finops

SOUND = StoreFacts(
    flavour="valkey",
    version=(9, 1, 2),
    persistent=True,
    appendfsync="everysec",
    max_memory_bytes=0,
    eviction_policy="noeviction",
    used_memory_bytes=1_000_000,
    latency_ms=(0.1, 0.1, 0.1),
    is_cluster=False,
    role="master",
)


def judged(settings: Settings | None = None, **facts: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in _judge(dataclasses.replace(SOUND, **facts), settings or Settings())}


def test_a_healthy_store_has_nothing_to_fix() -> None:
    findings = judged()
    assert {finding.level for finding in findings.values()} == {"OK"}
    assert not any(finding.fix for finding in findings.values())


@pytest.mark.parametrize(
    ("facts", "check", "level"),
    [
        ({"flavour": "redis", "version": (6, 2, 1)}, "store version", "FAIL"),
        ({"flavour": "redis", "version": (7, 0, 15)}, "store version", "WARN"),
        ({"flavour": "redis", "version": (7, 2, 11)}, "store version", "OK"),
        ({"flavour": "redis", "version": (8, 0, 3)}, "store version", "WARN"),
        ({"flavour": "redis", "version": (8, 4, 0)}, "store version", "OK"),
        ({"flavour": "valkey", "version": (7, 2, 5)}, "store version", "WARN"),
        ({"flavour": "unknown", "version": ()}, "store version", "WARN"),
        ({"role": "slave"}, "store role", "FAIL"),
        ({"role": None}, "store role", "OK"),
        ({"appendfsync": None}, "store persistence", "WARN"),
        ({"appendfsync": None, "persistent": None}, "store persistence", "WARN"),
        ({"appendfsync": None, "persistent": False}, "store persistence", "FAIL"),
        ({"eviction_policy": "allkeys-lru"}, "store eviction", "FAIL"),
        ({"is_cluster": True}, "store mode", "FAIL"),
        ({"eviction_policy": None}, "store eviction", "WARN"),
        ({"used_memory_bytes": None}, "store memory", "WARN"),
        ({"used_memory_bytes": 70, "max_memory_bytes": 100}, "store memory", "OK"),
        ({"used_memory_bytes": 80, "max_memory_bytes": 100}, "store memory", "WARN"),
        ({"latency_ms": (1.0, 9.0, 9.0)}, "store latency", "WARN"),
        ({"latency_ms": (90.0, 90.0, 1.0)}, "store latency", "FAIL"),
    ],
)
def test_a_risk_for_jobs_is_reported_with_a_fix(facts: dict[str, Any], check: str, level: str) -> None:
    finding = judged(**facts)[check]
    assert finding.level == level
    assert bool(finding.fix) == (level != "OK")


@pytest.mark.parametrize("facts", [{"flavour": "redis", "version": (7, 0, 15)}, {"appendfsync": None}])
def test_fsync_durability_is_checked_against_what_the_store_can(facts: dict[str, Any]) -> None:
    promising = Settings(jobs=JobSettings(durability="fsync"))
    assert judged(promising, **facts)["durability"].level == "FAIL"
    assert "durability" not in judged(promising)


@pytest.mark.parametrize(
    ("cache", "level", "problem"),
    [
        ({"max_mb": 64}, "OK", "exact, per key, at most 64 MiB"),
        ({"max_mb": 128}, "WARN", "128 MiB of the job store's 256 MiB"),
        ({"max_mb": 128, "url": "redis://127.0.0.1:1/0"}, "OK", "at most 128 MiB"),
        ({"max_mb": 1, "scope": "shared"}, "WARN", "all keys share one cache"),
    ],
)
def test_a_cache_leaves_the_job_store_its_room(cache: dict[str, Any], level: str, problem: str) -> None:
    settings = Settings.model_validate({"cache": {"mode": "exact", **cache}})
    finding = judged(settings, max_memory_bytes=256 * 1024 * 1024)["cache"]
    assert (finding.level, problem in finding.message) == (level, True)
    assert "cache" not in judged()


@pytest.mark.parametrize(
    ("semantic", "facts", "problem"),
    [
        ({}, {}, "the store has no vector search"),
        ({"guards": "basic"}, {"vector_search": "VSIM"}, "25 of 300 traps"),
        ({"index": "memory"}, {}, ""),
        ({}, {"vector_search": "FT.SEARCH"}, ""),
    ],
)
def test_semantic_matches_want_a_vector_search_and_strict_guards(
    semantic: dict[str, Any], facts: dict[str, Any], problem: str
) -> None:
    settings = Settings.model_validate({"cache": {"mode": "semantic", "semantic": semantic}})
    finding = judged(settings, **facts)["cache"]
    assert finding.level == ("WARN" if problem else "OK")
    assert problem in finding.message


def test_eviction_that_is_allowed_by_name_is_a_warning() -> None:
    allowing = Settings(redis=RedisSettings(allow_eviction=True))
    assert judged(allowing, eviction_policy="allkeys-lru")["store eviction"].level == "WARN"


@pytest.mark.parametrize(("replicas", "level"), [(None, "WARN"), (1, "FAIL"), (2, "OK")])
def test_replicated_durability_is_checked_against_the_replicas(replicas: int | None, level: str) -> None:
    promising = Settings(jobs=JobSettings(durability="replicated", min_replicas=2))
    assert judged(promising, replicas=replicas)["durability"].level == level


def test_a_wrong_clock_and_missing_workers_are_warnings() -> None:
    assert _judge_skew(0.2).level == "OK"
    assert _judge_skew(-3).message == "3.00 s behind the store's"
    assert _judge_skew(3).level == "WARN"
    assert _judge_workers(0).level == "WARN"
    assert _judge_workers(2) == Finding("workers", "OK", "2 alive")


async def test_a_real_store_is_looked_at_in_all_its_parts(redis_url: str) -> None:
    redis = connect(redis_url)
    await redis.set("arq:queue:health-check:host-1-abc", "alive", px=10_000)
    await redis.set("arq:queue:health-check", "alive", px=10_000)
    await redis.aclose()
    findings = {finding.check: finding for finding in await check_store(redis_url, Settings())}
    assert findings["workers"].message == "1 alive"
    assert findings["store persistence"].message == "append-only file, fsync everysec"
    assert findings["store version"].message.startswith("valkey ")
    del findings["store latency"]  # the machine's, not the store's
    assert {finding.level for finding in findings.values()} == {"OK"}


@pytest.mark.parametrize(("url", "problem"), [("redis://127.0.0.1:1/0", "does not answer"), ("http://x", "http://x")])
async def test_an_unreachable_or_invalid_store_is_a_failure(url: str, problem: str) -> None:
    [finding] = await check_store(url, Settings())
    assert finding.level == "FAIL"
    assert problem in finding.message


async def test_providers_are_asked_for_their_models_and_nothing_else() -> None:
    async with running(api_keys=["right"]) as simulator:

        def provider(key: str | None) -> ProviderSettings:
            keys = [{"value": key}] if key else []
            raw = {"wire": "openai", "base_url": simulator.base_url, "keys": keys}
            return ProviderSettings.model_validate(raw)

        settings = Settings(
            providers={"known": provider("right"), "refused": provider("wrong"), "keyless": provider(None)}
        )
        findings = {finding.check: finding for finding in await check_providers(settings, {})}
        assert findings["provider known"].level == "OK"
        assert findings["provider known"].message.endswith(", 1 key")
        assert "the key is rejected" in findings["provider refused"].message
        assert findings["provider refused"].fix == "correct [providers.refused] keys"
        assert "a key is needed" in findings["provider keyless"].message
        assert {request.path for request in simulator.requests} == {"/v1/models"}
        simulator.script(status=503, times=1)
        assert [f.level for f in await check_providers(only(settings, "known"), {})] == ["WARN"]
        simulator.script(status=429, times=1)
        assert [f.level for f in await check_providers(only(settings, "known"), {})] == ["WARN"]


def only(settings: Settings, name: str) -> Settings:
    return settings.model_copy(update={"providers": {name: settings.providers[name]}})


async def test_a_provider_that_cannot_be_reached_or_has_no_key_is_a_failure() -> None:
    environ = {"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    [finding] = await check_providers(load_settings(environ=environ), environ)
    assert finding.level == "FAIL"
    assert "cannot be reached" in finding.message
    assert "sk-x" not in str(finding)
    [finding] = await check_providers(Settings(providers={"groq": ProviderSettings()}), {})
    assert (finding.level, finding.message) == ("FAIL", "no key")
    assert "GROQ_API_KEY" in finding.fix
    [finding] = await check_providers(Settings(providers={"vllm": ProviderSettings(base_url="http://[")}), {})
    assert finding.level == "FAIL"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    found = EmbeddedStore(tmp_path / ".finops")
    found.start()
    ensure_admin_key(tmp_path / ".finops")
    yield found
    found.stop()


def test_the_command_finds_the_embedded_store_and_is_content(finops: Finops, store: EmbeddedStore) -> None:
    printed = finops("doctor").stdout
    assert "append-only file, fsync everysec" in printed
    assert "finops worker" in printed
    ended = finops("doctor", "--json")
    document = json.loads(ended.stdout)
    failed = {finding["check"] for finding in document if finding["level"] == "FAIL"}
    assert failed <= {"store latency"}, "the machine's, not the store's"
    assert ended.exit_code == len(failed)
    assert {finding["check"] for finding in document} >= {
        "configuration",
        "admin key",
        "store",
        "clock",
        "providers",
        "prices",
    }


async def test_models_that_cost_nobody_knows_what_are_named(redis_url: str) -> None:
    commands = MultiplexedClient(redis_url)
    assert (await find_unpriced(commands)).level == "OK"
    ledger = Ledger(commands)
    for at in range(LISTED + 2):
        usage = Usage(input=5)
        outcome = CallOutcome(
            caller=ANONYMOUS, request_type="embeddings", provider="vllm", model=f"m{at:02}", usage=usage
        )
        ledger.book(entry_of(outcome))
    await ledger.flush()
    finding = await find_unpriced(commands)
    assert finding.level == "WARN"
    assert "vllm/m00 (1 calls)" in finding.message
    assert "and 2 more" in finding.message
    assert '[prices."vllm/m00"]' in finding.fix
    await ledger.aclose()
    await commands.aclose()


def test_files_open_to_other_users_are_a_failure(finops: Finops, store: EmbeddedStore, tmp_path: Path) -> None:
    (tmp_path / ".finops" / "admin.key").chmod(0o644)
    document = finops("doctor")
    assert document.exit_code == 1
    assert "chmod 600" in document.stdout
    (tmp_path / ".finops").chmod(0o755)
    assert "chmod 700" in finops("doctor").stdout


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_files_of_another_user_are_a_warning(finops: Finops, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o700)
    os.chown(tmp_path / "theirs", 12345, 12345)
    assert "belongs to another user" in finops("doctor", "--data-dir", str(tmp_path / "theirs")).stdout


def test_without_a_valid_configuration_the_rest_is_left(finops: Finops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINOPS_PORT", "many")
    document = finops("doctor")
    assert document.exit_code == 1
    assert "server.port" in document.stdout
    assert "providers" not in document.stdout


def test_nothing_at_all_is_no_failure_but_says_what_is_missing(finops: Finops) -> None:
    document = finops("doctor")
    assert document.exit_code == 0
    assert "finops serve" in document.stdout
    assert "OPENAI_API_KEY" in document.stdout


def test_a_deaf_store_does_not_hold_the_doctor_for_long(finops: Finops) -> None:
    began = time.monotonic()
    assert finops("doctor", "--redis-url", "redis://127.0.0.1:1/0").exit_code == 1
    assert time.monotonic() - began < 10


def test_a_wrong_password_is_named_as_such() -> None:
    finding = _unusable("redis://h/0", "the store does not answer: Authentication required.")
    assert "password" in finding.fix
    assert "start Redis" not in finding.fix
    gone = _unusable("redis://h/0", "the store does not answer: connection refused")
    assert gone.message == "redis://h/0 does not answer: connection refused"
    assert "start Redis" in gone.fix


async def test_disabled_webhook_endpoints_are_reported(commands: RedisCommands) -> None:
    settings = Settings()
    assert (await find_disabled_endpoints(commands, settings)).level == "OK"
    for number in range(LISTED + 2):
        await commands.execute("ZADD", "finops:deliveries:disabled", number, f"e{number}")
        await commands.execute("HSET", f"finops:endpoint:e{number}", "label", f"hook-{number}")
    finding = await find_disabled_endpoints(commands, settings)
    assert finding.level == "WARN"
    assert "hook-0, hook-1" in finding.message
    assert "and 2 more" in finding.message
    assert "finops webhooks test" in finding.fix


async def test_providers_are_checked_the_way_that_calls_go(tmp_path: Path) -> None:
    async with running() as simulator:
        local = ProviderSettings(wire="openai", base_url=simulator.base_url)
        proxied = local.model_copy(update={"base_url": "http://models.example.com/v1"})
        untrusted = local.model_copy(update={"ca_file": str(tmp_path / "missing.pem")})
        settings = Settings(providers={"local": local, "proxied": proxied, "untrusted": untrusted})
        # The simulator plays the proxy: nobody else answers for that name.
        environ = {"HTTP_PROXY": simulator.base_url.removesuffix("/v1")}
        findings = await check_providers(settings, environ)
        refused = await check_providers(settings, {"ALL_PROXY": "socks5://user:secret@127.0.0.1:9"})
    by_name = {finding.check: finding for finding in findings}
    assert by_name["provider local"].level == "OK"
    assert "http://models.example.com/v1 answers 200" in by_name["provider proxied"].message
    assert by_name["provider untrusted"].level == "FAIL"
    assert "missing.pem" in by_name["provider untrusted"].message
    assert [(finding.check, finding.level) for finding in refused] == [("proxy", "FAIL")]
    assert "socks5:// is not supported" in refused[0].message
    assert "secret" not in refused[0].message
