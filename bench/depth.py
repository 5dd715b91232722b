"""A deep queue: what a claim costs with 100,000 jobs waiting, and whether one caller's flood makes another wait."""

import asyncio
import statistics
import time
import uuid
from dataclasses import dataclass

from bench import machine
from bench.peers.ours import LIMITS
from bench.records import Records
from bench.store_server import StoreServer
from bench.systems import System, sender, start_worker
from shared.jobs.model import Claim, NewJob
from shared.jobs.queue import JobQueue
from shared.store.multiplexed import MultiplexedClient

DEEP, SHALLOW = 100_000, 100
BATCH = 32


@dataclass
class ClaimCost:
    """Of one claim of 32: the server's CPU microseconds, and microseconds until the client has it."""

    server_us: float
    client_us: float


def claim_costs(store: StoreServer, callers: int, rounds: int = 60) -> tuple[ClaimCost, ClaimCost]:
    """At 100 and at 100,000 queued jobs of so many callers; what was claimed is handed back each time."""
    store.empty()
    return asyncio.run(_claim_costs(store, callers, rounds))


async def _claim_costs(store: StoreServer, callers: int, rounds: int) -> tuple[ClaimCost, ClaimCost]:
    commands = MultiplexedClient(store.url, timeout_s=60)
    queue = JobQueue(commands, LIMITS)
    await _fill(queue, SHALLOW, callers)
    shallow = await _claim_cost(store, queue, rounds)
    await _fill(queue, DEEP - SHALLOW, callers)
    deep = await _claim_cost(store, queue, rounds)
    await commands.aclose()
    return shallow, deep


async def _fill(queue: JobQueue, count: int, callers: int) -> None:
    async def some(numbers: range) -> None:
        for number in numbers:
            await queue.submit(
                NewJob(
                    id=str(uuid.uuid4()),
                    owner=f"key-{number % callers}",
                    request_type="chat.completions",
                    model="m",
                    payload=b"x" * 300,
                    max_queued=1_000_000,
                )  # fmt: skip
            )

    step = max(1, -(-count // 64))
    await asyncio.gather(*(some(range(at, min(at + step, count))) for at in range(0, count, step)))


async def _claim_cost(store: StoreServer, queue: JobQueue, rounds: int) -> ClaimCost:
    server, client = [], []
    for _ in range(rounds):
        cpu, begun = machine.cpu_s(store.process.pid), time.perf_counter()
        batch = await queue.claim("bench", BATCH)
        client.append((time.perf_counter() - begun) * 1e6)
        server.append((machine.cpu_s(store.process.pid) - cpu) * 1e6)
        await _release(queue, batch.claims)
    return ClaimCost(statistics.median(server), statistics.median(client))


async def _release(queue: JobQueue, claims: tuple[Claim, ...]) -> None:
    assert len(claims) == BATCH
    await queue.release(claims)


@dataclass
class Flood:
    """Milliseconds that the other caller's jobs waited while the flood was worked off."""

    first: float
    worst: float
    run_ms: float
    flood_left: int


def flood(system: System, store: StoreServer, *, jobs: int = 10_000, sleep_s: float = 0.05, slots: int = 50) -> Flood:
    """One caller queues ``jobs``; a worker works on them; another caller sends a few, one after the other."""
    store.empty()
    records = Records()
    process = sender(system, store.url, "burst", jobs, 64 if system.senders else 1, sleep_s, 1_000_000)
    process.wait(120)
    worker = start_worker(system, store.url, records, concurrency=slots)
    try:
        records.wait_for(200, 30)
        other = sender(system, store.url, "paced", 5, 1.0, sleep_s, 1_000_001)
        other.wait(60)
        _wait_for_tag(records, 1_000_001, 5, 5.0)
        starts = records.starts()
        waits = sorted((note.sent, note.wait_ms) for note in starts if note.tag == 1_000_001)
        left = jobs - sum(note.tag == 1_000_000 for note in starts)
        if not waits:
            return Flood(float("inf"), float("inf"), sleep_s * 1000, left)
        return Flood(waits[0][1], max(wait for _, wait in waits), sleep_s * 1000, left)
    finally:
        worker.stop(0.5)


def _wait_for_tag(records: Records, tag: int, count: int, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while sum(note.tag == tag for note in records.starts()) < count and time.monotonic() < deadline:
        time.sleep(0.05)
