"""Submits that are answered when replicas have them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bench.redis_servers import Server, server
from shared.errors import IdempotencyConflict, StoreUnavailable
from shared.jobs import durability as durability_module
from shared.jobs import keys
from shared.jobs.durability import Durability, DurabilityRefused
from shared.jobs.queue import JobQueue, QueueLimits
from shared.store.commands import PooledCommands
from shared.store.connection import connect
from tests.jobs.conftest import new_job, until

REPLICATED = QueueLimits(durability="replicated")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    directory = tmp_path_factory.mktemp("replicated")
    with server(directory / "primary") as primary, server(directory / "replica") as replica:
        yield primary, replica


@pytest.fixture
async def following(both: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch) -> tuple[Server, Server]:
    """A primary with a replica in step."""
    monkeypatch.setattr(durability_module, "REPLICA_TIMEOUT_MS", 4000)
    primary, replica = both
    primary.ask("FLUSHALL")
    primary.ask("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    replica.ask("REPLICAOF", "127.0.0.1", primary.port)

    async def in_step() -> bool:
        return await asyncio.to_thread(primary.ask, "WAIT", 1, 50) == 1

    await until(in_step, 15)
    return primary, replica


@pytest.fixture
async def queue(following: tuple[Server, Server]) -> AsyncIterator[JobQueue]:
    commands = PooledCommands(connect(following[0].url))
    yield JobQueue(commands, REPLICATED, durable=commands)
    await commands.aclose()


async def test_an_accepted_job_is_on_the_replica(queue: JobQueue, following: tuple[Server, Server]) -> None:
    await queue.check_durability()
    submissions = await asyncio.gather(*(queue.submit(new_job()) for _ in range(20)))
    for submission in submissions:
        assert following[1].ask("EXISTS", keys.job(submission.job.id)) == 1


async def test_submits_share_a_wait(queue: JobQueue, following: tuple[Server, Server]) -> None:
    await queue.submit(new_job())  # the scripts are loaded
    following[0].ask("HDEL", keys.CLOCK, "synced")
    await asyncio.gather(*(queue.submit(new_job()) for _ in range(50)))
    assert int(following[0].ask("HGET", keys.CLOCK, "synced")) <= 2  # type: ignore[call-overload]


async def test_without_replicas_a_submit_is_unavailable_and_may_be_sent_again(
    queue: JobQueue, following: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability_module, "REPLICA_TIMEOUT_MS", 300)
    following[1].ask("REPLICAOF", "NO", "ONE")
    new = new_job(idempotency_key="k")
    with pytest.raises(StoreUnavailable, match="0 of the job store's replicas confirmed") as refused:
        await queue.submit(new)
    assert (refused.value.status, bool(refused.value.retry_after_s)) == (503, True)
    with pytest.raises(StoreUnavailable):
        await queue.find_repeated(new)
    following[1].ask("REPLICAOF", "127.0.0.1", following[0].port)

    async def accepted() -> bool:
        try:
            return not (await queue.submit(new)).created
        except StoreUnavailable:
            return False

    assert await until(accepted, 15)
    assert following[1].ask("EXISTS", keys.job(new.id)) == 1


async def test_each_submit_of_a_round_has_its_own_answer(queue: JobQueue) -> None:
    await queue.submit(new_job(idempotency_key="k", owner="a"))
    other = new_job(idempotency_key="k", owner="a", payload=b"another")
    first, second, third = await asyncio.gather(
        queue.submit(new_job()), queue.submit(other), queue.submit(new_job()), return_exceptions=True
    )
    assert isinstance(second, IdempotencyConflict)
    assert not isinstance(first, BaseException)
    assert not isinstance(third, BaseException)


async def test_scripts_are_loaded_again_and_a_full_store_is_a_refusal(
    queue: JobQueue, following: tuple[Server, Server]
) -> None:
    following[0].ask("SCRIPT", "FLUSH")
    assert (await queue.submit(new_job())).created
    following[0].ask("CONFIG", "SET", "maxmemory", "1mb")
    try:
        with pytest.raises(StoreUnavailable, match="full"):
            await queue.submit(new_job())
    finally:
        following[0].ask("CONFIG", "SET", "maxmemory", "0")


async def test_a_cancelled_submit_does_not_disturb_the_others(queue: JobQueue) -> None:
    cancelled = asyncio.create_task(queue.submit(new_job()))
    others = [asyncio.create_task(queue.submit(new_job())) for _ in range(3)]
    await asyncio.sleep(0)
    cancelled.cancel()
    assert all(submission.created for submission in await asyncio.gather(*others))


async def test_a_server_that_cannot_wait_is_rejected_at_start(tmp_path: Path) -> None:
    with server(tmp_path / "plain", "--save", "", "--rename-command", "WAIT", "NOWAIT") as plain:
        commands = PooledCommands(connect(plain.url))
        with pytest.raises(DurabilityRefused, match="command WAIT"):
            await Durability(commands, "replicated").check()
        await commands.aclose()


async def test_an_unreachable_store_is_unavailable() -> None:
    commands = PooledCommands(connect("redis://127.0.0.1:1", connect_timeout_s=0.2))
    with pytest.raises(StoreUnavailable):
        await JobQueue(commands, REPLICATED, durable=commands).submit(new_job())
    await commands.aclose()


async def test_a_script_that_the_next_primary_lacks_again_is_sent_whole(
    queue: JobQueue, following: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def loaded_elsewhere(commands: object, script: object) -> bool:
        return True

    monkeypatch.setattr(durability_module, "load_script", loaded_elsewhere)
    following[0].ask("SCRIPT", "FLUSH")
    assert (await queue.submit(new_job())).created


async def test_a_script_that_cannot_be_loaded_is_sent_whole(tmp_path: Path) -> None:
    with server(tmp_path / "strict") as strict:
        strict.ask("ACL", "SETUSER", "app", "on", ">x", "~*", "&*", "+@all", "-script")
        commands = PooledCommands(connect(strict.url.replace("://", "://app:x@")))
        alone = QueueLimits(durability="replicated", min_replicas=0)
        assert (await JobQueue(commands, alone, durable=commands).submit(new_job())).created
        strict.ask("SCRIPT", "FLUSH")
        strict.ask("ACL", "SETUSER", "app", "-eval")
        with pytest.raises(StoreUnavailable, match="eval"):
            await JobQueue(commands, alone, durable=commands).submit(new_job())
        await commands.aclose()
