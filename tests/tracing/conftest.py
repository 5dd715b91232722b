"""A gateway that sends its traces to a collector, and a worker that does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from shared.inference.assembly import build_tracing
from shared.jobs.model import Deferral
from shared.settings.telemetry import TelemetrySettings
from shared.telemetry.tracing import Tracing
from tests.api.conftest import Gateway, Start, Worker, sim, start  # noqa: F401 - fixtures
from tests.tracing.collector import Collector, collecting
from worker.handle import RunHandle
from worker.traced import TracedRuns


@pytest.fixture(scope="session", autouse=True)
def _imported() -> None:
    """A process imports the extra before its loop runs; so do the tests."""
    Tracing(TelemetrySettings(otlp_endpoint="http://127.0.0.1:9"), "api", "1").close()


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as collector:
        yield collector


Traced = Callable[..., Awaitable[Gateway]]


@pytest.fixture
def traced(collector: Collector, start: Start) -> Traced:  # noqa: F811
    """Start a gateway with traces; keyword arguments are tables of its configuration."""

    async def begin(**more: Any) -> Gateway:
        telemetry = {"otlp_endpoint": collector.url, **more.pop("telemetry", {})}
        return await start(telemetry=telemetry, **more)

    return begin


@pytest.fixture
async def work_off(collector: Collector) -> AsyncIterator[Callable[[Gateway], Awaitable[int]]]:
    """Run all queued jobs of a gateway with traces of the worker's own."""
    made: list[Any] = []

    async def work(gateway: Gateway) -> int:
        services = gateway.services
        tracing = build_tracing(services.settings, "worker", "1")
        assert tracing
        made.append(tracing)
        worker = Worker(services)
        runs = TracedRuns(worker.runners[0].run, tracing)
        done = 0
        while claims := await worker.claim(32):
            for claim in claims:
                outcome = await runs.run(claim, RunHandle(claim, 0.0, 0.0, lambda handle: None))
                if isinstance(outcome, Deferral):
                    await services.queue.defer(claim, outcome)
                else:
                    await services.store.finish(claim, outcome)
                done += 1
        await asyncio.to_thread(tracing.flush)
        return done

    yield work
    for tracing in made:
        await asyncio.to_thread(tracing.close)
