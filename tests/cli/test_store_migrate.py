"""`finops store migrate`: every type of key, interruptions, and what it refuses."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis import Redis

from bench.redis_servers import free_port
from shared.checks.store import check_store
from shared.governance.keyspace import NAMES_IN_HASHES
from shared.settings.model import Settings
from shared.store import migration
from shared.store.embedded import EmbeddedStore
from shared.store.migration import CLIENT_NAME, End, Migration, MigrationRefused
from shared.store.multiplexed import MultiplexedClient
from shared.store.schema import MIGRATING, SCHEMA, UnfinishedMigration, check_schema
from tests.cli.conftest import Finops

MEMBERS = 2500  # more than one command and one page of a stream hold


class Stores(NamedTuple):
    """Two empty databases of a server that nobody else uses."""

    source: str
    target: str
    before: "Redis[bytes]"
    after: "Redis[bytes]"


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server without clients of other tests: a migration refuses a source that is in use."""
    store = EmbeddedStore(tmp_path_factory.mktemp("store"), port=free_port())
    store.start()
    yield store.url
    store.stop()


@pytest.fixture
def stores(own_server: str) -> Iterator[Stores]:
    target = own_server.removesuffix("/0") + "/1"
    with Redis.from_url(own_server) as before, Redis.from_url(target) as after:
        before.flushall()
        yield Stores(own_server, target, before, after)


def fill(redis: "Redis[bytes]") -> None:
    """Write a key of each type, with and without an end."""
    redis.set("finops:a", b"\x00\xff", px=3_600_000)
    redis.hset("finops:h", mapping={str(at): "v" for at in range(MEMBERS)})
    redis.rpush("finops:l", *range(MEMBERS))
    redis.sadd("finops:s", *range(MEMBERS))
    redis.zadd("arq:queue", {str(at): at + 0.1 for at in range(MEMBERS)} | {"most": float("inf")})
    for at in range(MEMBERS):
        redis.xadd("finops:x", {"n": str(at)}, id=f"7-{at + 1}")
    redis.xtrim("finops:x", minid="7-3", approximate=False)
    redis.xgroup_create("finops:x", "readers", id="7-10")
    redis.xreadgroup("readers", "one", {"finops:x": ">"}, count=5)
    redis.xgroup_create("finops:empty", "readers", mkstream=True)
    redis.set("other:key", "stays")


def content(redis: "Redis[bytes]") -> dict[str, Any]:
    """Return all that ``fill`` wrote, as it is read."""
    return {
        "a": redis.get("finops:a"),
        "h": redis.hgetall("finops:h"),
        "l": redis.lrange("finops:l", 0, -1),
        "s": redis.smembers("finops:s"),
        "z": redis.zrange("arq:queue", 0, -1, withscores=True),
        "x": redis.xrange("finops:x"),
        "x-last": redis.xinfo_stream("finops:x")["last-generated-id"],
        "x-added": redis.xinfo_stream("finops:x")["entries-added"],
        "groups": [(one["name"], one["last-delivered-id"], one["pending"]) for one in redis.xinfo_groups("finops:x")],
        "pending": [
            (one["message_id"], one["consumer"], one["times_delivered"])
            for one in redis.xpending_range("finops:x", "readers", "-", "+", 100)
        ],
        "empty": (redis.xlen("finops:empty"), len(redis.xinfo_groups("finops:empty"))),
    }


def test_keys_of_every_type_are_copied_with_their_ends(stores: Stores, finops: Finops) -> None:
    fill(stores.before)
    done = finops("store", "migrate", stores.source, stores.target, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report == {
        "dry_run": False, "keys": 7, "copied": 7, "present": 0, "foreign": 1, "removed": 0, "left_out": [],
        "kinds": {"hash": 1, "list": 1, "set": 1, "stream": 2, "string": 1, "zset": 1},
    }  # fmt: skip
    assert content(stores.after) == content(stores.before)
    assert 0 < stores.after.pttl("finops:a") <= 3_600_000
    assert stores.after.pttl("finops:h") == -1
    assert stores.after.get("finops:schema") == b"%d" % SCHEMA
    assert stores.after.exists("other:key", "finops:incoming") == 0
    again = finops("store", "migrate", stores.source, stores.target)
    assert again.exit_code == 1
    assert "the target is not empty" in again.stderr


def test_a_dry_run_counts_and_writes_nothing(stores: Stores, finops: Finops) -> None:
    fill(stores.before)
    done = finops("store", "migrate", stores.source, stores.target, "--dry-run")
    assert done.stdout == (
        "7 keys: 1 hash, 1 list, 1 set, 2 stream, 1 string, 1 zset\n1 keys of others stay where they are\n"
    )
    assert stores.after.dbsize() == 0


def test_the_store_of_a_data_directory_is_copied(tmp_path: Path, stores: Stores, finops: Finops) -> None:
    store = EmbeddedStore(tmp_path / "data")
    store.start()
    held = finops("store", "migrate", str(tmp_path / "data"), stores.target)
    assert held.exit_code == 1
    assert "in use" in held.stderr
    with Redis.from_url(store.url) as redis:
        redis.set("finops:a", "1")
    store.stop()
    done = finops("store", "migrate", str(tmp_path / "data"), stores.target)
    assert done.stdout == (
        "1 keys: 1 string\n1 copied, 0 copied before; both stores hold the same\n"
        "Start API and worker processes with the URL of the target.\n"
    )
    assert stores.after.get("finops:a") == b"1"


def test_what_cannot_be_a_source_or_a_target_is_refused(stores: Stores, finops: Finops) -> None:
    assert "the same store" in finops("store", "migrate", stores.source, stores.source).stderr
    assert "neither a URL nor a data directory" in finops("store", "migrate", "nowhere", stores.target).stderr
    assert "a store URL begins with" in finops("store", "migrate", stores.source, "http://x").stderr
    assert "no connection" in finops("store", "migrate", stores.source, "redis://127.0.0.1:9/0").stderr
    stores.before.set("finops:schema", SCHEMA + 1)
    assert "written by a newer release" in finops("store", "migrate", stores.source, stores.target).stderr
    stores.before.set("finops:schema", SCHEMA)
    stores.after.set("finops:schema", MIGRATING + b"other")
    assert "another source's keys" in finops("store", "migrate", stores.source, stores.target).stderr


def test_a_source_in_use_is_refused(stores: Stores, finops: Finops) -> None:
    with Redis.from_url(stores.source, client_name="finops-worker") as worker:
        worker.ping()
        refused = finops("store", "migrate", stores.source, stores.target)
    assert refused.exit_code == 1
    assert "in use by finops-worker: stop all API and worker processes" in refused.stderr


class Stopped(Exception):
    """The copy is interrupted."""


async def migrate(stores: Stores, progress: migration.Progress | None = None) -> migration.Report:
    ends = [End(url, [MultiplexedClient(url, client_name=CLIENT_NAME)]) for url in (stores.source, stores.target)]
    try:
        copy = Migration(ends[0], ends[1], NAMES_IN_HASHES, progress=progress)
        await copy.check()
        return await copy.run()
    finally:
        for end in ends:
            await end.commands.aclose()


async def start_on(url: str) -> None:
    """Check a store as processes do at their start."""
    commands = MultiplexedClient(url, client_name="test")
    try:
        await check_schema(commands)
    finally:
        await commands.aclose()


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch, stores: Stores) -> None:
    """A source of 200 keys, whose scan takes several pages."""
    monkeypatch.setattr(migration, "PAGE", 10)
    stores.before.mset({f"finops:n:{at}": at for at in range(200)})


@pytest.mark.usefixtures("small_pages")
def test_an_interrupted_copy_goes_on_and_no_process_starts_on_it_before(stores: Stores) -> None:
    async def stop(keys: int) -> None:
        if keys >= 20:
            raise Stopped

    with pytest.raises(Stopped):
        asyncio.run(migrate(stores, stop))
    copied = stores.after.dbsize() - 1
    assert 20 <= copied < 200
    with pytest.raises(UnfinishedMigration, match="has not copied all keys"):
        asyncio.run(start_on(stores.target))
    found = asyncio.run(check_store(stores.target, Settings()))
    assert any(finding.check == "store schema" and "store migrate` again" in finding.fix for finding in found)
    stores.after.set("finops:n:gone", "expired on the source meanwhile")
    report = asyncio.run(migrate(stores))
    assert (report.copied, report.present) == (200 - copied, copied)
    assert report.removed >= 1  # the check of the store wrote a key too
    assert stores.after.dbsize() == 201
    asyncio.run(start_on(stores.target))


@pytest.mark.usefixtures("small_pages")
def test_a_source_that_changes_meanwhile_is_noticed_and_copied_by_the_next_run(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One page: of several, some may come after the last key, and would find the new one, or have it written again.
    monkeypatch.setattr(migration, "PAGE", 1000)

    async def write(keys: int) -> None:
        if keys >= 200:
            await asyncio.to_thread(stores.before.append, "finops:n:7", "more")
            await asyncio.to_thread(stores.before.set, "finops:n:new", "1")

    with pytest.raises(MigrationRefused, match=r"2 keys of the source changed .* stop it, and run this again"):
        asyncio.run(migrate(stores, write))
    report = asyncio.run(migrate(stores))
    assert (report.copied, report.present) == (2, 199)
    assert stores.after.mget("finops:n:7", "finops:n:new") == [b"7more", b"1"]


def test_what_was_copied_before_the_source_was_used_again_is_copied_anew(stores: Stores) -> None:
    """A count in a hash changes without changing how many fields there are."""
    stores.before.hset("finops:jobs:clock", mapping={"seq": 1})
    stores.before.hset("finops:meter", mapping={"u": 1})

    async def use(_: int) -> None:
        await asyncio.to_thread(stores.before.hset, "finops:jobs:clock", "seq", 2)
        await asyncio.to_thread(stores.before.hset, "finops:meter", "u", 2)

    with pytest.raises(MigrationRefused, match="the source was used while it was copied"):
        asyncio.run(migrate(stores, use))
    report = asyncio.run(migrate(stores))
    assert (report.copied, report.present) == (2, 0)
    assert stores.after.hgetall("finops:meter") == {b"u": b"2"}


def test_a_source_that_was_connected_to_meanwhile_is_refused(stores: Stores) -> None:
    stores.before.set("finops:a", "1")
    with Redis.from_url(stores.source, client_name="finops-claims") as worker:

        async def connect(_: int) -> None:
            await asyncio.to_thread(worker.ping)

        with pytest.raises(MigrationRefused, match="in use by finops-claims"):
            asyncio.run(migrate(stores, connect))
