"""Stored answers in Redis: looked up, written, bounded, purged, and never an error to a call."""

import asyncio
import platform
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from bench.redis_servers import find_binary, find_redis_8, server
from shared.cache import daily_counts, keyspace
from shared.cache import store as store_module
from shared.cache.entry import CacheEntry
from shared.cache.lookup_timer import LookupTimer
from shared.cache.purge import Purge
from shared.cache.store import CacheStore, Found, Slot
from shared.cache.write_queue import BYTES_AT_ONCE, WriteQueue
from shared.clock import now
from shared.errors import StoreUnavailable
from shared.settings.cache import CacheSettings
from shared.store.commands import RedisCommands
from shared.store.multiplexed import MultiplexedClient
from tests.key_leaks import assert_no_key_leaks
from tests.waiting import wait_until

ON_LINUX = (platform.system(), platform.machine()) == ("Linux", "x86_64")  # for which Redis 8 is a dependency
NOWHERE = "redis://127.0.0.1:9/0"


@pytest.fixture
async def store(commands: RedisCommands) -> AsyncIterator[CacheStore]:
    found = CacheStore(commands, CacheSettings(lookup_timeout_s=30))
    yield found
    await found.aclose()


def slot(equal: str = "1", scope: str = "s", partition: str = "", model: str = "p/m") -> Slot:
    return Slot(f"{scope}-{equal}", scope, partition, model)


def entry(body: bytes = b"{}", *, age_s: float = 0, ttl_s: int = 60, **more: Any) -> CacheEntry:
    fields = {"provider": "p", "model": "m", "usage": {}, **more}
    return CacheEntry(at=time.time() - age_s, ttl_s=ttl_s, body=body, **fields)


async def look(store: CacheStore, where: Slot) -> CacheEntry | None:
    return (await store.found(where, store.begin(where))).entry


async def test_an_answer_is_found_where_it_was_stored(store: CacheStore) -> None:
    assert await look(store, slot()) is None
    stored = entry(b"x" * 10_000, partition="k")
    assert store.store(slot(partition="k"), stored)
    await store.flush()
    assert await look(store, slot(partition="k")) == stored
    assert await look(store, slot("2")) is None
    assert (await store.size())[0] == 1


async def test_an_answer_that_has_expired_meanwhile_is_not_written(store: CacheStore) -> None:
    store.store(slot(), entry(age_s=61))
    await store.flush()
    assert await store.size() == (0, 0)


async def test_a_purge_forbids_and_removes_what_it_covers(store: CacheStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "SCAN_COUNT", 1)  # several steps
    slots = {
        "mine": slot("1", "a"),
        "named": slot("2", "a", "k"),
        "other model": slot("3", "a", model="p/other"),
        "theirs": slot("4", "b"),
    }

    async def served() -> set[str]:
        return {name for name, where in slots.items() if await look(store, where)}

    async def fill() -> None:
        for where in slots.values():
            provider, _, model = where.model.partition("/")
            store.store(where, entry(partition=where.partition, provider=provider, model=model))
        await store.flush()

    await fill()
    later = time.time() + 1
    assert await store.purge(Purge(scope="a", before=later), dry_run=True) == 3
    assert await served() == set(slots)
    assert await store.purge(Purge(scope="a", partition="k", before=later)) == 1
    assert await served() == set(slots) - {"named"}
    assert await store.purge(Purge(scope="a", model="p/other", before=later)) == 1
    assert await served() == {"mine", "theirs"}
    assert await store.purge(Purge(model="p/m", before=time.time() - 100)) == 0
    assert await store.purge(Purge(model="p/m", before=later)) == 2
    assert await served() == set()
    assert await store.size() == (0, 0)
    await fill()  # written by calls that were sent before the purge
    assert await served() == set()
    assert await store.purge(Purge()) == 4


async def test_an_older_purge_does_not_undo_a_later_one(store: CacheStore) -> None:
    await store.purge(Purge(before=time.time() + 1))
    await store.purge(Purge(before=time.time() - 1000))
    store.store(slot(), entry())
    await store.flush()
    assert await look(store, slot()) is None


async def test_one_entry_is_removed_by_its_id(store: CacheStore) -> None:
    store.store(slot(), entry())
    await store.flush()
    assert await store.remove(slot().id)
    assert not await store.remove(slot().id)
    assert await look(store, slot()) is None


async def test_the_size_is_bounded_and_what_expires_first_goes_first(commands: RedisCommands) -> None:
    store = CacheStore(commands, CacheSettings(max_mb=1))
    body = bytes(range(256)) * 15  # under the size that is compressed
    for number in range(600):
        store.store(slot(str(number)), entry(body, ttl_s=60 + number))
    await store.flush()
    entries, size = await store.size()
    assert 0.9 * 1024 * 1024 <= size <= 1024 * 1024
    assert 200 < entries < 280
    assert await look(store, slot("599")) is not None
    assert await look(store, slot("0")) is None
    keys = await commands.execute("KEYS", f"{keyspace.ENTRIES}*")
    assert len(keys) == entries
    await store.aclose()


async def test_replaced_and_expired_entries_are_not_counted(store: CacheStore, commands: RedisCommands) -> None:
    for _ in range(3):
        store.store(slot(), entry())
    store.store(slot("gone"), entry())
    await store.flush()
    entries, size = await store.size()
    assert entries == 2
    await commands.execute("ZADD", keyspace.AGES, 1, slot("gone").id)  # it expired long ago
    store.store(slot(), entry())
    await store.flush()
    entries, left = await store.size()
    assert entries == 1
    assert left == pytest.approx(size / 2, abs=10)  # a time is written with more or fewer digits


async def test_large_answers_and_too_many_at_once_are_dropped(
    store: CacheStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not store.store(slot(), entry(b"x" * (1024 * 1024 + 1)))
    monkeypatch.setattr(store_module, "MAX_QUEUED_BYTES", 10)
    assert store.store(slot(), entry(b"12345"))
    assert not store.store(slot(), entry(b"123456"))
    assert store.dropped == 2


@pytest.mark.parametrize("mark", [b"soon", b""])
async def test_a_garbled_mark_forbids_nothing(store: CacheStore, commands: RedisCommands, mark: bytes) -> None:
    await commands.execute("SET", keyspace.purge_mark(), mark, "EX", 60)
    store.store(slot(), entry())
    await store.flush()
    assert await look(store, slot()) is not None


async def test_garbage_is_a_miss_and_is_purged(store: CacheStore, commands: RedisCommands) -> None:
    await commands.execute("SET", keyspace.entry(slot().id), b"\x00garbage", "EX", 60)
    assert await look(store, slot()) is None
    assert await store.purge(Purge(before=time.time())) == 1


async def test_a_key_of_another_type_is_a_miss(store: CacheStore, commands: RedisCommands) -> None:
    await commands.execute("RPUSH", keyspace.entry(slot().id), "x")
    assert await look(store, slot()) is None
    await commands.execute("DEL", keyspace.entry(slot().id))


async def test_counts_are_summed_over_days(store: CacheStore, commands: RedisCommands) -> None:
    store.count("hit")
    store.count("hit")
    await store.flush()
    store.count("miss", 3)
    await store.flush()
    await commands.execute("HSET", keyspace.counts("2026-01-01"), "hit", 5)
    today = now().strftime("%Y-%m-%d")
    found = await store.counts([today, "2026-01-01", "2026-01-02"])
    assert found == {"hit": 7, "miss": 3}
    await commands.execute("DEL", keyspace.counts("2026-01-01"))


async def test_counts_are_written_by_themselves(store: CacheStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily_counts, "COUNT_EVERY_S", 0.0)
    store.count("hit")
    await wait_until(lambda: store.counts([now().strftime("%Y-%m-%d")]), 30)


async def test_every_key_dies_but_the_bounded_ones(redis: Redis, redis_url: str) -> None:
    store = CacheStore(MultiplexedClient(redis_url), CacheSettings(), owns_commands=True)
    store.store(slot(), entry())
    store.count("hit")
    await store.purge(Purge(scope="other", before=time.time()))
    await store.aclose()
    assert len(await redis.keys("finops:cache:*")) == 5
    await assert_no_key_leaks(redis, [keyspace.AGES, keyspace.SIZES])


async def test_a_store_that_is_away_is_a_miss_and_is_asked_less(caplog: pytest.LogCaptureFixture) -> None:
    store = CacheStore(MultiplexedClient(NOWHERE), CacheSettings(lookup_timeout_s=30), owns_commands=True)
    for _ in range(store_module.FAILURES):
        assert await look(store, slot()) is None
    assert "the cache does not answer" in caplog.text
    assert store.begin(slot()) is None
    assert await store.found(slot(), None) == Found()
    store.store(slot(), entry())
    store.count("hit")
    await store.flush()
    assert store.dropped == 1
    for question in (
        store.purge(Purge(before=1)),
        store.remove("a-b"),
        store.size(),
        store.counts(["2026-01-01"]),
    ):
        with pytest.raises(StoreUnavailable):
            await question
    await store.aclose()


async def test_a_late_look_up_is_a_miss() -> None:
    never = asyncio.get_running_loop().create_future()
    store = CacheStore(MultiplexedClient(NOWHERE), CacheSettings(lookup_timeout_s=0.001), owns_commands=True)
    assert await store.found(slot(), never) == Found()
    await store.aclose()


async def test_closing_does_not_wait_for_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "CLOSE_S", 0.01)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    store = CacheStore(MultiplexedClient(f"redis://127.0.0.1:{port}/0"), CacheSettings(), owns_commands=True)
    store.store(slot(), entry())
    store.count("hit")
    await store.aclose()
    server.close()


async def test_the_size_is_bounded_whatever_is_written(redis: Redis, redis_url: str) -> None:
    store = CacheStore(MultiplexedClient(redis_url), CacheSettings(max_mb=1), owns_commands=True)
    body = bytes(range(256)) * 15
    for number in range(2_800):  # ten times the bound
        store.store(slot(str(number)), entry(body))
    await store.flush()
    assert (store.dropped, (await store.size())[1] <= 1024 * 1024) == (0, True)
    lengths = [await redis.strlen(key) async for key in redis.scan_iter(f"{keyspace.ENTRIES}*")]
    assert 0.9 * 1024 * 1024 <= sum(lengths) <= 1024 * 1024
    await store.aclose()


@pytest.mark.parametrize("find", [find_binary, find_redis_8] if ON_LINUX else [find_binary])
async def test_answers_are_stored_bounded_and_purged_on_other_servers(tmp_path: Path, find: Callable[[], str]) -> None:
    """Redis and Valkey write Lua's numbers differently; the other tests run on the bundled server."""
    with server(tmp_path / "store", binary=find()) as installed:
        store = CacheStore(
            MultiplexedClient(installed.url), CacheSettings(max_mb=1, lookup_timeout_s=30), owns_commands=True
        )
        for number in range(5):
            store.store(slot(str(number % 4)), entry(bytes(range(256)) * 1600))
        await store.flush()
        assert store.dropped == 0
        assert await look(store, slot("0"))
        assert (await store.size())[0] >= 2
        assert await store.purge(Purge()) >= 2
        assert await store.size() == (0, 0)
        await store.aclose()


async def test_one_timer_gives_up_what_is_late_and_nothing_else() -> None:
    loop, timer = asyncio.get_running_loop(), LookupTimer(0.02)
    answered, late, later = loop.create_future(), loop.create_future(), loop.create_future()
    waiting = [asyncio.ensure_future(timer.reply(pending)) for pending in (answered, late)]
    loop.call_soon(answered.set_result, [b"x"])  # in the turn in which they begin to wait
    assert await asyncio.gather(*waiting) == [[b"x"], None]
    assert await timer.reply(answered) == [b"x"]
    assert await timer.reply(later) is None


async def test_a_caller_that_leaves_its_look_up_is_not_waited_for() -> None:
    loop, timer = asyncio.get_running_loop(), LookupTimer(0.02)
    pending, late = loop.create_future(), loop.create_future()
    waiting = asyncio.ensure_future(timer.reply(pending))
    loop.call_soon(waiting.cancel)  # in the turn in which it begins to wait
    assert await timer.reply(late) is None
    assert pending.cancelled()


async def test_writes_leave_together_and_those_that_are_alone_after_them() -> None:
    done: list[list[str]] = []

    async def write(names: Sequence[str]) -> None:
        done.append(list(names))

    queue = WriteQueue("test", write, len)
    queue.add("first")
    queue.add("second")
    queue.after(lambda: write(["alone"]))
    queue.add("last")
    queue.add("x" * BYTES_AT_ONCE)
    await queue.flush()
    assert done == [["first", "second"], ["alone"], ["last"], ["x" * BYTES_AT_ONCE]]
    await queue.flush()
