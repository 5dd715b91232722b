"""`finops upgrade-check`: what of the store and the configuration this release reads."""

import json
from importlib.metadata import version
from pathlib import Path

import orjson
import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from shared.checks.upgrade import RECORDS, STREAMS, check_upgrade, judge_schema, kind_of, known_names, look_at
from shared.governance import keyspace
from shared.jobs.workers import WorkerRecord
from shared.keyspace import ALL_KEYS
from shared.settings.model import Settings
from shared.store.commands import PooledCommands, RedisCommands
from shared.store.encryption import BodyCipher
from shared.store.schema import SCHEMA, SCHEMA_KEY
from shared.store.shard_tags import cluster_tag
from tests.cli.conftest import Finops

OWN = version("finops-gateway")
KNOWN = known_names(ALL_KEYS)


async def write_records(commands: RedisCommands, number: int) -> None:
    """Write one record of each kind, of a version."""
    document = orjson.dumps({"v": number, "id": "a"})
    for kind in RECORDS:
        name = (
            kind.pattern.replace("<id>", f"a{number}")
            .replace("<scope>-<request>", f"a-{number}")
            .replace("<hash>", "0")
        )
        await commands.execute(*(("SET", name, document) if kind.in_json else ("HSET", name, "v", number, "a", "b")))
    for stream in STREAMS:
        await commands.execute("XADD", stream.pattern, "*", "json", document)


async def checked(commands: RedisCommands, settings: Settings | None = None) -> dict[str, tuple[str, str]]:
    """The findings by their check: level and message."""
    found = await check_upgrade(commands, settings or Settings(), OWN, KNOWN)
    return {finding.check: (finding.level, finding.message) for finding in found}


async def test_records_of_this_release_are_read(commands: RedisCommands) -> None:
    await write_records(commands, 1)
    await commands.execute("SET", SCHEMA_KEY, SCHEMA)
    found = await checked(commands)
    assert {level for level, _ in found.values()} == {"OK"}
    assert found["jobs"][1] == "1 of version 1, which this release reads"
    assert set(found) == {kind.name for kind in (*RECORDS, *STREAMS)} | {"store schema", "keys", "workers"}
    assert found["store schema"][1] == f"{SCHEMA}; this release reads up to {SCHEMA}"


async def test_records_of_a_newer_release_fail_the_check(commands: RedisCommands) -> None:
    await write_records(commands, 1)
    await write_records(commands, 9)
    await commands.execute("SET", SCHEMA_KEY, 9)
    found = await checked(commands)
    failed = {check for check, (level, _) in found.items() if level == "FAIL"}
    assert failed == {kind.name for kind in (*RECORDS, *STREAMS)} | {"store schema"}
    assert found["jobs"][1] == "2, 1 of version 9; this release reads up to 1"


async def test_an_empty_store_is_read_and_left_as_it_is(commands: RedisCommands) -> None:
    found = await checked(commands)
    assert found == {
        "store schema": ("OK", "the store is not marked: it is empty"),
        "keys": ("OK", "0 keys, each of a kind that this release knows"),
        "workers": ("OK", f"none runs; this release is {OWN}"),
    }
    assert await commands.execute("DBSIZE") == 0


async def test_keys_that_this_release_does_not_know_are_named(commands: RedisCommands) -> None:
    await commands.execute("SET", "finops:future:a", "1")
    await commands.execute("HSET", "finops:job:a:sequel", "v", "9")
    level, message = (await checked(commands))["keys"]
    assert (level, message) == (
        "WARN",
        "2 keys, 2 of kinds that this release does not know, as finops:future:a, finops:job:a:sequel",
    )


async def test_versions_of_running_workers_are_named(commands: RedisCommands) -> None:
    async def announce(name: str, of: str) -> None:
        now_ms = 1000 * int((await commands.execute("TIME"))[0])
        worker = WorkerRecord(id=name, version=of, concurrency=1, running=0, started_ms=now_ms, seen_ms=now_ms)
        for command in worker.announcement():
            await commands.execute(*command)

    await announce("a", OWN)
    assert (await checked(commands))["workers"] == ("OK", f"1 of {OWN}, this release")
    await announce("b", "9.9")
    message = f"1 of {OWN}, 1 of 9.9 run; replace them by {OWN} first, then the API processes"
    assert (await checked(commands))["workers"] == ("OK", message)


async def test_sealed_bodies_need_their_key(commands: RedisCommands) -> None:
    key = bytes([1] * 32)
    await commands.execute("SET", "finops:job:a:payload", BodyCipher((key,)).seal(b"{}", "a"))
    assert (await checked(commands))["encryption"][0] == "FAIL"
    settings = Settings.model_validate({"store": {"encryption_key": [key.hex()]}})
    assert (await checked(commands, settings))["encryption"][0] == "OK"


async def test_a_look_ends_after_as_many_keys_as_were_asked_for(redis: Redis) -> None:
    async with redis.pipeline(transaction=False) as pipe:
        for number in range(5000):
            pipe.set(f"finops:dedupe:{number}", "a")
        await pipe.execute()
    data = await look_at(PooledCommands(redis), KNOWN, 1000)
    assert not data.whole
    assert 1000 <= data.keys < 5000
    found = {
        finding.check: finding.message
        for finding in await check_upgrade(PooledCommands(redis), Settings(), OWN, KNOWN, 1)
    }
    assert found["keys"].endswith("; the store has more, which --most-keys includes")


def test_a_mark_that_is_no_number_is_a_newer_releases() -> None:
    assert judge_schema(b"2027-01").level == "FAIL"


def test_every_key_of_the_tables_is_known() -> None:
    for key in ALL_KEYS:
        assert KNOWN.fullmatch(key.pattern.replace("<", "").replace(">", "")), key.pattern
    assert KNOWN.fullmatch("finops:meter:usd:key:support:1d:0")
    patterns = {key.pattern for key in ALL_KEYS}
    assert {kind.pattern for kind in (*RECORDS, *STREAMS)} <= patterns
    assert kind_of("finops:key:vk_1:values") is None
    assert kind_of(keyspace.LEDGER) is None


def test_the_command_reports_and_its_exit_code_says_how(redis_url: str, finops: Finops) -> None:
    with BlockingRedis.from_url(redis_url) as redis:
        redis.hset("finops:job:a", "v", "1")
        result = finops("upgrade-check", "--redis-url", redis_url, "--json")
        findings = {finding["check"]: finding for finding in json.loads(result.output)}
        assert (result.exit_code, findings["jobs"]["level"]) == (0, "OK")
        assert findings["configuration"]["said"] == "this release knows each of its settings"
        redis.hset("finops:job:a", "v", "9")
    result = finops("upgrade-check", "--redis-url", redis_url)
    assert (result.exit_code, "do not start this release on it" in " ".join(result.output.split())) == (1, True)


def test_records_of_all_shards_are_checked(redis_url: str, finops: Finops) -> None:
    with BlockingRedis.from_url(redis_url) as redis:
        redis.set("finops:shards", "3")
        redis.hset("finops:job:a", "v", "1")
        for shard in (1, 2):
            redis.hset(cluster_tag(shard).name("finops:job:a"), "v", "1")
    result = finops("upgrade-check", "--redis-url", redis_url, "--json")
    findings = {finding["check"]: finding for finding in json.loads(result.output)}
    assert findings["jobs"]["said"] == "3 of version 1, which this release reads"
    assert findings["keys"]["said"] == "4 keys, each of a kind that this release knows"


def test_settings_that_are_gone_fail_the_check(tmp_path: Path, finops: Finops) -> None:
    config = tmp_path / "finops.toml"
    config.write_text("[jobs]\nno_such_setting = 1\n")
    result = finops("upgrade-check", "--config", str(config), "--json")
    (finding,) = json.loads(result.output)
    assert (result.exit_code, finding["level"]) == (1, "FAIL")
    assert "no_such_setting" in finding["said"]


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", None])
def test_a_store_that_cannot_be_looked_at_is_another_exit_code(url: str | None, finops: Finops) -> None:
    result = finops("upgrade-check", "--json", *(("--redis-url", url) if url else ()))
    assert result.exit_code == 2
    assert json.loads(result.output)[-1]["check"] == "store"
