"""Restrictions of managed services: commands that they forbid or rename, on a server of our own."""

from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from bench.redis_servers import Server, server
from shared.checks.store import check_store
from shared.jobs.model import Claim, State
from shared.jobs.queue import JobQueue, QueueLimits
from shared.settings.model import JobSettings, Settings
from shared.store.commands import PooledCommands
from shared.store.connection import connect
from tests.jobs.conftest import new_job
from tests.worker.engine import bench_on, done, working
from worker.handle import RunHandle

OPERATORS = "-acl -bgrewriteaof -bgsave -config -debug -migrate -psync -replicaof -save -shutdown -slaveof -sync"
# By their documentation of November 2026.
SERVICES = {
    "ElastiCache and MemoryDB": f"{OPERATORS} -cluster",
    "Memorystore": f"{OPERATORS} -cluster -module -latency -slowlog|reset",
    "Azure": f"{OPERATORS} -cluster -replconf -script|debug",
    "no CLIENT": f"{OPERATORS} -client",
    "no INFO, no ROLE": f"{OPERATORS} -info -role",
    "no scripts are loaded": f"{OPERATORS} -client -info -role -script",
}
RENAMED = ("CONFIG", "CLIENT", "INFO", "ROLE", "SCRIPT", "CLUSTER", "DEBUG", "KEYS", "FLUSHALL")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("managed") / "server") as running:
        yield running


async def has_whole_life(url: str) -> None:
    """A job is submitted, waited for, run and read, over every kind of connection."""

    async def run(claim: Claim, handle: RunHandle) -> Any:
        return done(claim.payload)

    async with bench_on(url) as bench, working(url, run):
        job_id = await bench.submit(payload=b"1")
        job = await bench.until_state(job_id, State.COMPLETED)
        assert (job.result, job.attempts) == (b"1", 1)
        assert "job.completed" in await bench.event_names(job_id)


async def accepts_durably(url: str) -> None:
    async with aclosing(PooledCommands(connect(url))) as commands:
        queue = JobQueue(commands, QueueLimits(durability="replicated", min_replicas=0), durable=commands)
        await queue.check_durability()
        assert (await queue.submit(new_job())).created


@pytest.mark.parametrize("service", SERVICES)
async def test_jobs_run_on_what_a_service_permits(plain: Server, service: str) -> None:
    rules = ["reset", "on", ">x", "~finops:*", "~arq:*", "&finops:*", "+@all", *SERVICES[service].split()]
    plain.ask("FLUSHALL")
    plain.ask("ACL", "SETUSER", "app", *rules)
    url = plain.url.replace("://", "://app:x@")
    await has_whole_life(url)
    await accepts_durably(url)
    findings = await check_store(url, Settings(jobs=JobSettings(durability="replicated")))
    assert {finding.check: finding.level for finding in findings}["store rights"] in {"OK", "WARN"}


async def test_jobs_run_where_commands_are_renamed(tmp_path: Path) -> None:
    options = [word for name in RENAMED for word in ("--rename-command", name, f"X-{name}")]
    with server(tmp_path / "renamed", "--save", "", *options) as renamed:
        await has_whole_life(renamed.url)
        await accepts_durably(renamed.url)
        findings = {finding.check: finding for finding in await check_store(renamed.url, Settings())}
        assert findings["store version"].level == "WARN"
        assert "SCRIPT LOAD" in findings["store rights"].message
