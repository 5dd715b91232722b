"""A worker process takes a changed configuration while jobs are claimed and run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from shared.jobs.model import Claim, State
from shared.providers.configuration import Configuration
from shared.settings.load import load_settings
from shared.settings.model import Settings
from tests.waiting import wait_until
from tests.worker.engine import LONG, Bench, bench_on, done
from worker.handle import RunHandle
from worker.leased_worker import LeasedWorker, WorkerOptions
from worker.succession import Shift, Succession


class Process:
    """A worker process without its signals: runs wait for ``open``."""

    def __init__(self, bench: Bench, file: Path) -> None:
        self.file = file
        self.bench = bench
        self.gate = asyncio.Event()
        self.begun: list[Settings] = []
        self.closed = 0
        self.ran: list[int] = []
        self.workers: list[LeasedWorker] = []
        environ = {"FINOPS_CONFIG": str(file)}
        file.write_text("[jobs]\nmax_attempts = 1\n")
        self.settings = load_settings(environ=environ)
        self.succession = Succession(self.begin, Configuration(self.settings, environ))

    async def begin(self, settings: Settings, exits: AsyncExitStack) -> Shift:
        self.begun.append(settings)
        exits.callback(self.close)

        async def run(claim: Claim, handle: RunHandle) -> object:
            self.ran.append(settings.jobs.max_attempts)
            await self.gate.wait()
            return done()

        worker = LeasedWorker.connect(self.bench.url, run, WorkerOptions(limits=LONG, grace_s=10))
        self.workers.append(worker)
        return Shift(worker, lambda: {"sim": {"attempts": settings.jobs.max_attempts}})

    def close(self) -> None:
        self.closed += 1

    async def ready(self) -> None:
        await wait_until(self.succession.ready, 20)


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    async with bench_on(redis_url) as made:
        yield made


@pytest.fixture
async def process(bench: Bench, tmp_path: Path) -> AsyncIterator[Process]:
    process = await asyncio.to_thread(Process, bench, tmp_path / "finops.toml")
    assert not process.succession.ready()
    assert process.succession.states() == {}
    await process.succession.start(process.settings)
    await process.ready()
    yield process
    process.gate.set()
    process.succession.stop()
    await process.succession.until_ended()


async def test_a_running_job_ends_in_the_old_worker_and_the_next_one_runs_in_the_new(process: Process) -> None:
    first = await process.bench.submit()
    await process.bench.until_state(first, State.RUNNING)
    await asyncio.to_thread(process.file.write_text, "[jobs]\nmax_attempts = 2\n")
    await process.succession.reload()
    assert process.succession.states() == {"sim": {"attempts": 2}}
    await wait_until(lambda: not process.workers[0].ready.is_set(), 20)
    second = await process.bench.submit()
    await process.bench.until_state(second, State.RUNNING)
    await wait_until(lambda: process.ran == [1, 2], 20)  # claimed is not yet begun
    process.gate.set()
    assert (await process.bench.until_state(first, State.COMPLETED)).attempts == 1
    await process.bench.until_state(second, State.COMPLETED)
    await wait_until(lambda: process.closed == 1, 20)


async def test_the_same_configuration_and_an_invalid_one_change_nothing(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    await process.succession.reload()
    await asyncio.to_thread(process.file.write_text, "[jobs]\nmax_attempts = 0\n")
    process.succession.reload_soon()
    await wait_until(lambda: "nothing has changed" in caplog.text, 20)
    assert len(process.begun) == 1
    assert "max_attempts" in caplog.text


async def test_a_stop_gives_a_worker_that_was_replaced_its_grace(process: Process) -> None:
    job = await process.bench.submit()
    await process.bench.until_state(job, State.RUNNING)
    await asyncio.to_thread(process.file.write_text, "[jobs]\nmax_attempts = 2\n")
    await process.succession.reload()
    process.succession.stop()
    process.gate.set()
    await process.succession.until_ended()
    assert (await process.bench.until_state(job, State.COMPLETED)).attempts == 1
    assert process.closed == 2
    await asyncio.to_thread(process.file.write_text, "[jobs]\nmax_attempts = 3\n")
    await process.succession.reload()
    assert len(process.begun) == 2


async def test_a_worker_that_cannot_be_built_leaves_the_old_one_at_work(
    process: Process, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def begin(settings: Settings, exits: AsyncExitStack) -> Shift:
        exits.callback(process.close)
        raise ModuleNotFoundError("the extra 'otel' is not installed")

    with monkeypatch.context() as patched:
        patched.setattr(process.succession, "_begin", begin)
        await asyncio.to_thread(process.file.write_text, "[jobs]\nmax_attempts = 2\n")
        await process.succession.reload()
    assert "the extra 'otel' is not installed" in caplog.text
    assert process.closed == 1
    assert process.succession.ready()
    await process.succession.reload()
    assert len(process.begun) == 2


async def test_a_stop_while_a_worker_is_built_ends_it_too(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    async def begin(settings: Settings, exits: AsyncExitStack) -> Shift:
        shift = await process.begin(settings, exits)
        process.succession.stop()
        return shift

    monkeypatch.setattr(process.succession, "_begin", begin)
    await asyncio.to_thread(process.file.write_text, "[jobs]\nmax_attempts = 2\n")
    await process.succession.reload()
    await process.succession.until_ended()
    assert process.closed == 2


async def test_a_second_stop_ends_the_grace(process: Process) -> None:
    job = await process.bench.submit()
    await process.bench.until_state(job, State.RUNNING)
    process.succession.stop()
    process.succession.stop()
    await process.succession.until_ended()
    assert (await process.bench.until_state(job, State.QUEUED, State.DEFERRED)).attempts <= 1


async def test_what_breaks_one_worker_ends_the_process(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> None:
        raise RuntimeError("broken")

    async def begin(settings: Settings, exits: AsyncExitStack) -> Shift:
        shift = await process.begin(settings, exits)
        monkeypatch.setattr(shift.worker, "serve", broken)
        return shift

    monkeypatch.setattr(process.succession, "_begin", begin)
    await process.succession.start(process.settings)
    with pytest.raises(RuntimeError, match="broken"):
        await process.succession.until_ended()
