"""The measurements of `finops bench`: a trial system under load, with the simulator as its provider."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from cli.client.bench_client import BenchClient
from cli.supervisor.trial import trial

BODY = b'{"model": "sim/gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}'
DIRECT_BODY = BODY.replace(b"sim/", b"")
CALL = "/v1/chat/completions"
SUBMIT = "/v1/async/chat/completions"
SENDERS = 32
WARM_UP = 30


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure."""

    name: str
    value: float
    unit: str


async def measure(jobs: int, calls: int, workers: int, report: Callable[[str], None]) -> list[Figure]:
    """Start a trial system and measure it.

    Args:
        jobs: Jobs of the flood.
        calls: Jobs and calls that are sent one by one.
        workers: Worker processes.
        report: Called at the start of each step.

    Raises:
        click.ClickException: The system does not start, or a request failed.
    """
    report("starting a system to measure ...")
    async with trial(workers=workers, FINOPS_LOG_LEVEL="warning") as running:
        system = running.system
        async with BenchClient(system.url, system.admin_key) as gateway, BenchClient(system.simulator_url) as simulator:
            await _warm_up(gateway)
            report("jobs one by one ...")
            figures = await _measure_single_jobs(gateway, calls)
            report("a flood of jobs ...")
            figures.append(await _measure_flood(gateway, jobs))
            report("synchronous calls ...")
            return figures + await _measure_calls(gateway, simulator, calls)


async def _warm_up(gateway: BenchClient) -> None:
    for _ in range(WARM_UP):
        await gateway.post(SUBMIT, BODY)
        await gateway.post(CALL, BODY)
    await _until_idle(gateway)


async def _measure_single_jobs(gateway: BenchClient, count: int) -> list[Figure]:
    """Submit jobs one after the other to an idle queue; the store's clock times each pick-up."""
    submits_ms, pick_ups_ms = [], []
    for _ in range(count):
        began = time.perf_counter()
        envelope = await gateway.post(SUBMIT, BODY)
        submits_ms.append((time.perf_counter() - began) * 1000)
        job = await gateway.get(f"/v1/async/jobs/{orjson.loads(envelope)['id']}")
        waited = datetime.fromisoformat(job["started_at"]) - datetime.fromisoformat(job["created_at"])
        pick_ups_ms.append(waited.total_seconds() * 1000)
    return [*_percentiles("submit", submits_ms), *_percentiles("pick-up, to the ms", pick_ups_ms)]


async def _measure_flood(gateway: BenchClient, count: int) -> Figure:
    """Submit many jobs at once, and time them from the first submit to the last outcome."""
    remaining = iter(range(count))

    async def send() -> None:
        for _ in remaining:
            await gateway.post(SUBMIT, BODY)

    began = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(SENDERS)))
    await _until_idle(gateway)
    return Figure("jobs, submit to outcome", count / (time.perf_counter() - began), "jobs/s")


async def _measure_calls(gateway: BenchClient, simulator: BenchClient, count: int) -> list[Figure]:
    """Send the same call through the gateway and directly to the simulator, in turns, to get the difference."""
    through, direct = [], []
    for _ in range(count):
        through.append(await _time_ms(lambda: gateway.post(CALL, BODY)))
        direct.append(await _time_ms(lambda: simulator.post(CALL, DIRECT_BODY)))
    added = statistics.median(through) - statistics.median(direct)
    return [*_percentiles("synchronous call", through), Figure("synchronous overhead, p50", added, "ms")]


async def _until_idle(gateway: BenchClient) -> None:
    while True:
        queue = await gateway.get("/api/queue")
        if not queue["depth"] + queue["running"] + queue["deferred"]:
            return
        await asyncio.sleep(0.01)


async def _time_ms(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1000


def _percentiles(name: str, values_ms: Sequence[float]) -> list[Figure]:
    cuts = statistics.quantiles(values_ms, n=100, method="inclusive")
    return [Figure(f"{name}, p50", cuts[49], "ms"), Figure(f"{name}, p99", cuts[98], "ms")]
