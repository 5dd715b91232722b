"""A cluster of three primaries: jobs go on when the primary of their slot dies, hands over, or gives the slot away."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from bench.redis_servers import Cluster, cluster, server
from shared.jobs.filters import JobFilter
from shared.jobs.model import Claim, State
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.store import JobStore
from shared.store import multiplexed
from shared.store.address import parse_address
from shared.store.commands import PooledCommands
from shared.store.connection import connect
from shared.store.errors import StoreConnectionError, StoreRefused
from shared.store.hash_tag import engine_tag
from shared.store.locator import locator_of
from shared.store.multiplexed import MultiplexedClient
from shared.store.scripts import Script
from tests.failover.test_failover import ended, submitted
from tests.jobs.conftest import new_job, until
from tests.worker.engine import bench_on, done, holding, working
from worker.handle import RunHandle

SLOT = engine_tag().slot


@pytest.fixture(scope="module")
def shared_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    # A machine that stands still for a second must not cause an election.
    with cluster(tmp_path_factory.mktemp("cluster"), timeout_ms=2000) as made:
        yield made


@pytest.fixture
def nodes(shared_nodes: Cluster) -> Cluster:
    """The cluster, complete and empty, whatever the test before did to it."""
    for node in shared_nodes.nodes:
        if node.process is None or node.process.poll() is not None:
            node.start()
    shared_nodes.until_complete()
    shared_nodes.primary().ask("FLUSHALL")
    return shared_nodes


async def test_after_the_primary_has_died_work_goes_on(nodes: Cluster) -> None:
    old = nodes.primary()
    async with holding(nodes.url) as (bench, ids, gate):
        await asyncio.to_thread(old.replicate)
        await asyncio.to_thread(old.kill)
        gate.set()

        async def elected() -> bool:
            return await asyncio.to_thread(nodes.primary) is not old

        await until(elected, 60)
        since = time.monotonic()
        for number, job_id in enumerate(ids):
            job = await until(partial(ended, bench, job_id), 20)
            assert (job.result, job.attempts) == (b"%d" % number, 1)
        await bench.until_state(await submitted(bench), State.COMPLETED)
        assert time.monotonic() - since < 30


async def test_a_frozen_primary_is_left_by_all_when_one_finds_another(nodes: Cluster) -> None:
    """The one that blocks has no time limit of its own."""
    old = nodes.primary()
    blocking = connect(nodes.url, timeout_s=None)
    async with aclosing(MultiplexedClient(nodes.url, timeout_s=1)) as client:
        waiting = asyncio.create_task(blocking.blpop(["finops:empty"], 0))  # type: ignore[arg-type]

        async def blocked() -> bool:
            return "cmd=blpop" in str(await asyncio.to_thread(old.ask, "CLIENT", "LIST"))

        async def written() -> bool:
            with suppress(StoreConnectionError):
                return bool(await client.execute("SET", "finops:a", "2", retry_safe=True) == b"OK")
            return False

        await until(blocked, 60)
        await until(written, 60)
        old.freeze()
        try:
            await until(written, 60)

            async def left() -> bool:
                """Whether it has; else the client asks again: nodes that had not heard of the election disagreed."""
                if not waiting.done() and client._link is not None:
                    client._link.fail("ask again")
                return await written() and waiting.done()

            await until(left, 60)
            with pytest.raises(RedisConnectionError):
                await waiting
        finally:
            old.thaw()
    await blocking.aclose()


async def test_every_key_is_in_one_slot_and_subscriptions_know_plain_names(nodes: Cluster) -> None:
    async def run(claim: Claim, handle: RunHandle) -> Any:
        return done(claim.payload)

    async with bench_on(nodes.url) as bench, working(nodes.url, run):
        await bench.until_state(await bench.submit(), State.COMPLETED)
        client = connect(nodes.url)
        async with client.pubsub() as subscription:
            await subscription.subscribe("finops:keys:changed")
            await bench.commands.execute("PUBLISH", "finops:keys:changed", "id")
            seen = [message async for message in first(subscription.listen(), 2)]
        assert [message["channel"] for message in seen] == [b"finops:keys:changed"] * 2
        assert (
            b"finops:jobs:clock" in (await bench.commands.execute("SCAN", "0", "MATCH", "finops:*", "COUNT", 1000))[1]
        )
        await client.aclose()
    stored: Any = nodes.primary().ask("KEYS", "*")
    assert stored and all(b"{f0d}" in key for key in stored)


async def test_a_list_of_two_conditions_finds_its_sets(nodes: Cluster) -> None:
    """The script is given names of sets as arguments, which have no hash tag there."""
    async with aclosing(MultiplexedClient(nodes.url)) as client:
        queue, store = JobQueue(client, QueueLimits()), JobStore(client)
        wanted = new_job(owner="a", model="sim/fast", labels=(("app", "x"),))
        for job in (wanted, new_job(owner="a", model="sim/slow", labels=(("app", "x"),)), new_job(owner="b")):
            await queue.submit(job)
        both = JobFilter(models=("sim/fast",), labels=(("app", "x"),))
        for owner in ("a", None):
            page = await store.list(owner, wanted=both)
            assert [job.id for job in page.jobs] == [wanted.id]


async def first(items: Any, count: int) -> Any:
    async for item in items:
        yield item
        count -= 1
        if count == 0:
            return


async def test_a_primary_that_hands_over_is_left_at_its_first_refusal(nodes: Cluster) -> None:
    old = nodes.primary()
    replica = next(node for node in nodes.nodes if node.ask("ROLE")[0] == b"slave")  # type: ignore[index]
    async with aclosing(MultiplexedClient(nodes.url)) as client, aclosing(PooledCommands(connect(nodes.url))) as pooled:
        assert await client.execute("SET", "finops:a", "1") == b"OK"
        assert await pooled.execute("SET", "finops:b", "1") == b"OK"
        await asyncio.to_thread(nodes.hand_over, replica)

        async def took_over() -> bool:
            return await asyncio.to_thread(nodes.primary) is replica

        await until(took_over)
        assert await client.execute("SET", "finops:a", "2") == b"OK"

        async def written() -> bool:
            try:
                return bool(await pooled.execute("SET", "finops:b", "2") == b"OK")
            except StoreConnectionError:
                return False

        await until(written)
    assert old is not replica


async def test_while_the_slot_moves_scripts_wait_and_none_runs_on_half_of_the_keys(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = nodes.primary()
    target = next(node for node in nodes.primaries if node is not source and node.ask("ROLE")[0] == b"master")  # type: ignore[index]
    count = Script("count", "return redis.call('EXISTS', 'finops:a') + redis.call('EXISTS', 'finops:b')")
    async with aclosing(MultiplexedClient(nodes.url)) as client:
        await client.execute_many([("SET", "finops:a", "1"), ("SET", "finops:b", "1")])
        assert await client.script(count, ()) == 2
        ids = {node: node.ask("CLUSTER", "MYID") for node in (source, target)}
        target.ask("CLUSTER", "SETSLOT", SLOT, "IMPORTING", ids[source])
        source.ask("CLUSTER", "SETSLOT", SLOT, "MIGRATING", ids[target])
        source.ask("MIGRATE", "127.0.0.1", target.port, engine_tag().name("finops:a"), 0, 5000)
        monkeypatch.setattr(multiplexed, "SLOT_MOVES_S", 0.05)
        with pytest.raises(StoreRefused, match=r"ASK|TRYAGAIN"):
            await client.script(count, ())
        assert await client.execute("GET", "finops:b") == b"1"
        monkeypatch.setattr(multiplexed, "SLOT_MOVES_S", 20.0)
        counting = asyncio.create_task(client.script(count, ()))
        await asyncio.to_thread(nodes.move_slot, target)
        assert await counting == 2
    await asyncio.to_thread(nodes.move_slot, source)


async def test_jobs_go_on_while_their_slot_moves_to_another_primary(nodes: Cluster) -> None:
    source = nodes.primary()
    target = next(node for node in nodes.primaries if node is not source and node.ask("ROLE")[0] == b"master")  # type: ignore[index]
    async with holding(nodes.url) as (bench, ids, gate):
        gate.set()
        moving = asyncio.create_task(asyncio.to_thread(nodes.move_slot, target))
        late = await submitted(bench)
        await moving
        assert await asyncio.to_thread(nodes.primary) is target
        for number, job_id in enumerate(ids):
            job = await until(partial(ended, bench, job_id), 60)
            assert (job.result, job.attempts) == (b"%d" % number, 1)
        for job_id in (late, await submitted(bench)):
            await until(partial(ended, bench, job_id), 60)
    await asyncio.to_thread(nodes.move_slot, source)


async def test_what_is_no_cluster_is_named(tmp_path: Any) -> None:
    with server(tmp_path / "plain") as plain:
        client = MultiplexedClient(plain.url.replace("redis://", "redis+cluster://"))
        with pytest.raises(StoreConnectionError, match="cluster support disabled"):
            await client.execute("PING")
        await client.aclose()
    with pytest.raises(StoreConnectionError, match="no node of the cluster names a primary"):
        await locator_of(parse_address("redis+cluster://127.0.0.1:1")).find()


async def test_most_nodes_are_believed_and_a_slot_without_a_primary_is_an_error(listen: Any) -> None:
    def naming(reply: bytes) -> Any:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                for command in data.split(b"*")[1:]:
                    writer.write(reply if b"CLUSTER" in command.upper() else b"+OK\r\n")

        return answer

    def slots(host: bytes, port: int) -> bytes:
        return b"*1\r\n*3\r\n:0\r\n:200\r\n*2\r\n$%d\r\n%s\r\n:%d\r\n" % (len(host), host, port)

    ports = [await listen(naming(slots(b"h", port))) for port in (7, 8, 8)]
    url = f"redis+cluster://{','.join(f'127.0.0.1:{port}' for port in ports)}"
    assert await locator_of(parse_address(url), timeout_s=20).find() == ("h", 8)
    own = await listen(naming(slots(b"", 9)))
    assert await locator_of(parse_address(f"redis+cluster://127.0.0.1:{own}"), timeout_s=20).find() == ("127.0.0.1", 9)
    none = await listen(naming(b"*0\r\n"))
    with pytest.raises(StoreConnectionError, match="our slot has no primary"):
        await locator_of(parse_address(f"redis+cluster://127.0.0.1:{none}"), timeout_s=20).find()


async def test_a_command_that_is_none_is_refused_before_it_is_sent() -> None:
    client = MultiplexedClient("redis+cluster://127.0.0.1:1")
    with pytest.raises(ValueError, match="needs a connection of its own"):
        await client.execute("BLPOP", "finops:a", 0)
    with pytest.raises(Exception, match="a command is a name"):
        await client.execute()
    await client.aclose()
