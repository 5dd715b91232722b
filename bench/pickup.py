"""How soon a job starts: at low load, and while hundreds of others run."""

import time
from dataclasses import dataclass

from bench import machine
from bench.records import Records, quantile
from bench.store_server import StoreServer
from bench.systems import System, paced, sender, until_ready, working


@dataclass
class Waits:
    """Milliseconds from the call that sends to the job's first line; cores' shares of a second."""

    p50: float
    p99: float
    count: int
    worker_cpu: float = 0.0
    store_cpu: float = 0.0
    at_once: float = 0.0


def idle(system: System, store: StoreServer, *, rate: float = 60, during: float = 3.0) -> Waits:
    """An idle worker and a job every now and then."""
    store.empty()
    records = Records()
    with working(system, store.url, records):
        until_ready(system, store.url, records)
        paced(system, store.url, rate, during)
        records.wait_for(int(rate * during), 5)
        waits = [note.wait_ms for note in records.starts()]
    return Waits(quantile(waits, 0.5), quantile(waits, 0.99), len(waits))


def busy(system: System, store: StoreServer, *, rate: float = 200, sleep_s: float = 2.0, during: float = 4.0) -> Waits:
    """``rate`` jobs a second that run for ``sleep_s``; measured from when the first of them end."""
    store.empty()
    records = Records()
    with working(system, store.url, records, concurrency=1000) as (worker,):
        until_ready(system, store.url, records)
        warm_s = sleep_s + 1.0
        process = sender(system, store.url, "paced", rate, warm_s + during, sleep_s, 0)
        records.wait_for(1, 20)
        begun = time.monotonic()
        time.sleep(warm_s)
        cpu, store_cpu, at = worker.cpu_s(), machine.cpu_s(store.process.pid), time.monotonic()
        time.sleep(during - 0.3)
        took = time.monotonic() - at
        worker_cpu = (worker.cpu_s() - cpu) / took
        store_cpu = (machine.cpu_s(store.process.pid) - store_cpu) / took
        process.wait(60)
        time.sleep(0.5)
        starts = records.starts()
        waits = [note.wait_ms for note in starts if note.sent >= begun + warm_s]
        running = rate * sleep_s
    return Waits(quantile(waits, 0.5), quantile(waits, 0.99), len(waits), worker_cpu, store_cpu, running)
