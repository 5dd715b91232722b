"""Shards: what they cost the primaries of a cluster, and whether callers are served fairly over them.

    python -m bench.shards [--seconds 15] [--jobs 6000] [--cases cpu,fairness,simulation] [--keep]

The first case runs jobs of many callers on one cluster of three primaries with 1, 2 and 3 shards, each on a primary of its
own. The second saturates four workers with a hundred callers and lets another caller send five jobs in two seconds,
over 8 and 16 shards of one server. The third carries that on to more workers in a simulation with the same rules.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bench import machine
from bench.redis_servers import cluster, free_port
from bench.report import Report, number, table
from bench.shards_simulation import RUN_S, simulate
from shared.governance.bookings.carrier import BookingCarrier
from shared.governance.limits.guard import governance_scripts
from shared.jobs.model import Claim, NewJob, Outcome, State
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.scripts import SHARD_LIBRARIES, engine_scripts
from shared.jobs.shard_ids import mint_job_id, shard_of
from shared.store.embedded import EmbeddedStore
from shared.store.multiplexed import MultiplexedClient
from worker.handle import RunHandle
from worker.leased_worker import LeasedWorker
from worker.options import WorkerOptions
from worker.sharded_worker import ShardedWorker

LIMITS = QueueLimits(lease_s=60, max_queued=10_000_000)
CALLERS = 100
WORKERS, SLOTS = 4, 25
WARM_S = 2.0
LIGHT_EVERY_S = 0.4  # less than the fair share, from 250 jobs a second on
LEDGER = b'{"v":1,"provider":"sim","model":"sim/fast","status":200,"cost":7,"input":3,"output":4,"priced":true}'


@dataclass
class Engine:
    """The queues of all shards of a store."""

    url: str
    shards: int
    commands: list[MultiplexedClient] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self.commands = [MultiplexedClient(self.url, shard=shard, timeout_s=30) for shard in range(self.shards)]
        self.queues = [JobQueue(commands, LIMITS) for commands in self.commands]
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for commands in self.commands:
            await commands.aclose()

    async def submit(self, caller: str) -> None:
        shard = shard_of(caller, self.shards)
        job = NewJob(
            id=mint_job_id(shard), owner=caller, request_type="chat.completions", model="sim/fast", payload=b"x" * 300,
            max_queued=1_000_000,
        )  # fmt: skip
        await self.queues[shard].submit(job)

    async def carry(self) -> None:
        """Carry the bookings of all shards."""
        for commands in self.commands[1:]:
            await BookingCarrier(commands, self.commands[0]).carry_all()

    def worker(self, run: object, name: str, slots: int) -> LeasedWorker | ShardedWorker:
        options = WorkerOptions(concurrency=slots, limits=LIMITS, grace_s=0.1, worker_id=name)
        if self.shards == 1:
            return LeasedWorker.connect(self.url, run, options)  # type: ignore[arg-type]
        return ShardedWorker.connect(self.url, [run] * self.shards, options)  # type: ignore[list-item]


@dataclass(frozen=True)
class Cost:
    """Of a job: microseconds of each primary's CPU, and how many jobs a second were done, submits and workers beside it."""

    primaries_us: Sequence[float]
    jobs_per_s: float


async def store_cost(url: str, pids: Sequence[int], shards: int, jobs: int) -> Cost:
    """Submit and run jobs of a hundred callers."""
    done = 0

    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        nonlocal done
        done += 1
        return Outcome(state=State.COMPLETED, status_code=200, result=b"{}", ledger=LEDGER)

    async with Engine(url, shards) as engine:
        worker = engine.worker(run, "w", 200)
        serving = asyncio.create_task(worker.serve())
        await worker.ready.wait()
        cpu, begun = [machine.cpu_s(pid) for pid in pids], time.perf_counter()
        for first in range(0, jobs, CALLERS):
            await asyncio.gather(
                *(engine.submit(f"caller-{number % CALLERS}") for number in range(first, first + CALLERS))
            )
        while done < jobs:
            await asyncio.sleep(0.01)
        await engine.carry()
        seconds = time.perf_counter() - begun
        used = [(machine.cpu_s(pid) - before) * 1e6 / jobs for pid, before in zip(pids, cpu, strict=True)]
        worker.stop()
        await serving
    return Cost(used, jobs / seconds)


@dataclass(frozen=True)
class Fairness:
    """Least and most service of a caller over the fair share, and the waits of the light caller in milliseconds."""

    jobs_per_s: float
    least: float
    most: float
    waits_ms: Sequence[float]


async def fairness(url: str, shards: int, seconds: float) -> Fairness:
    """Saturate four workers with a hundred callers of the same weight, and send a light caller's jobs beside them."""
    served: Counter[str] = Counter()
    waits: list[float] = []
    counting = False

    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        if claim.owner == "light":
            waits.append(claim.started_ms - claim.due_ms)
        elif counting:
            served[claim.owner] += 1
        await asyncio.sleep(random.uniform(*RUN_S))
        return Outcome(state=State.COMPLETED, status_code=200, result=b"{}")

    callers = [f"caller-{number}" for number in range(CALLERS)]
    async with Engine(url, shards) as engine:
        for _ in range(round((seconds + 2 * WARM_S) * WORKERS * SLOTS * 2 / sum(RUN_S) / CALLERS * 1.2)):
            await asyncio.gather(*map(engine.submit, callers))
        workers = [engine.worker(run, f"w{number}", SLOTS) for number in range(WORKERS)]
        serving = [asyncio.create_task(worker.serve()) for worker in workers]
        await asyncio.sleep(WARM_S)
        counting, begun = True, time.perf_counter()
        while time.perf_counter() - begun < seconds:
            await engine.submit("light")
            await asyncio.sleep(LIGHT_EVERY_S)
        counting = False
        for worker in workers:
            worker.stop()
        await asyncio.gather(*serving)
    share = sum(served.values()) / CALLERS
    shares = [served[caller] / share for caller in callers]
    return Fairness(sum(served.values()) / seconds, min(shares), max(shares), sorted(waits))


def show_cost(report: Report, jobs: int) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder, cluster(Path(folder) / "cluster", timeout_ms=20_000) as made:
        pids = [node.process.pid for node in made.primaries if node.process is not None]
        for shards in (1, 2, 3):
            for node in made.primaries:
                node.ask("FLUSHALL")
            cost = asyncio.run(store_cost(made.url, pids, shards, jobs))
            used = " + ".join(f"{us:.0f}" for us in cost.primaries_us[:shards])
            rows.append([str(shards), used, number(max(cost.primaries_us)), number(cost.jobs_per_s)])
    head = [
        "primaries",
        "us of each primary's CPU a job",
        "the busiest one's",
        "jobs/s, with submits and worker in one process",
    ]
    report.section("Store CPU of a job's life, by primaries", table(head, rows))


def show_fairness(report: Report, seconds: float) -> None:
    rows = []
    for shards in (8, 16):
        with tempfile.TemporaryDirectory() as folder:
            store = EmbeddedStore(Path(folder) / "store", port=free_port())
            store.start()
            try:
                found = asyncio.run(fairness(store.url, shards, seconds))
            finally:
                store.stop()
        p50, p90 = statistics.median(found.waits_ms), found.waits_ms[int(len(found.waits_ms) * 0.9)]
        shares = [f"{found.least:.3f}", f"{found.most:.3f}"]
        rows.append(
            [str(shards), number(found.jobs_per_s), *shares, number(p50), number(p90), number(found.waits_ms[-1])]
        )
    head = [
        "shards",
        "jobs/s",
        "least / fair share",
        "most / fair share",
        "light caller's wait p50, ms",
        "p90",
        "worst",
    ]
    report.section(
        f"{CALLERS} saturating callers and a light one, {WORKERS} workers of {SLOTS} slots", table(head, rows)
    )


def show_simulation(report: Report) -> None:
    rows = []
    for shards, workers in ((8, 8), (16, 8), (16, 32)):
        found = simulate(shards, workers, slots=50, callers=CALLERS, seconds=30)
        waits = [number(found.wait_ms(share)) for share in (0.5, 0.9, 1.0)]
        rows.append([str(shards), f"{workers} x 50", f"{found.least:.3f}", f"{found.most:.3f}", *waits])
    head = [
        "shards",
        "workers x slots",
        "least / fair share",
        "most / fair share",
        "light caller's wait p50, ms",
        "p90",
        "worst",
    ]
    report.section("Simulated, with the same rules", table(head, rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="how long each fairness run counts")
    parser.add_argument("--jobs", type=int, default=6000, help="jobs of each run that measures CPU")
    parser.add_argument("--cases", default="cpu,fairness,simulation")
    parser.add_argument("--keep", action="store_true", help="write the tables into RESULTS.md")
    options = parser.parse_args()
    engine_scripts()
    engine_scripts(SHARD_LIBRARIES)
    governance_scripts()
    report = Report("Shards", [machine.shape(), f"load average {machine.load():.1f}"])
    cases = options.cases.split(",")
    if "cpu" in cases:
        show_cost(report, options.jobs)
    if "fairness" in cases:
        show_fairness(report, options.seconds)
    if "simulation" in cases:
        show_simulation(report)
    if options.keep:
        report.keep()


if __name__ == "__main__":
    main()
