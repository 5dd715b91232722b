"""Two releases on one store: what a newer one wrote is refused, never misread."""

from collections.abc import AsyncIterator

import orjson
import pytest

from shared.checks.store import check_store
from shared.errors import StoreUnavailable
from shared.governance import keyspace
from shared.governance.keys.model import VirtualKey
from shared.governance.ledger.call_log import CallLog
from shared.jobs.job_fields import job_from_fields
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.store.errors import StoreRefused
from shared.store.multiplexed import MultiplexedClient
from shared.store.requirements import StoreUnsuitable, check_server
from shared.store.schema import SCHEMA, SCHEMA_KEY, check_schema


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[MultiplexedClient]:
    client = MultiplexedClient(redis_url)
    yield client
    await client.aclose()


async def test_an_empty_store_is_marked_and_one_of_a_newer_release_refused(redis_url: str, store: RedisCommands):
    for _ in range(2):
        await check_server(store, allow_eviction=False)
        assert await store.execute("GET", SCHEMA_KEY) == str(SCHEMA).encode()
    await store.execute("SET", SCHEMA_KEY, SCHEMA + 1)
    with pytest.raises(
        StoreUnsuitable, match=f"has schema {SCHEMA + 1}, and this release knows up to {SCHEMA}: .*Upgrade"
    ):
        await check_server(store, allow_eviction=False)
    findings = {finding.check: finding for finding in await check_store(redis_url, Settings())}
    assert (findings["store schema"].level, findings["store schema"].fix) == (
        "FAIL",
        "upgrade this installation of finops",
    )


async def test_a_mark_that_is_no_number_is_a_newer_releases(store: RedisCommands):
    await store.execute("SET", SCHEMA_KEY, "2027-01")
    with pytest.raises(StoreUnsuitable, match="schema 2027-01"):
        await check_server(store, allow_eviction=False)


class FullStore:
    """A store that reads and takes no writes."""

    async def execute(self, *command: str | int, retry_safe: bool = False) -> bytes | None:
        if command[0] != "GET":
            raise StoreRefused("OOM", "the store is full")
        return None


async def test_a_store_that_takes_no_writes_is_not_refused_for_its_schema():
    await check_schema(FullStore())  # type: ignore[arg-type]


def test_a_job_of_a_newer_release_is_unavailable():
    fields = {b"state": b"queued", b"v": b"1"}
    assert job_from_fields("a", fields).version == 1
    with pytest.raises(StoreUnavailable, match=r"job a was written by a newer release .*version 2"):
        job_from_fields("a", {**fields, b"v": b"2"})


def test_a_virtual_key_of_a_newer_release_is_unavailable():
    stored = orjson.dumps({"v": 1, "id": "vk_0", "name": "a", "settings": {}})
    assert VirtualKey.from_json(stored).name == "a"
    with pytest.raises(StoreUnavailable, match="newer release"):
        VirtualKey.from_json(stored.replace(b'"v":1', b'"v":2'))


async def test_ledger_entries_of_a_newer_release_are_left_out(store: RedisCommands):
    for version in (1, 2):
        entry = orjson.dumps({"v": version, "at": 0, "cost": version})
        await store.execute("XADD", keyspace.LEDGER, "*", "json", entry)
    found, _ = await CallLog(store).page({})
    assert [entry["cost"] for entry in found] == [1]
