"""Vectors of questions: the same answers from vector sets, a search index and memory; the store decides which is used.

Redis 8 and the search module come as development dependencies, for Linux on x86-64.
"""

import platform
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from bench.redis_servers import server
from shared.cache import index_memory, index_vectorset, keyspace
from shared.cache.index_bounds import BoundedIndex
from shared.cache.index_memory import MemoryIndex
from shared.cache.index_search import SearchIndex
from shared.cache.index_vectorset import VectorSetIndex
from shared.cache.purge import Purge
from shared.cache.store import CacheStore
from shared.cache.vector_index import open_index
from shared.cache.vectors import MOST_DIMENSIONS, Vector, VectorIndex, cosine, unit_vector
from shared.settings.cache import CacheSettings, IndexKind
from shared.store.commands import PooledCommands
from shared.store.connection import connect, describe
from shared.store.errors import StoreConnectionError
from shared.store.multiplexed import MultiplexedClient
from simulator.model.text import unit_vector as embed
from tests.key_leaks import assert_no_key_leaks

HAS_REDIS_8 = (platform.system(), platform.machine()) == ("Linux", "x86_64")
KINDS: tuple[IndexKind, ...] = ("vectorset", "search", "memory") if HAS_REDIS_8 else ("memory",)
QUESTIONS = ("How do I cancel my subscription?", "Where is the nearest station?", "What does a lease cost?")


def vector(text: str, size: int = 64) -> Vector:
    found = unit_vector(embed(text, size))
    assert found is not None
    return found


@pytest.fixture
async def index(kind: IndexKind, request: pytest.FixtureRequest) -> AsyncIterator[VectorIndex]:
    if kind == "memory":
        yield MemoryIndex()
        return
    commands = MultiplexedClient(request.getfixturevalue("redis_8"))
    await commands.execute("FLUSHALL")
    yield await open_index(commands, kind, sealed=False)
    await commands.aclose()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_nearest_questions_of_a_partition_are_found(kind: IndexKind, index: VectorIndex) -> None:
    assert index.name == kind
    assert await index.nearest("s-p", vector("anything"), 4) == []
    for number, text in enumerate(QUESTIONS):
        await index.add("s-p", f"s-{number}", vector(text), 60)
        await index.add("s-other", "s-9", vector(text), 60)
    asked = vector("How can I cancel the subscription?")
    found = await index.nearest("s-p", asked, 2)
    assert found[0].entry_id == "s-0"
    assert len(found) == 2
    assert found[0].similarity == pytest.approx(cosine(asked, vector(QUESTIONS[0])), abs=0.02)
    await index.add("s-p", "s-0", vector(QUESTIONS[1]), 60)
    assert {neighbour.entry_id for neighbour in await index.nearest("s-p", vector(QUESTIONS[1]), 2)} == {"s-0", "s-1"}
    await index.remove("s-p", ["s-0", "s-1"])
    await index.remove("s-p", [])
    assert [neighbour.entry_id for neighbour in await index.nearest("s-p", asked, 4)] == ["s-2"]
    assert [neighbour.entry_id for neighbour in await index.nearest("s-other", asked, 4)] == ["s-9"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "memory"])
async def test_vectors_expire_and_are_purged(kind: IndexKind, index: VectorIndex, redis_8: str) -> None:
    commands = MultiplexedClient(redis_8)
    store = CacheStore(commands, CacheSettings())
    partition = (
        Purge(scope="5" * 16, partition="k", model="p/m").vectors.removeprefix(keyspace.VECTORS_AND_QUESTIONS)[:-1]
        + "1"
    )
    for size in (64, 32):
        await index.add(f"{partition}{size}", "5-1", vector("How are you?", size), 60)
    client = connect(redis_8)
    await assert_no_key_leaks(client)
    assert await client.dbsize() == 2 + 1  # with their ages
    await store.purge(Purge(scope="4" * 16))
    await store.purge(Purge(scope="5" * 16, model="p/other"))
    await store.purge(Purge(model="p/m"), dry_run=True)
    assert await client.dbsize() == 3 + 2  # with the purges' marks
    await store.purge(Purge(model="p/m"))
    assert await index.nearest(f"{partition}64", vector("How are you?"), 4) == []
    assert [key async for key in client.scan_iter(f"{keyspace.VECTORS}*")] == []
    await client.aclose()
    await commands.aclose()


@pytest.mark.skipif(not HAS_REDIS_8, reason="its server is a dependency on Linux alone")
async def test_the_store_decides_where_vectors_are_kept(redis_8: str, redis_url: str, tmp_path: Path) -> None:
    new, bundled = MultiplexedClient(redis_8), MultiplexedClient(redis_url)
    fake = PooledCommands(FakeAsyncRedis(server=FakeServer()), knows_script_flags=False)
    assert (await open_index(new, "auto", sealed=False)).name == "vectorset"
    assert (await open_index(new, "auto", sealed=True)).name == "memory"
    assert (await open_index(new, "search", sealed=True)).name == "search"
    assert (await open_index(new, "memory", sealed=False)).name == "memory"
    assert (await open_index(bundled, "auto", sealed=False)).name == "memory"
    assert (await open_index(fake, "auto", sealed=False)).name == "memory"
    await new.execute("ACL", "SETUSER", "searcher", "on", "nopass", "~*", "+@all", "-VCARD")
    searching = MultiplexedClient(redis_8.replace("redis://", "redis://searcher:x@"))
    assert (await open_index(searching, "auto", sealed=False)).name == "search"
    nowhere = MultiplexedClient("redis://127.0.0.1:9/0")
    with pytest.raises(StoreConnectionError):
        await open_index(nowhere, "auto", sealed=False)
    await nowhere.aclose()
    client, plain = connect(redis_8), connect(redis_url)
    assert (await describe(client)).vector_search == "VSIM"
    assert (await describe(plain)).vector_search is None
    for each in (client, plain, new, bundled, fake, searching):
        await each.aclose()
    with server(tmp_path / "7") as installed:
        commands = MultiplexedClient(installed.url)
        assert (await open_index(commands, "auto", sealed=False)).name in {"memory", "vectorset"}
        await commands.aclose()


@pytest.mark.skipif(not HAS_REDIS_8, reason="its server is a dependency on Linux alone")
async def test_a_full_vector_set_loses_a_question(redis_8: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_vectorset, "MOST_IN_PARTITION", 2)
    commands = MultiplexedClient(redis_8)
    await commands.execute("FLUSHALL")
    index = VectorSetIndex(commands)
    for number, text in enumerate(QUESTIONS):
        await index.add("s-p", f"s-{number}", vector(text), 60)
    assert len(await index.nearest("s-p", vector("anything"), 4)) == 2
    await commands.aclose()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "memory"])
async def test_vectors_in_a_store_are_bounded_and_expired_ones_leave_it(kind: IndexKind, redis_8: str) -> None:
    commands, time = MultiplexedClient(redis_8), [1_000_000.0]
    await commands.execute("FLUSHALL")
    inner = VectorSetIndex(commands) if kind == "vectorset" else SearchIndex(commands)
    index = BoundedIndex(inner, commands, 40 * 64 * 4, lambda: time[0])
    for number in range(45):
        await index.add(f"s-{number % 3}", f"s-{number}", vector(f"question {number}"), 60 + number)
    left = [each.entry_id for part in range(3) for each in await index.nearest(f"s-{part}", vector("question"), 40)]
    assert 10 <= len(left) <= 40
    assert "s-44" in left and "s-0" not in left
    time[0] += 200
    await index.add("s-0", "s-99", vector("question"), 60)
    await index.add("s-1", "s-98", vector("question"), 60)
    found = [each.entry_id for part in range(3) for each in await index.nearest(f"s-{part}", vector("question"), 40)]
    assert sorted(found) == ["s-98", "s-99"]
    await index.remove("s-0", ["s-99"])
    assert await index.nearest("s-0", vector("question"), 4) == []
    await commands.aclose()


async def test_memory_is_bounded_and_forgets_what_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_memory, "MOST_IN_PARTITION", 3)
    monkeypatch.setattr(index_memory, "MOST_VECTORS", 5)
    time = [0.0]
    index = MemoryIndex(lambda: time[0])
    for number in range(4):
        await index.add("a", f"a-{number}", vector(f"question {number}"), 60)
    assert {each.entry_id for each in await index.nearest("a", vector("question"), 9)} == {"a-1", "a-2", "a-3"}
    await index.add("b", "b-0", vector("question"), 10)
    await index.add("b", "b-1", vector("question"), 60)
    await index.nearest("a", vector("question"), 9)  # so that it was used last
    await index.add("c", "c-0", vector("question"), 60)
    assert await index.nearest("b", vector("question"), 9) == []
    assert len(await index.nearest("a", vector("question"), 9)) == 3
    time[0] = 60.0
    assert await index.nearest("a", vector("question"), 9) == []
    assert await index.nearest("c", vector("question"), 9) == []


@pytest.mark.parametrize(
    "values",
    [
        None,
        "AAAA",
        5,
        [],
        [1.0],
        [0.0, 0.0],
        [float("nan"), 1.0],
        [1e300, 1.0],
        ["1", "2"],
        [None, 1],
        [1.0] * (MOST_DIMENSIONS + 1),
    ],
)
def test_what_is_no_embedding_has_no_vector(values: object) -> None:
    assert unit_vector(values) is None


def test_vectors_have_length_1() -> None:
    found = unit_vector([3, 4])
    assert found is not None
    assert list(found) == pytest.approx([0.6, 0.8])
    assert cosine(found, found) == pytest.approx(1)
