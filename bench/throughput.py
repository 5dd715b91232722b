"""How many jobs a second, at what cost: a filled queue is drained, measured between a tenth and nine tenths of it."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench import machine
from bench.records import Records
from bench.store_server import StoreServer
from bench.systems import System, Worker, burst, working


@dataclass
class Drain:
    """One drained queue; costs in microseconds a job."""

    jobs_per_s: float
    worker_us: float
    store_us: float
    calls: float
    reads: float
    sent_per_s: float


def drain(
    system: System, store: StoreServer, *, workers: int = 1, jobs: int = 0, share: float = 0.8,
    worker_cores: set[int] | None = None, fill: int = 0, **extra: str,
) -> Drain:  # fmt: skip
    """Fill the queue, start workers, watch.

    Args:
        jobs: Measured: from a tenth of them on, ``share`` of them.
        fill: Queued in all; default: ``jobs``.
    """
    jobs = jobs or system.jobs
    store.empty()
    records = Records()
    sent_per_s = burst(system, store.url, fill or jobs, **extra)
    with working(system, store.url, records, count=workers, cores=worker_cores) as running:
        first, last = jobs // 10, int(jobs * (0.1 + share))
        _need(records, first, system)
        begun = _sample(records, running, store)
        _need(records, last, system)
        ended = _sample(records, running, store)
        if not fill:
            records.wait_for(jobs, 3)
            time.sleep(0.2)
        calls, reads = store.calls(), store.reads()
        jobs_per_s = _speed(records, first, last, workers)
    done, worker_s, store_s = (b - a for a, b in zip(begun, ended, strict=True))
    all_jobs = jobs if not fill else records.count()
    return Drain(
        jobs_per_s, worker_s / done * 1e6, store_s / done * 1e6, calls / all_jobs, reads / all_jobs, sent_per_s
    )


def _speed(records: Records, first: int, last: int, workers: int) -> float:
    """Jobs a second between the first-th and the last-th, and not before all workers are at it."""
    notes = sorted(records.notes(), key=lambda note: note.at)[:last]
    seen: set[int] = set()
    for place, note in enumerate(notes):
        seen.add(note.pid)
        if len(seen) == workers:
            first = max(first, place)
            break
    if len(seen) < workers or last - first < (last // 5):
        return float("nan")  # the queue was empty before all were there
    return (len(notes) - 1 - first) / (notes[-1].at - notes[first].at)


def _need(records: Records, count: int, system: System) -> None:
    if not records.wait_for(count, 40, 0.002):
        raise RuntimeError(f"{system.name}: {records.count()} of {count} jobs were run")


def _sample(records: Records, workers: Sequence[Worker], store: StoreServer) -> tuple[float, float, float]:
    return (
        records.count(),
        sum(worker.cpu_s() for worker in workers),
        machine.cpu_s(store.process.pid),
    )


def middle(drains: Sequence[Drain]) -> Drain:
    """The median of each figure."""
    return Drain(*(statistics.median(getattr(d, name) for d in drains) for name in Drain.__dataclass_fields__))
