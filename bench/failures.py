"""What is lost when workers die: time until a killed worker's job runs again, and jobs left behind by SIGTERMs."""

import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.records import END, Records
from bench.store_server import StoreServer
from bench.systems import System, Worker, burst, sender, start_worker, until_ready


def kill_to_rerun(system: System, url: str, patience_s: float) -> float | None:
    """Seconds from kill -9 of a job's worker to the job's next start, elsewhere; None: not within the time."""
    records = Records()
    workers = [start_worker(system, url, records)]
    try:
        until_ready(system, url, records)
        burst(system, url, 1, sleep_s=300, tag=7)
        if not _started(records, 1, 20):
            return None
        workers.append(start_worker(system, url, records))
        time.sleep(3)  # until the second one is there
        workers[0].process.kill()
        killed = time.monotonic()
        if not _started(records, 2, patience_s):
            return None
        return max(note.at for note in records.starts() if note.tag == 7) - killed
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()


def _started(records: Records, count: int, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while sum(note.tag == 7 for note in records.starts()) < count:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def kills_at_once(systems: Sequence[System], store: StoreServer, patience_s: float) -> list[float | None]:
    """Each system on a database of its own, all at the same time: nearly all of it is waiting."""
    store.empty()
    urls = [store.url.rsplit("/", 1)[0] + f"/{number}" for number in range(len(systems))]
    with ThreadPoolExecutor(len(systems)) as pool:
        return list(pool.map(lambda s, u: kill_to_rerun(s, u, patience_s), systems, urls))


@dataclass
class Sigterms:
    """``orphans``: accepted, and not run to their end 15 s after all was sent; ``twice``: run to their end twice."""

    jobs: int
    orphans: int
    twice: int
    bad_exits: int


def sigterms(
    system: System, store: StoreServer, *, times: int = 10, rate: float = 150, sleep_s: float = 0.5
) -> Sigterms:
    """Two workers under load; every second the older one gets SIGTERM and a new one starts."""
    store.empty()
    records = Records()
    workers: list[Worker] = [start_worker(system, store.url, records, concurrency=200) for _ in range(2)]
    ended: list[Worker] = []
    jobs = int(rate * (times + 3))
    try:
        until_ready(system, store.url, records)
        process = sender(system, store.url, "paced", rate, times + 3, sleep_s, 0)
        time.sleep(2)
        for _ in range(times):
            workers.append(start_worker(system, store.url, records, concurrency=200))
            time.sleep(1)
            ended.append(workers.pop(0))
            ended[-1].process.send_signal(signal.SIGTERM)
        process.wait(60)
        deadline = time.monotonic() + 15
        while (ends := _ends(records)) and len(set(ends)) < jobs and time.monotonic() < deadline:
            time.sleep(0.2)
        bad = sum(worker.stop() not in (0, -signal.SIGTERM) for worker in ended)
        ends = _ends(records)
        return Sigterms(jobs, jobs - len(set(ends)), len(ends) - len(set(ends)), bad)
    finally:
        for worker in (*workers, *ended):
            worker.stop()


def _ends(records: Records) -> list[int]:
    return [note.tag for note in records.notes() if note.kind == END and note.tag >= 0]
