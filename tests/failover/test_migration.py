"""A gateway's data moves from a server to a cluster and back; vectors move where the target reads them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Self

import orjson
import pytest
from redis.asyncio import Redis

from bench.redis_servers import Cluster, Server
from shared.governance.keyspace import NAMES_IN_HASHES
from shared.governance.ledger.writer import Ledger
from shared.governance.limits.guard import LimitGuard
from shared.jobs.model import Claim, State
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.shard_ids import mint_job_id
from shared.jobs.store import Finish, JobStore
from shared.store.migration import CLIENT_NAME, End, Migration, Report
from shared.store.multiplexed import MultiplexedClient
from tests.governance.conftest import budget, meter_sums
from tests.jobs.conftest import DONE, new_job

LIMITS = QueueLimits(lease_s=600)
SHARDS = 4


async def migrate(source: str, target: str, shards: int = 1) -> Report:
    ends = [
        End(url, [MultiplexedClient(url, client_name=CLIENT_NAME, shard=shard) for shard in range(shards)])
        for url in (source, target)
    ]
    try:
        copy = Migration(ends[0], ends[1], NAMES_IN_HASHES)
        await copy.check()
        return await copy.run()
    finally:
        for end in ends:
            for client in end.shards:
                await client.aclose()


async def contents(url: str) -> dict[bytes, bytes]:
    """Return each key's DUMP by its name on that server."""
    async with Redis.from_url(url) as client:
        return {name: await client.dump(name) async for name in client.scan_iter()}


class Gateway:
    """The parts of a gateway that this test uses, on a store."""

    def __init__(self, url: str, shard: int = 0) -> None:
        self.commands = MultiplexedClient(url, client_name="test", shard=shard)
        self.guard, self.ledger = LimitGuard(self.commands), Ledger(self.commands)
        self.queue, self.store = JobQueue(self.commands, LIMITS), JobStore(self.commands)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.ledger.aclose()
        await self.guard.aclose()
        await self.commands.aclose()


@pytest.fixture
def server_url(plain_redis_8: Server) -> str:
    plain_redis_8.ask("FLUSHALL")
    return plain_redis_8.url


@pytest.fixture
def cluster_url(shared_cluster: Cluster) -> str:
    shared_cluster.primary().ask("FLUSHALL")
    return shared_cluster.url


@pytest.fixture
async def claimed(server_url: str) -> AsyncIterator[Claim]:
    """A server with a job that runs under a budget, one that waits, and what a cache and thresholds leave."""
    async with Gateway(server_url) as before:
        job = new_job(idempotency_key="once", dedupe_scope="k")
        await before.guard.admit(job.id, (budget(100),), cost=60, tokens=10, of_job=True)
        await before.queue.submit(job, reserved=True)
        await before.queue.submit(new_job(id="waits"))
        (claim,) = (await before.queue.claim("w1", 1)).claims
        await before.guard.admit("call", (budget(100),), cost=30, tokens=0)
        before.ledger.book(orjson.dumps({"status": 200, "cost": 55}), "call")
        await before.ledger.flush()
        yield claim


@pytest.mark.parametrize("back", [False, True])
async def test_running_jobs_reservations_and_thresholds_go_on_at_the_target(
    claimed: Claim, server_url: str, cluster_url: str, plain_redis_7: Server, *, back: bool
) -> None:
    target = cluster_url
    report = await migrate(server_url, cluster_url)
    if back:
        plain_redis_7.ask("FLUSHALL")
        target = plain_redis_7.url
        again = await migrate(cluster_url, target)
        assert again.keys == report.keys
    async with Gateway(target) as after:
        assert (await after.queue.claim("w2", 5)).claims[0].id == "waits"
        assert await after.store.finish_many([Finish(claimed, DONE, [], 0)]) == [True]
        assert (await after.store.get(claimed.id)).state == State.COMPLETED
        alerts = [name async for name in _names(after.commands, b"finops:alerted:")]
        again = await after.queue.submit(new_job(idempotency_key="once", dedupe_scope="k"))
        assert again.job.id == claimed.id
        assert sum(used for used, _ in (await meter_sums(after.commands)).values()) == 55
        assert sum(held for _, held in (await meter_sums(after.commands)).values()) == 0
        assert await after.commands.execute("ZCARD", "finops:holds") == 0
        assert len(alerts) == 1  # half of the budget: it alerts no second time


async def _names(commands: MultiplexedClient, begin: bytes) -> AsyncIterator[bytes]:
    for name in await commands.execute("KEYS", "*"):
        if name.startswith(begin):
            yield name


async def test_there_and_back_each_key_is_what_it_was(
    claimed: Claim, server_url: str, cluster_url: str, plain_redis_8: Server
) -> None:
    before = await contents(server_url)
    await migrate(server_url, cluster_url)
    plain_redis_8.ask("FLUSHALL")
    await migrate(cluster_url, server_url)
    assert claimed.id.encode() in b"".join(before)
    after = await contents(server_url)
    after.pop(b"finops:schema")
    assert after.keys() == before.keys() - {b"finops:schema"}
    assert after[b"finops:jobs:clock"] == before[b"finops:jobs:clock"]


async def test_every_shard_moves_to_its_primary_and_back(
    server_url: str, cluster_url: str, shared_cluster: Cluster, plain_redis_8: Server
) -> None:
    for node in shared_cluster.primaries:
        node.ask("FLUSHALL")
    async with AsyncExitStack() as opened:
        for shard in range(SHARDS):
            before = await opened.enter_async_context(Gateway(server_url, shard))
            await before.queue.submit(new_job(id=mint_job_id(shard), owner=f"k{shard}"))
    names = await contents(server_url)
    report = await migrate(server_url, cluster_url, SHARDS)
    assert (report.keys, report.copied, report.foreign) == (len(names), len(names), 0)
    assert sum(bool(node.ask("DBSIZE")) for node in shared_cluster.primaries) == len(shared_cluster.primaries)
    async with AsyncExitStack() as opened:
        for shard in range(SHARDS):
            after = await opened.enter_async_context(Gateway(cluster_url, shard))
            (claim,) = (await after.queue.claim("w", 5)).claims
            assert claim.owner == f"k{shard}"
            await after.queue.release([claim])
    plain_redis_8.ask("FLUSHALL")
    await migrate(cluster_url, server_url, SHARDS)
    assert names.keys() <= (await contents(server_url)).keys()


async def test_vectors_move_to_a_server_that_reads_them(server_url: str, plain_redis_8: Server) -> None:
    plain_redis_8.ask("VADD", "finops:cache:v:a-b", "VALUES", 2, "0.5", "1", "entry")
    report = await migrate(server_url, server_url + "/1")
    assert (report.copied, report.left_out, report.kinds) == (1, [], {"vectorset": 1})
    async with Redis.from_url(server_url + "/1") as client:
        assert await client.execute_command("VCARD", "finops:cache:v:a-b") == 1


async def test_vectors_are_left_out_where_they_cannot_be_read(
    server_url: str, plain_redis_8: Server, plain_redis_7: Server
) -> None:
    plain_redis_8.ask("VADD", "finops:cache:v:a-b", "VALUES", 2, "0.5", "1", "entry")
    plain_redis_7.ask("FLUSHALL")
    report = await migrate(server_url, plain_redis_7.url)
    assert (report.keys, report.copied, report.left_out) == (1, 0, ["finops:cache:v:a-b"])
