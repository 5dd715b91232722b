"""Stores whose primary moves: behind a fixed address, and behind Sentinels."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError

from bench.redis_servers import SERVICE, SentinelSet, Server, sentinel_set, server
from shared.errors import StoreUnavailable
from shared.jobs.model import Claim, Job, State
from shared.store.address import parse_address
from shared.store.commands import PooledCommands, RedisCommands
from shared.store.connection import connect
from shared.store.errors import StoreConnectionError, StoreRefused
from shared.store.locator import locator_of
from shared.store.multiplexed import MultiplexedClient
from tests.jobs.conftest import until
from tests.worker.engine import Bench, bench_on, done, holding, working
from worker.handle import RunHandle


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Two servers; neither follows the other."""
    directory = tmp_path_factory.mktemp("pair")
    with server(directory / "old") as old, server(directory / "new") as new:
        yield old, new


class VirtualAddress:
    """An address that leads to one of several servers; connections that are open stay where they are."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.gather(_copy(reader, to_writer), _copy(to_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@pytest.fixture
async def address(pair: tuple[Server, Server]) -> AsyncIterator[tuple[VirtualAddress, str]]:
    for one in pair:
        one.ask("REPLICAOF", "NO", "ONE")
        one.ask("FLUSHALL")
    virtual = VirtualAddress(pair[0].port)
    listening = await asyncio.start_server(virtual.accept, "127.0.0.1", 0)
    yield virtual, f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    listening.close()


@pytest.mark.parametrize("kind", ["pooled", "multiplexed"])
async def test_a_demoted_server_is_left_at_its_first_refusal(
    pair: tuple[Server, Server], address: tuple[VirtualAddress, str], kind: str
) -> None:
    virtual, url = address
    commands: RedisCommands = PooledCommands(connect(url)) if kind == "pooled" else MultiplexedClient(url)
    await commands.execute("SET", "a", "1")
    if isinstance(commands, MultiplexedClient):
        assert commands._link is not None
        commands._link._opened_at -= 10  # as if it had been open for a while
    pair[0].ask("REPLICAOF", "127.0.0.1", pair[1].port)
    virtual.port = pair[1].port
    assert await commands.execute("SET", "b", "2") == b"OK"
    assert pair[1].ask("GET", "b") == b"2"
    await commands.aclose()


async def test_commands_in_flight_are_answered_by_the_server_they_went_to(
    pair: tuple[Server, Server], address: tuple[VirtualAddress, str]
) -> None:
    virtual, url = address
    client = MultiplexedClient(url)
    await client.execute("SET", "a", "1")
    assert client._link is not None
    client._link._opened_at -= 10
    pair[0].ask("REPLICAOF", "127.0.0.1", "1")
    virtual.port = pair[1].port
    writes = [client.execute("SET", f"k{n}", n) for n in range(20)]
    many = client.execute_many([("SET", "m", "1"), ("GET", "m")], retry_safe=True)
    assert await asyncio.gather(*writes, many) == [*[b"OK"] * 20, [b"OK", b"1"]]
    assert len(pair[1].ask("KEYS", "k*")) == 20  # type: ignore[arg-type]
    await client.aclose()


async def test_a_server_that_stays_a_replica_is_not_connected_to_for_each_command(
    pair: tuple[Server, Server], address: tuple[VirtualAddress, str]
) -> None:
    client = MultiplexedClient(address[1])
    pair[0].ask("REPLICAOF", "127.0.0.1", "1")
    for _ in range(5):
        with pytest.raises(StoreRefused, match="READONLY"):
            await client.execute("SET", "a", "1")
    with pytest.raises(StoreRefused, match="READONLY"):
        await client.execute_many([("GET", "a"), ("SET", "a", "1")])
    assert not client._retired
    await client.aclose()


@pytest.fixture(scope="module")
def shared_sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelSet]:
    with sentinel_set(tmp_path_factory.mktemp("sentinels")) as made:
        yield made


@pytest.fixture
def sentinels(shared_sentinels: SentinelSet) -> SentinelSet:
    """The set with all its replicas in step again, whatever the test before did to them."""
    shared_sentinels.until_complete()
    return shared_sentinels


async def test_after_a_failover_everything_works_again_within_five_seconds(sentinels: SentinelSet) -> None:
    old = sentinels.primary()
    async with holding(sentinels.url) as (bench, ids, gate):
        await asyncio.to_thread(old.replicate)
        await asyncio.to_thread(old.kill)
        gate.set()

        async def elected() -> bool:
            return await asyncio.to_thread(sentinels.primary) is not old

        await until(elected, 60)
        since = time.monotonic()
        for number, job_id in enumerate(ids):
            job = await until(partial(ended, bench, job_id), 20)
            assert (job.result, job.attempts) == (b"%d" % number, 1)
        await bench.until_state(await submitted(bench), State.COMPLETED)
        assert time.monotonic() - since < 30
    await asyncio.to_thread(old.start)


async def ended(bench: Bench, job_id: str) -> Job | None:
    """The job once it has ended; callers poll again when the store is away."""
    with contextlib.suppress(StoreUnavailable):
        job = await bench.store.get(job_id)
        return job if job and not job.live else None
    return None


async def submitted(bench: Bench) -> str:
    """Submit a job as soon as the store takes one."""

    async def accepted() -> str | None:
        with contextlib.suppress(StoreUnavailable):
            return str(await bench.submit())
        return None

    return str(await until(accepted, 60))


async def test_the_newest_configuration_counts(sentinels: SentinelSet) -> None:
    assert await locator_of(parse_address(sentinels.url)).find() == ("127.0.0.1", sentinels.primary().port)
    dead_first = sentinels.url.replace("://", "://127.0.0.1:1,")
    client = connect(dead_first)
    assert await client.ping()
    await client.aclose()


async def test_a_name_that_no_sentinel_knows_is_an_error(sentinels: SentinelSet) -> None:
    client = MultiplexedClient(sentinels.url.replace(f"/{SERVICE}", "/other"))
    with pytest.raises(StoreConnectionError, match="No such master"):
        await client.execute("PING")
    with pytest.raises(StoreConnectionError, match="no answer"):
        await MultiplexedClient("redis+sentinel://127.0.0.1:1/main").execute("PING")
    await client.aclose()


@pytest.mark.parametrize("kind", ["pooled", "multiplexed"])
async def test_a_sentinel_that_names_a_replica_is_not_believed(
    pair: tuple[Server, Server], tmp_path: Path, kind: str, listen: Any
) -> None:
    pair[0].ask("REPLICAOF", "127.0.0.1", "1")
    fields = {"name": "main", "ip": "127.0.0.1", "port": pair[0].port, "flags": "master", "config-epoch": 1}
    fields |= {"num-other-sentinels": 2, "num-slaves": 1, "quorum": 2}
    flat = [str(part).encode() for pair_ in fields.items() for part in pair_]
    reply = b"*%d\r\n" % len(flat) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in flat)

    async def name_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            for command in data.split(b"*")[1:]:
                writer.write(reply if b"SENTINEL" in command.upper() else b"+OK\r\n")

    url = f"redis+sentinel://127.0.0.1:{await listen(name_it)}/main"
    commands: RedisCommands = PooledCommands(connect(url)) if kind == "pooled" else MultiplexedClient(url)
    with pytest.raises(StoreConnectionError, match="is a replica"):
        await commands.execute("SET", "a", "1")
    pair[0].ask("REPLICAOF", "NO", "ONE")
    assert await commands.execute("SET", "a", "1") == b"OK"
    await commands.aclose()


async def test_a_store_that_forbids_names_and_loading_scripts_still_works(tmp_path: Path) -> None:
    with server(tmp_path / "strict") as strict:
        strict.ask("ACL", "SETUSER", "app", "on", ">x", "~*", "&*", "+@all", "-client", "-script", "-role")
        url = strict.url.replace("://", "://app:x@")

        async def run(claim: Claim, handle: RunHandle) -> Any:
            return done()

        async with bench_on(url) as bench, working(url, run):
            await bench.until_state(await bench.submit(), State.COMPLETED)


async def test_a_frozen_primary_is_left_when_a_sentinel_says_so(sentinels: SentinelSet) -> None:
    """No answer is late here: time limits are an hour, or none."""
    old = sentinels.primary()
    assert old.process is not None
    async with watching(sentinels) as (client, blocking, subscription):
        waiting = asyncio.create_task(blocking.blpop(["empty"], 0))  # type: ignore[arg-type]

        async def blocked() -> bool:
            return "cmd=blpop" in str(await asyncio.to_thread(old.ask, "CLIENT", "LIST"))

        await until(blocked, 60)
        assert (await subscription.parse_response())[0] == b"subscribe"
        hearing = asyncio.create_task(subscription.parse_response())
        os.kill(old.process.pid, signal.SIGSTOP)

        async def moved() -> bool:
            with contextlib.suppress(StoreConnectionError):
                return bool(await client.execute("SET", "b", "2", retry_safe=True) == b"OK")
            return False

        try:
            async with asyncio.timeout(60):
                await until(moved, 60)
                for interrupted in (waiting, hearing):
                    with pytest.raises(RedisConnectionError):
                        await interrupted
                assert await asyncio.to_thread(sentinels.primary) is not old
        finally:
            os.kill(old.process.pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def watching(sentinels: SentinelSet) -> AsyncIterator[tuple[MultiplexedClient, Redis, PubSub]]:
    """Clients of every kind, when every Sentinel has their subscriptions."""
    client = MultiplexedClient(sentinels.url, timeout_s=3600)
    blocking, subscribed = (connect(sentinels.url, timeout_s=None) for _ in range(2))
    subscription = subscribed.pubsub()
    try:
        await client.execute("SET", "a", "1")
        await blocking.ping()
        await subscription.subscribe("channel")
        for sentinel in sentinels.sentinels:
            await until(partial(has_subscribers, sentinel, 3), 60)
        yield client, blocking, subscription
    finally:
        await subscription.aclose()  # type: ignore[attr-defined]
        for one in (client, blocking, subscribed):
            await one.aclose()
    for sentinel in sentinels.sentinels:
        await until(partial(has_subscribers, sentinel, 0), 60)


async def has_subscribers(sentinel: Server, count: int) -> bool:
    return str(await asyncio.to_thread(sentinel.ask, "CLIENT", "LIST")).count("cmd=subscribe") == count


async def test_sentinels_may_ask_for_a_password(tmp_path: Path) -> None:
    with server(tmp_path / "guarded") as guarded:
        guarded.ask("ACL", "SETUSER", "watcher", "on", ">x", "~*", "&*", "+@all")
        guarded.ask("ACL", "SETUSER", "default", "off")
        address = parse_address(
            f"redis+sentinel://127.0.0.1:{guarded.port}/main?sentinel_username=watcher&sentinel_password=x"
        )
        with pytest.raises(StoreConnectionError, match="unknown command"):  # it is no Sentinel, but it let us in
            await locator_of(address).find()
