"""Running jobs while a real server refuses commands: every answer is kept, and the worker works on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hiredis
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.jobs.model import Claim, State
from shared.store.embedded import EmbeddedStore
from tests.jobs.conftest import until
from tests.worker.engine import Bench, bench_on, done, working
from worker.handle import RunHandle

JOBS = 20


@pytest.fixture
async def own_store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    """A server that the test may mistreat."""
    async with EmbeddedStore(tmp_path / "data") as store:
        yield store


@pytest.fixture
async def operator(own_store: EmbeddedStore) -> AsyncIterator[Redis]:
    """A connection from before the trouble."""
    client = Redis.from_url(own_store.url, username="operator", password="x", socket_timeout=20)
    async with Redis.from_url(own_store.url) as first:
        await first.execute_command("ACL", "SETUSER", "operator", "on", ">x", "+@all", "~*", "&*")
    await client.ping()
    yield client
    await client.aclose()


async def require_replicas(operator: Redis, tmp_path: Path) -> None:
    await operator.config_set("min-replicas-to-write", 1)


async def require_no_replicas(operator: Redis) -> None:
    await operator.config_set("min-replicas-to-write", 0)


async def demote(operator: Redis, tmp_path: Path) -> None:
    await operator.execute_command("REPLICAOF", "127.0.0.1", "1")


async def demote_without_stale_reads(operator: Redis, tmp_path: Path) -> None:
    await operator.config_set("replica-serve-stale-data", "no")
    await operator.execute_command("REPLICAOF", "127.0.0.1", "1")


async def promote(operator: Redis) -> None:
    await operator.execute_command("REPLICAOF", "NO", "ONE")


async def break_disk(operator: Redis, tmp_path: Path) -> None:
    directory = (await operator.config_get("dir"))["dir"]
    (Path(directory) / "dump.rdb" / "in-the-way").mkdir(parents=True, exist_ok=True)
    await operator.config_set("save", "3600 1")
    await operator.execute_command("BGSAVE")

    async def failed() -> bool:
        return bool((await operator.info("persistence"))["rdb_last_bgsave_status"] == "err")

    await until(failed)


async def mend_disk(operator: Redis) -> None:
    await operator.config_set("stop-writes-on-bgsave-error", "no")


async def keep_busy(operator: Redis, tmp_path: Path) -> None:
    await operator.config_set("busy-reply-threshold", 20)
    task = asyncio.create_task(_spin(operator))
    operator.spinning = task  # type: ignore[attr-defined]

    async def busy() -> bool:
        try:
            return not await operator.ping()
        except RedisError as error:
            return "BUSY" in str(error)

    await until(busy)


async def _spin(operator: Redis) -> None:
    try:
        await operator.eval("while true do end", 0)
    except RedisError:
        return


async def kill_script(operator: Redis) -> None:
    await operator.script_kill()
    await operator.spinning  # type: ignore[attr-defined]


async def forbid_publishing(operator: Redis, tmp_path: Path) -> None:
    await operator.execute_command("ACL", "SETUSER", "default", "-publish")


async def permit_publishing(operator: Redis) -> None:
    await operator.execute_command("ACL", "SETUSER", "default", "+publish")


async def forbid_scripts(operator: Redis, tmp_path: Path) -> None:
    await operator.execute_command("ACL", "SETUSER", "default", "-evalsha")


async def permit_scripts(operator: Redis) -> None:
    await operator.execute_command("ACL", "SETUSER", "default", "+evalsha")


Breaks = Callable[[Redis, Path], Awaitable[None]]
Mends = Callable[[Redis], Awaitable[None]]


@pytest.mark.parametrize(
    ("breaks", "mends", "reason"),
    [
        pytest.param(require_replicas, require_no_replicas, "too few replicas", id="NOREPLICAS"),
        pytest.param(demote, promote, "replica", id="READONLY"),
        pytest.param(demote_without_stale_reads, promote, "replica", id="MASTERDOWN"),
        pytest.param(break_disk, mend_disk, "cannot save", id="MISCONF"),
        pytest.param(keep_busy, kill_script, "long script", id="BUSY"),
        pytest.param(forbid_publishing, permit_publishing, "publish", id="NOPERM in a script"),
        pytest.param(forbid_scripts, permit_scripts, "evalsha", id="NOPERM"),
    ],
)
async def test_refused_outcomes_wait_and_the_worker_lives(
    own_store: EmbeddedStore,
    operator: Redis,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    breaks: Breaks,
    mends: Mends,
    reason: str,
) -> None:
    gate = asyncio.Event()
    running = 0

    async def run(claim: Claim, handle: RunHandle) -> Any:
        nonlocal running
        running += 1
        await gate.wait()
        return done(claim.payload)

    async with bench_on(own_store.url) as bench, working(own_store.url, run, concurrency=JOBS):
        ids = [await bench.submit(payload=b"%d" % number) for number in range(JOBS)]

        async def all_run() -> bool:
            return running == JOBS

        await until(all_run)
        await breaks(operator, tmp_path)
        gate.set()

        async def waits() -> bool:
            return "outcomes are waiting" in caplog.text

        await until(waits)
        await mends(operator)
        await all_completed(bench, ids)
        await bench.until_state(await bench.submit(), State.COMPLETED)
    assert reason in caplog.text
    assert "could not be written" not in caplog.text


async def all_completed(bench: Bench, ids: list[str]) -> None:
    for number, job_id in enumerate(ids):
        job = await bench.until_state(job_id, State.COMPLETED, State.FAILED)
        assert (job.state, job.result, job.attempts) == (State.COMPLETED, b"%d" % number, 1)


class Front:
    """A server in front of the store that can refuse every command with a word that no table knows."""

    def __init__(self, store_url: str) -> None:
        self._path = urlsplit(store_url).path
        self.refuses = False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        store_reader, store_writer = await asyncio.open_unix_connection(self._path)
        replies = asyncio.create_task(self._pass_replies(store_reader, writer))
        commands = hiredis.Reader()
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                commands.feed(data)
                while (command := commands.gets()) is not False:
                    if self.refuses:
                        writer.write(b"-ODD not today\r\n")
                    else:
                        store_writer.write(hiredis.pack_command(tuple(command)))
        replies.cancel()
        store_writer.close()
        writer.close()

    async def _pass_replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)


async def test_an_unknown_refusal_of_every_write_keeps_the_answers(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    front = Front(redis_url)
    server = await asyncio.start_server(front.accept, "127.0.0.1", 0)
    gate = asyncio.Event()

    async def run(claim: Claim, handle: RunHandle) -> Any:
        await gate.wait()
        return done(claim.payload)

    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with bench_on(redis_url) as bench, working(url, run) as (worker, _):
        ids = [await bench.submit(payload=b"%d" % number) for number in range(3)]

        async def all_run() -> bool:
            return worker._runs.count == len(ids)

        await until(all_run)
        front.refuses = True
        gate.set()

        async def waits() -> bool:
            return "outcomes are waiting" in caplog.text

        await until(waits)
        front.refuses = False
        await all_completed(bench, ids)
    assert "ODD not today" in caplog.text
    server.close()
