"""Four shards on a cluster of three primaries: their jobs run, are booked, and wait for no other shard's primary."""

from collections.abc import AsyncIterator
from functools import partial

import orjson
import pytest

from bench.redis_servers import Cluster, Server
from shared.governance.bookings.carrier import BookingCarrier
from shared.jobs.model import Claim, Outcome, State
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobStore
from shared.store.multiplexed import MultiplexedClient
from shared.store.shard_tags import cluster_tag
from tests.jobs.conftest import until
from tests.worker.engine import LONG
from tests.worker.test_sharded_worker import SHARDS, Shard, working
from worker.handle import RunHandle

SLOTS_OF_EACH = 5461


def primary_of(cluster: Cluster, shard: int) -> Server:
    """Return the server that has a shard's keys."""
    return cluster.primaries[cluster_tag(shard).slot // SLOTS_OF_EACH]


async def run(claim: Claim, handle: RunHandle) -> Outcome:
    entry = orjson.dumps({"v": 1, "job": claim.id, "status": 200, "cost": 7, "priced": True})
    return Outcome(state=State.COMPLETED, status_code=200, result=claim.payload, ledger=entry)


@pytest.fixture
async def shards(shared_cluster: Cluster) -> AsyncIterator[list[Shard]]:
    for node in shared_cluster.primaries:
        node.ask("FLUSHALL")
    commands = [MultiplexedClient(shared_cluster.url, shard=shard) for shard in range(SHARDS)]
    yield [Shard(each, JobQueue(each, LONG), JobStore(each)) for each in commands]
    for each in commands:
        await each.aclose()


async def test_jobs_of_all_shards_run_on_all_primaries_and_are_booked_in_shard_0(
    shared_cluster: Cluster, shards: list[Shard]
) -> None:
    async with working(shared_cluster.url, run, concurrency=3):
        made = [(shard, await shard.submit(owner=f"k{at}")) for at in range(5) for shard in shards]
        for shard, job_id in made:
            await shard.until_state(job_id, State.COMPLETED)
    assert {primary_of(shared_cluster, shard).port for shard in range(SHARDS)} == {
        node.port for node in shared_cluster.primaries if node.ask("DBSIZE")
    }
    money = shards[0].commands
    for _ in range(2):  # the second time there is nothing left
        for shard in shards[1:]:
            await BookingCarrier(shard.commands, money).carry_all()
        entries = await money.execute("XRANGE", "finops:ledger", "-", "+")
        assert sorted(orjson.loads(fields[1])["job"] for _, fields in entries) == sorted(job_id for _, job_id in made)


async def test_jobs_of_a_shard_do_not_wait_for_the_primary_of_another(
    shared_cluster: Cluster, shards: list[Shard]
) -> None:
    stuck = 1
    silent = primary_of(shared_cluster, stuck)
    others = [shard for at, shard in enumerate(shards) if primary_of(shared_cluster, at) is not silent]
    assert 0 < len(others) < SHARDS
    async with working(shared_cluster.url, run, concurrency=2):
        waiting = await shards[stuck].submit(delay_s=0.5)
        silent.ask("CLIENT", "PAUSE", 600_000, "WRITE")
        try:
            for _ in range(3):
                made = [(shard, await shard.submit()) for shard in others]
                for shard, job_id in made:
                    await shard.until_state(job_id, State.COMPLETED)
        finally:
            silent.ask("CLIENT", "UNPAUSE")
        await until(partial(_ended, shards[stuck], waiting))


async def _ended(shard: Shard, job_id: str) -> bool:
    job = await shard.store.get(job_id)
    return job is not None and job.state is State.COMPLETED
