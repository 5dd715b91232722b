"""The measurement of `finops bench scale`: steps of load, and workers added and removed as the gateway asks."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import quantiles
from typing import Any, Final

import orjson

from cli.client.bench_client import BenchClient
from cli.supervisor.measurement import SUBMIT, Figure
from cli.supervisor.trial import Trial, trial

TICK_S: Final = 0.02
LOOK_EVERY_S: Final = 0.5
CALM_S: Final = 5.0
"""Workers are removed once fewer have been wanted for so long, as an autoscaler's stabilisation window does."""
READERS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePlan:
    """A load and the bounds of what works on it.

    Attributes:
        rates: Jobs per second of each phase.
        phase_s: Length of a phase in seconds.
        job_s: How long the simulated provider takes to answer.
        concurrency: Jobs that one worker runs at once.
        max_workers: Most workers.
    """

    rates: tuple[float, ...] = (15.0, 90.0, 15.0)
    phase_s: float = 20.0
    job_s: float = 1.0
    concurrency: int = 40
    max_workers: int = 4

    def due(self, at_s: float) -> float:
        """Return how many jobs are to be submitted until a time, in seconds from the start."""
        return sum(
            rate * min(max(at_s - number * self.phase_s, 0.0), self.phase_s) for number, rate in enumerate(self.rates)
        )

    @property
    def total_s(self) -> float:
        """The length of the load."""
        return self.phase_s * len(self.rates)


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at a time: seconds from the start, waiting and running jobs, workers wanted and there."""

    at_s: float
    waiting: int
    running: int
    wanted: int
    workers: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that has ended: when it was submitted and how long it waited, in seconds, and its runs."""

    at_s: float
    wait_s: float
    attempts: int
    completed: bool


@dataclass(slots=True)
class ScaleRun:
    """What a measurement found."""

    plan: ScalePlan
    samples: list[Sample] = field(default_factory=list)
    jobs: list[Ended] = field(default_factory=list)
    submitted: int = 0

    @property
    def lost(self) -> int:
        """Submitted jobs that were not completed."""
        return self.submitted - sum(job.completed for job in self.jobs)

    def figures(self) -> list[Figure]:
        """Sum it up."""
        waits = [job.wait_s for job in self.jobs]
        cuts = quantiles(waits, n=100, method="inclusive") if len(waits) > 1 else [0.0] * 99
        step_s = self.plan.phase_s
        most = max(sample.workers for sample in self.samples)
        scaled_s = next(sample.at_s for sample in self.samples if sample.workers == most)
        return [
            Figure("jobs submitted", self.submitted, "jobs"),
            Figure("jobs lost", self.lost, "jobs"),
            Figure("jobs run more than once", sum(job.attempts > 1 for job in self.jobs), "jobs"),
            Figure("workers, least", min(sample.workers for sample in self.samples), "workers"),
            Figure("workers, most", most, "workers"),
            Figure("workers at the end", self.samples[-1].workers, "workers"),
            Figure("step of load to most workers", max(scaled_s - step_s, 0.0), "s"),
            Figure("depth, most", max(sample.waiting for sample in self.samples), "jobs"),
            Figure("wait, p50", cuts[49], "s"),
            Figure("wait, p95", cuts[94], "s"),
            Figure("wait, most", max(waits, default=0.0), "s"),
        ]


class WorkerFleet:
    """The workers of a trial system: as many as are wanted, started at once and stopped after a calm time.

    Args:
        running: The system, with one worker.
        plan: The workers' bounds.
        now: Seconds from the start.
    """

    def __init__(self, running: Trial, plan: ScalePlan, now: Callable[[], float]) -> None:
        self._running = running
        self._plan = plan
        self._now = now
        self._wanted: list[tuple[float, int]] = []
        self._changes: set[asyncio.Task[None]] = set()
        self._planned = self.ready = 1

    def want(self, count: int) -> None:
        """Start or stop workers; returns at once."""
        now = self._now()
        self._wanted = [(at, number) for at, number in self._wanted if now - at < CALM_S] + [(now, count)]
        calm = max(number for _, number in self._wanted)  # fewer only if fewer were wanted all the time
        while self._planned < count:
            self._planned += 1
            self._begin(self._add())
        while self._planned > calm and self.ready == self._planned:  # none is being started, which would be the last
            self._planned -= 1
            self.ready -= 1
            self._begin(self._running.remove_worker())

    @property
    def rests_at_one(self) -> bool:
        """Whether one worker is left and none is being started."""
        return self.ready == self._planned == 1

    async def settle(self) -> None:
        """Wait until every start and stop has ended."""
        await asyncio.gather(*self._changes)

    def _begin(self, change: Any) -> None:  # noqa: ANN401 - a coroutine
        self._changes.add(asyncio.create_task(change))

    async def _add(self) -> None:
        await self._running.add_worker(self._plan.concurrency)
        self.ready += 1


async def measure_scaling(plan: ScalePlan, report: Callable[[str], None]) -> ScaleRun:
    """Put a load on a trial system whose workers follow `GET /api/queue/scale`.

    Args:
        plan: The load.
        report: Called at the start of each step.

    Raises:
        click.ClickException: The system or a worker does not start, or a request failed.
    """
    report("starting a system to measure ...")
    async with (
        trial(workers=1, concurrency=plan.concurrency, FINOPS_LOG_LEVEL="warning") as running,
        BenchClient(running.system.url, running.system.admin_key) as gateway,
    ):
        report(f"submitting jobs for {plan.total_s:g} s, then waiting until one worker is left ...")
        return await _measure(plan, running, gateway)


async def _measure(plan: ScalePlan, running: Trial, gateway: BenchClient) -> ScaleRun:
    began, run, submitted = time.time(), ScaleRun(plan), asyncio.Event()

    def now() -> float:
        return time.time() - began

    fleet = WorkerFleet(running, plan, now)

    async def submit() -> list[str]:
        ids = await _submit(plan, gateway, now)
        submitted.set()
        return ids

    ids, _ = await asyncio.gather(submit(), _follow(gateway, fleet, run, now, submitted=submitted))
    await fleet.settle()
    run.submitted = len(ids)
    run.jobs = await _read(ids, gateway, began)
    return run


async def _follow(
    gateway: BenchClient, fleet: WorkerFleet, run: ScaleRun, now: Callable[[], float], *, submitted: asyncio.Event
) -> None:
    """Ask how many workers are wanted, and have so many, until everything has run and one is left."""
    while True:
        scale = await gateway.get(f"/api/queue/scale?min=1&max={run.plan.max_workers}")
        run.samples.append(Sample(now(), scale["claimable"], scale["running"], scale["desired_workers"], fleet.ready))
        if submitted.is_set() and not scale["load"] and fleet.rests_at_one:
            return
        fleet.want(scale["desired_workers"])
        await asyncio.sleep(LOOK_EVERY_S)


async def _submit(plan: ScalePlan, gateway: BenchClient, now: Callable[[], float]) -> list[str]:
    """Submit the plan's jobs when they are due, whether or not earlier ones were answered; return their ids."""
    body = orjson.dumps(
        {"model": f"sim/gpt-4o@latency={plan.job_s:g}", "messages": [{"role": "user", "content": "Hello"}]}
    )
    sent: list[asyncio.Task[bytes]] = []
    while (at_s := now()) < plan.total_s:
        sent += [asyncio.create_task(gateway.post(SUBMIT, body)) for _ in range(int(plan.due(at_s)) - len(sent))]
        await asyncio.sleep(TICK_S)
    return [orjson.loads(answer)["id"] for answer in await asyncio.gather(*sent)]


async def _read(ids: Sequence[str], gateway: BenchClient, began: float) -> list[Ended]:
    """Read every job's end."""
    found: list[Ended] = []
    remaining = iter(ids)

    async def read() -> None:
        for job_id in remaining:
            job = await gateway.get(f"/v1/async/jobs/{job_id}")
            created, started = (datetime.fromisoformat(job[name]).timestamp() for name in ("created_at", "started_at"))
            found.append(Ended(created - began, started - created, job["attempts"], job["status"] == "completed"))

    await asyncio.gather(*(read() for _ in range(READERS)))
    return sorted(found, key=lambda job: job.at_s)
