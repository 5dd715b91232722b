"""``finops bench``: what this machine gives, measured against the simulator in a trial system."""

import asyncio
import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import click
import httpx
import orjson

from cli.client.bench_client import BenchClient
from cli.examples import examples
from cli.supervisor.trial import trial
from cli.views.output import echo_json, err, out, table

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


@click.command(name="bench", epilog=examples("finops bench", "finops bench --jobs 5000 --workers 2 --json"))
@click.option("--jobs", type=click.IntRange(100, 100_000), default=2000, show_default=True, help="Jobs of the flood.")
@click.option("--calls", type=click.IntRange(50, 10_000), default=200, show_default=True, help="Calls one by one.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Worker processes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(*, jobs: int, calls: int, workers: int, as_json: bool) -> None:
    """Measure submit, pick-up, throughput and synchronous overhead.

    Everything runs on this machine, the measuring client too: a system alone on its cores is faster.
    """
    try:
        figures = asyncio.run(_measure(jobs, calls, workers))
    except httpx.HTTPError as error:
        raise click.ClickException(f"the measurement failed: {error}") from None
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    if as_json:
        echo_json({"machine": machine, "workers": workers, "figures": [asdict(figure) for figure in figures]})
        return
    rows = [(figure.name, f"{figure.value:,.2f}", figure.unit) for figure in figures]
    out().print(table(("figure", "value", "unit"), rows))
    out().print(f"\n{machine['cpus']} cores, Python {machine['python']}, {workers} worker process(es)", markup=False)


async def _measure(jobs: int, calls: int, workers: int) -> list[Figure]:
    err().print("starting a system to measure ...")
    async with trial(workers=workers, FINOPS_LOG_LEVEL="warning") as running:
        system = running.system
        async with BenchClient(system.url, system.admin_key) as gateway, BenchClient(system.simulator_url) as simulator:
            await _warm_up(gateway)
            err().print("jobs one by one ...")
            figures = await _measure_single_jobs(gateway, calls)
            err().print("a flood of jobs ...")
            figures.append(await _measure_flood(gateway, jobs))
            err().print("synchronous calls ...")
            return figures + await _measure_calls(gateway, simulator, calls)


async def _warm_up(gateway: BenchClient) -> None:
    for _ in range(WARM_UP):
        await gateway.post(SUBMIT, BODY)
        await gateway.post(CALL, BODY)
    await _until_idle(gateway)


async def _measure_single_jobs(gateway: BenchClient, count: int) -> list[Figure]:
    """Submit jobs one after the other to an idle queue; the store's clock says when each was picked up."""
    submits_ms, pick_ups_ms = [], []
    for _ in range(count):
        began = time.perf_counter()
        made = await gateway.post(SUBMIT, BODY)
        submits_ms.append((time.perf_counter() - began) * 1000)
        job = await gateway.get(f"/v1/async/jobs/{orjson.loads(made)['id']}")
        waited = datetime.fromisoformat(job["started_at"]) - datetime.fromisoformat(job["created_at"])
        pick_ups_ms.append(waited.total_seconds() * 1000)
    return [*_percentiles("submit", submits_ms), *_percentiles("pick-up, to the ms", pick_ups_ms)]


async def _measure_flood(gateway: BenchClient, count: int) -> Figure:
    """Many jobs at once, from the first submit to the last outcome."""
    left = iter(range(count))

    async def send() -> None:
        for _ in left:
            await gateway.post(SUBMIT, BODY)

    began = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(SENDERS)))
    await _until_idle(gateway)
    return Figure("jobs, submit to outcome", count / (time.perf_counter() - began), "jobs/s")


async def _measure_calls(gateway: BenchClient, simulator: BenchClient, count: int) -> list[Figure]:
    """The same call through the gateway and to the simulator itself, in turns: the difference is ours."""
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
