"""Claims over a blocking connection: woken by a submit, unblocked by a stop."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.jobs import keys
from shared.jobs.model import Priority
from shared.store.connection import connect
from shared.store.multiplexed import MultiplexedClient
from tests.jobs.conftest import until
from tests.worker.engine import Bench, bench_on
from worker.claims import ClaimSource

LONG_MS = 60_000


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    async with bench_on(redis_url) as made:
        yield made


@pytest.fixture
async def source(bench: Bench) -> AsyncIterator[ClaimSource]:
    sleeper = connect(bench.url, timeout_s=None, max_connections=1)
    made = ClaimSource(bench.queue, sleeper, bench.commands, "w1", [Priority.NORMAL])
    yield made
    await made.aclose()


async def until_asleep(bench: Bench) -> None:
    async def blocked() -> bool:
        return b"cmd=blpop" in await bench.commands.execute("CLIENT", "LIST")

    await until(blocked)


async def test_an_unblocked_claim_loses_no_job(bench: Bench, source: ClaimSource) -> None:
    claiming = asyncio.create_task(source.claim(1, LONG_MS))
    await until_asleep(bench)
    await source.unblock()
    async with asyncio.timeout(10):
        assert not (await claiming).claims
    job_id = await bench.submit()
    async with asyncio.timeout(10):
        (claim,) = (await source.claim(1, LONG_MS)).claims
    assert claim.id == job_id


async def test_unblock_works_before_the_claim_blocks(bench: Bench, source: ClaimSource) -> None:
    await source.claim(0, 0)  # connected, wide awake
    claiming = asyncio.create_task(source.claim(1, LONG_MS))
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await asyncio.gather(source.unblock(), claiming)


@pytest.mark.parametrize("forbidden", ["id", "unblock"])
async def test_claims_work_where_client_commands_are_forbidden(
    bench: Bench, source: ClaimSource, forbidden: str
) -> None:
    await bench.commands.execute("ACL", "SETUSER", "default", f"-client|{forbidden}")
    try:
        claiming = asyncio.create_task(source.claim(1, LONG_MS))
        await until_asleep(bench)
        await source.unblock()
        assert not claiming.done()
        job_id = await bench.submit()
        async with asyncio.timeout(10):
            (claim,) = (await claiming).claims
        assert claim.id == job_id
    finally:
        await bench.commands.execute("ACL", "SETUSER", "default", "+client")


async def test_unblock_gives_up_without_a_store(bench: Bench) -> None:
    sleeper = connect(bench.url, timeout_s=None, max_connections=1)
    gone = MultiplexedClient(bench.url)
    source = ClaimSource(bench.queue, sleeper, gone, "w1", [Priority.NORMAL])
    claiming = asyncio.create_task(source.claim(1, LONG_MS))
    await until_asleep(bench)
    await gone.aclose()
    await source.unblock()
    assert not claiming.done()
    await bench.commands.execute("RPUSH", keys.wake(Priority.NORMAL), "1")
    async with asyncio.timeout(10):
        assert not (await claiming).claims
    await source.aclose()
