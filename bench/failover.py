"""Jobs through the engine while primaries are killed, frozen and cut off; what is lost, and how long does it take?

    python -m bench.failover [--over sentinel cluster] [--fault kill freeze cut] [--jobs 10000] [--rate 120]
                             [--faults 3] [--back-after 6] [--durability replicated] [--keep]

Three Sentinels with a primary and two replicas, and a cluster of three primaries with two replicas each, run on free ports
of 127.0.0.1, from the installed ``redis-server`` or the bundled server. Before each fault of the cluster, the engine's
slot moves to another primary while jobs run. A primary that is cut off keeps its clients: what they are answered by it
is what asynchronous replication loses. Callers repeat what was not answered under the same id. Ends with 1 when an
accepted job is lost with ``replicated``, one ends twice, or work does not go on within 5 s of an election.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from bench import machine
from bench.partition import Partition
from bench.redis_servers import Cluster, SentinelSet, Server, find_binary
from bench.report import Report, number, table
from shared.errors import StoreUnavailable
from shared.jobs.durability import ANSWER_TIMEOUT_S
from shared.jobs.events import EventLog
from shared.jobs.model import Claim, Job, NewJob, Outcome, State
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.store import JobStore
from shared.store.commands import PooledCommands
from shared.store.connection import connect
from shared.store.multiplexed import MultiplexedClient
from worker.handle import RunHandle
from worker.leased_worker import LeasedWorker, WorkerOptions

FAULTS = {"kill": "killed", "freeze": "frozen", "cut": "cut off with its clients"}
SENDERS = 50
WORKERS = 2
READERS = 20
RUN_S = 0.1
LIMIT_S = 5.0
PATIENCE_S = 120.0
PAUSE_S = 0.05
ENDS = {"job.completed", "job.failed", "job.cancelled"}

Servers = SentinelSet | Cluster


@dataclass
class Seen:
    """What callers were answered, and when."""

    accepted: dict[str, float] = field(default_factory=dict)
    runs: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    doubled: int = 0
    unanswered: int = 0
    elections: list[float] = field(default_factory=list)
    moves: list[tuple[float, float]] = field(default_factory=list)

    def back_after(self) -> list[float]:
        """Seconds from each election to the first submit accepted after it."""
        times = sorted(self.accepted.values())
        return [min((at - since for at in times if at >= since), default=PATIENCE_S) for since in self.elections]

    def longest_pauses(self) -> list[float]:
        """Seconds without an accepted submit, the longest during each move of the slot."""
        times = sorted(self.accepted.values())
        pauses = []
        for begin, end in self.moves:
            before = max((at for at in times if at <= begin), default=begin)
            after = min((at for at in times if at >= end), default=end)
            within = [before, *(at for at in times if begin < at < end), after]
            pauses.append(max(later - earlier for earlier, later in pairwise(within)))
        return pauses


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


class Faults:
    """Makes primaries fail, one after the other; each comes back.

    Args:
        servers: Of which the primary fails.
        partition: What cuts it off.
        seen: Where elections and moves are noted.
    """

    def __init__(self, servers: Servers, partition: Partition | None, seen: Seen) -> None:
        self._servers = servers
        self._partition = partition
        self._seen = seen

    async def run(self, fault: str, times: int, every_s: float, back_after_s: float) -> None:
        for _ in range(times):
            await asyncio.sleep(every_s)
            if isinstance(self._servers, Cluster):
                await self._move_slot(self._servers)
                await asyncio.sleep(1)
            await self._fail(fault, back_after_s)

    async def _move_slot(self, servers: Cluster) -> None:
        begin, primary = time.monotonic(), await asyncio.to_thread(servers.primary)
        target = await asyncio.to_thread(servers.other_primary, primary)
        await asyncio.to_thread(servers.move_slot, target)
        self._seen.moves.append((begin, time.monotonic()))

    async def _fail(self, fault: str, back_after_s: float) -> None:
        old = await asyncio.to_thread(self._servers.primary)
        await asyncio.to_thread(self._begin, fault, old)
        since = time.monotonic()
        while await asyncio.to_thread(self._is_primary, old) and time.monotonic() < since + PATIENCE_S:
            await asyncio.sleep(PAUSE_S)
        self._seen.elections.append(time.monotonic())
        await asyncio.sleep(max(0.0, since + back_after_s - time.monotonic()))
        await asyncio.to_thread(self._end, fault, old)
        await asyncio.to_thread(self._servers.until_complete)

    def _is_primary(self, old: Server) -> bool:
        return self._servers.primary() is old

    def _begin(self, fault: str, old: Server) -> None:
        if fault == "cut":
            assert self._partition is not None
            self._partition.cut(old.address)
        else:
            (old.kill if fault == "kill" else old.freeze)()

    def _end(self, fault: str, old: Server) -> None:
        if fault == "cut":
            assert self._partition is not None
            self._partition.heal()
        else:
            (old.start if fault == "kill" else old.thaw)()


async def read_all(store: JobStore, log: EventLog, seen: Seen) -> None:
    """Read how each accepted job ended, and whether it ended once."""
    left = list(seen.accepted)

    async def read() -> None:
        while left:
            job_id = left.pop()
            job = await _outcome_of(store, job_id)
            seen.ends["lost" if job is None else str(job.state)] += 1
            if job is not None:
                names = [event.name for event in await log.read(job_id)]
                seen.doubled += sum(name in ENDS for name in names) > 1

    await asyncio.gather(*(read() for _ in range(READERS)))


async def _outcome_of(store: JobStore, job_id: str) -> Job | None:
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


async def measure(servers: Servers, partition: Partition | None, fault: str, options: argparse.Namespace) -> Seen:
    seen = Seen()

    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        seen.runs[claim.id] += 1
        await asyncio.sleep(RUN_S)
        return Outcome(state=State.COMPLETED, status_code=200, result=b"{}")

    limits = QueueLimits(durability=options.durability)
    commands, durable = MultiplexedClient(servers.url, timeout_s=2.0, connect_timeout_s=1.0), None
    if options.durability != "everysec":
        timeout_s = ANSWER_TIMEOUT_S[options.durability]
        durable = PooledCommands(connect(servers.url, timeout_s=timeout_s, connect_timeout_s=1.0))
    queue = JobQueue(commands, limits, durable=durable)
    workers = [LeasedWorker.connect(servers.url, run, WorkerOptions(limits=limits)) for _ in range(WORKERS)]
    serving = [asyncio.create_task(worker.serve()) for worker in workers]
    every_s = max(1.0, options.jobs / options.rate / (options.faults + 1) - options.back_after)
    faults = Faults(servers, partition, seen).run(fault, options.faults, every_s, options.back_after)
    failing = asyncio.create_task(faults)
    await submit_all(queue, seen, options.jobs, options.rate)
    await failing
    await read_all(JobStore(commands), EventLog(commands), seen)
    for worker in workers:
        worker.stop()
    await asyncio.gather(*serving)
    for one in filter(None, (commands, durable)):
        await one.aclose()
    return seen


def judge(case: str, seen: Seen, options: argparse.Namespace) -> Iterator[str]:
    """Return what is wrong."""
    if options.durability == "replicated" and seen.ends["lost"]:
        yield f"{case}: {seen.ends['lost']} accepted jobs are lost"
    if seen.ends["failed"]:
        yield f"{case}: {seen.ends['failed']} jobs failed"
    if seen.doubled:
        yield f"{case}: {seen.doubled} jobs ended twice"
    if len(seen.accepted) < options.jobs:
        yield f"{case}: {options.jobs - len(seen.accepted)} submits were never accepted"
    if max(seen.back_after(), default=0) > LIMIT_S:
        yield f"{case}: no submit was accepted for {max(seen.back_after()):.1f} s after an election"


@contextmanager
def running(over: str, fault: str) -> Iterator[tuple[Servers, Partition | None]]:
    """Servers of one kind, behind proxies only if they are to be cut off."""
    partition = Partition().start() if fault == "cut" else None
    with tempfile.TemporaryDirectory() as directory:
        servers: Servers = (
            SentinelSet(Path(directory), replicas=2, options=("--save", "", "--appendonly", "yes"), partition=partition)
            if over == "sentinel"
            else Cluster(
                Path(directory), replicas=2, replicated=True, appendonly="yes", timeout_ms=1000, partition=partition
            )
        )
        try:
            yield servers.start(), partition
        finally:
            servers.stop()
            if partition is not None:
                partition.stop()


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} / {max(values):.2f}" if values else "-"


def row(over: str, fault: str, seen: Seen) -> list[str]:
    counts = (len(seen.accepted), seen.ends["lost"], seen.doubled, seen.runs.total(), seen.unanswered)
    return [over, FAULTS[fault], *map(number, counts), spread(seen.back_after()), spread(seen.longest_pauses())]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--over", nargs="+", choices=("sentinel", "cluster"), default=["sentinel", "cluster"])
    parser.add_argument("--fault", nargs="+", choices=tuple(FAULTS), default=list(FAULTS))
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=120.0, help="submits per second")
    parser.add_argument("--faults", type=int, default=3)
    parser.add_argument("--back-after", type=float, default=6.0, help="seconds until a failed server is back")
    parser.add_argument("--durability", choices=("everysec", "fsync", "replicated"), default="replicated")
    parser.add_argument("--keep", action="store_true", help="make the table the current one in RESULTS.md")
    options = parser.parse_args()
    context = [machine.shape(), f"server: {find_binary()}", f"load {machine.load():.1f}", options.durability]
    context += [f"{options.faults} faults a case, each for {options.back_after:g} s", f"{options.rate:g} submits/s"]
    report = Report("Failover", context)
    rows, wrong = [], []
    for over in options.over:
        for fault in options.fault:
            with running(over, fault) as (servers, partition):
                seen = asyncio.run(measure(servers, partition, fault, options))
            rows.append(row(over, fault, seen))
            wrong += judge(f"{over}, {fault}", seen, options)
            print(rows[-1], flush=True)
    head = ["store", "primaries", "accepted", "lost", "ended twice", "runs", "submits repeated"]
    head += ["s from an election to the next accepted submit: median / worst"]
    head += ["s without an accepted submit while the slot moved: median / worst"]
    report.section("Primaries that fail under jobs", table(head, rows))
    report.say("\n".join(f"WRONG: {problem}" for problem in wrong) or "Nothing accepted is lost, nothing ended twice.")
    if options.keep:
        report.keep()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
