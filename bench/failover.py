"""Jobs through the engine while the primary of a Sentinel set is killed; what is lost, and how long does it take?

    python -m bench.failover [--jobs 2000] [--kills 2] [--back-after 6] [--durability replicated] [--keep]

Three Sentinels, a primary and two replicas run on free ports of 127.0.0.1, from the installed ``redis-server`` or the
bundled server. Callers repeat what was not answered under the same id. Ends with 1 when an accepted job is lost with
``replicated``, an outcome is doubled, or work does not go on within 5 s of an election.
"""

import argparse
import asyncio
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine
from bench.redis_servers import SentinelSet, find_binary
from bench.report import Report, number, table
from shared.errors import StoreUnavailable
from shared.jobs.durability import ANSWER_TIMEOUT_S
from shared.jobs.model import Claim, Job, NewJob, Outcome, State
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.store import JobStore
from shared.store.commands import PooledCommands
from shared.store.connection import connect
from shared.store.multiplexed import MultiplexedClient
from worker.handle import RunHandle
from worker.leased_worker import LeasedWorker, WorkerOptions

SENDERS = 20
WORKERS = 2
RUN_S = 0.1
LIMIT_S = 5.0
PATIENCE_S = 120.0
PAUSE_S = 0.05


@dataclass
class Seen:
    """What callers were answered, and when."""

    accepted: dict[str, float] = field(default_factory=dict)
    runs: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    elections: list[float] = field(default_factory=list)

    def gaps(self) -> list[float]:
        """Seconds from each election to the first submit accepted after it."""
        times = sorted(self.accepted.values())
        return [min((at - since for at in times if at >= since), default=PATIENCE_S) for since in self.elections]


async def submit_all(queue: JobQueue, seen: Seen, count: int, per_s: float) -> None:
    """Submit at a steady rate; each caller repeats until it is answered."""
    busy = asyncio.Semaphore(SENDERS)

    async def one() -> None:
        async with busy:
            new = NewJob(id=str(uuid.uuid4()), request_type="chat.completions", model="bench", payload=b'{"n":1}')
            give_up_at = time.monotonic() + PATIENCE_S
            while time.monotonic() < give_up_at:
                try:
                    await queue.submit(new)
                except StoreUnavailable:
                    seen.unanswered += 1
                    await asyncio.sleep(PAUSE_S)
                else:
                    seen.accepted[new.id] = time.monotonic()
                    return

    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(one())
            await asyncio.sleep(1 / per_s)


async def kill_primaries(servers: SentinelSet, seen: Seen, kills: int, back_after_s: float, every_s: float) -> None:
    """Kill the primary again and again; each comes back as it was."""
    for _ in range(kills):
        await asyncio.sleep(every_s)
        old = await asyncio.to_thread(servers.primary)
        await asyncio.to_thread(old.kill)
        since = time.monotonic()
        while await asyncio.to_thread(servers.primary) is old and time.monotonic() < since + PATIENCE_S:
            await asyncio.sleep(PAUSE_S)
        seen.elections.append(time.monotonic())
        await asyncio.sleep(max(0.0, since + back_after_s - time.monotonic()))
        await asyncio.to_thread(old.start)
        await asyncio.to_thread(servers.until_complete)


async def outcome_of(store: JobStore, job_id: str) -> Job | None:
    """Wait for a job's end; None when the store does not know it."""
    give_up_at = time.monotonic() + PATIENCE_S
    job = None
    while time.monotonic() < give_up_at:
        try:
            job = await store.get(job_id)
        except StoreUnavailable:
            await asyncio.sleep(PAUSE_S)
            continue
        if job is None or not job.live:
            return job
        await asyncio.sleep(PAUSE_S)
    return job


async def measure(servers: SentinelSet, options: argparse.Namespace) -> tuple[Seen, Counter[str]]:
    seen = Seen()

    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        seen.runs[claim.id] += 1
        await asyncio.sleep(RUN_S)
        return Outcome(state=State.COMPLETED, status_code=200, result=b"{}")

    limits = QueueLimits(durability=options.durability, lease_s=2.0)
    commands = MultiplexedClient(servers.url, timeout_s=2.0, connect_timeout_s=1.0)
    durable = PooledCommands(connect(servers.url, timeout_s=ANSWER_TIMEOUT_S, connect_timeout_s=1.0))
    queue = JobQueue(commands, limits, durable=durable)
    workers = [LeasedWorker.connect(servers.url, run, WorkerOptions(limits=limits)) for _ in range(WORKERS)]
    serving = [asyncio.create_task(worker.serve()) for worker in workers]
    killer = asyncio.create_task(
        kill_primaries(
            servers, seen, options.kills, options.back_after, options.jobs / options.rate / (options.kills + 1)
        )
    )
    await submit_all(queue, seen, options.jobs, options.rate)
    await killer
    ends: Counter[str] = Counter()
    store = JobStore(commands)
    for start in range(0, len(seen.accepted), 100):
        ids = list(seen.accepted)[start : start + 100]
        for job in await asyncio.gather(*(outcome_of(store, job_id) for job_id in ids)):
            ends["lost" if job is None else str(job.state)] += 1
    for worker in workers:
        worker.stop()
    await asyncio.gather(*serving)
    await commands.aclose()
    await durable.aclose()
    return seen, ends


def judge(seen: Seen, ends: Counter[str], options: argparse.Namespace) -> list[str]:
    """Return what is wrong."""
    wrong = []
    if options.durability == "replicated" and ends["lost"]:
        wrong.append(f"{ends['lost']} accepted jobs are lost")
    if ends["failed"]:
        wrong.append(f"{ends['failed']} jobs failed")
    if len(seen.accepted) < options.jobs:
        wrong.append(f"{options.jobs - len(seen.accepted)} submits were never accepted")
    if max(seen.gaps(), default=0) > LIMIT_S:
        wrong.append(f"no submit was accepted for {max(seen.gaps()):.1f} s after an election")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=100.0, help="submits per second")
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--back-after", type=float, default=6.0, help="seconds until a killed server is started again")
    parser.add_argument("--durability", choices=("everysec", "fsync", "replicated"), default="replicated")
    parser.add_argument("--keep", action="store_true", help="make the table the current one in RESULTS.md")
    options = parser.parse_args()
    report = Report("Failover", [machine.shape(), f"server: {find_binary()}", f"load {machine.load():.1f}"])
    with tempfile.TemporaryDirectory() as directory:
        servers = SentinelSet(Path(directory), replicas=2, options=("--save", "", "--appendonly", "yes"))
        try:
            servers.start()
            seen, ends = asyncio.run(measure(servers, options))
        finally:
            servers.stop()
    rows = [
        ["durability", options.durability],
        ["primaries killed", f"{options.kills}, back after {options.back_after:g} s"],
        ["accepted", number(len(seen.accepted))],
        ["lost", number(ends["lost"])],
        ["completed", number(ends["completed"])],
        ["runs", number(seen.runs.total())],
        ["submits repeated", number(seen.unanswered)],
        ["from election to the first accepted submit, s", ", ".join(f"{gap:.2f}" for gap in seen.gaps())],
    ]
    report.section("Sentinel", table(["", "figure"], rows))
    wrong = judge(seen, ends, options)
    report.say("\n".join(f"WRONG: {problem}" for problem in wrong) or "Nothing accepted is lost.")
    if options.keep:
        report.keep()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
