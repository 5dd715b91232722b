"""Lists of 100,000 kept jobs by any filter, and a bulk cancel of 10,000 queued jobs while others run.

    python bench/operate.py [--quick] [--cases lists,bulk] [--keep]

It starts a Redis and an API of its own. See README.md.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import api_server, kept_jobs, machine
from bench.peers.ours import LIMITS
from bench.records import Records, quantile
from bench.report import Report, number, table
from bench.store_server import StoreServer
from bench.systems import System, sender, until_ready, working
from shared.jobs.model import NewJob, Priority
from shared.jobs.operation import Action, Operation, OperationStatus, Scope
from shared.jobs.operations import OperationStore, mint_operation_id
from shared.jobs.queue import JobQueue
from shared.store.multiplexed import MultiplexedClient

ADMIN, OWN = "bench-admin-key-0123456789abcdef", "sk-bf-bench-0123456789abcdef"
CONFIG = f"""{api_server.CONFIG}
[auth]
admin_key = "{ADMIN}"
[virtual_keys.k1]
value = "{OWN}"
"""
WORKER = System("operating", "operating.py", concurrency=1000)
RATE, SLEEP_S = 200, 0.2


class Run:
    """One run: its store, and its report."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.rounds = 1 if options.quick else options.rounds
        self.store = StoreServer(options.server)
        context = [machine.shape(), f"{self.store.version} on loopback, append-only file off"]
        context.append(f"rounds: {self.rounds}; load average at start {machine.load():.1f}")
        self.report = Report("Operating the queue" + (" (quick)" if options.quick else ""), context)


def run_lists(run: Run) -> None:
    count = 10_000 if run.options.quick else 100_000
    run.store.empty()
    kept_jobs.fill(run.store, count)
    rows, costs = [], []
    with api_server.api(run.store, None, CONFIG) as api:
        url = f"http://127.0.0.1:{api.port}"
        for path, key in (("/api/jobs", ADMIN), ("/v1/async/jobs", OWN)):
            pages = kept_jobs.Pages(run.store, url, key)
            for name, params in kept_jobs.filters():
                if path != "/api/jobs" and {"key", "team", "customer"} & params.keys():
                    continue
                cost = pages.cost(path, params, run.options.times)
                costs.append(cost)
                rows.append([path, name, number(cost.caller_ms), number(cost.piece_ms), str(cost.rows)])
    head = ["list", "filter", "ms at the caller", "longest piece in the store, ms", "rows"]
    slowest = [max(cost.caller_ms for cost in costs), max(cost.piece_ms for cost in costs)]
    text = table(head, rows) + f"\nSlowest: {slowest[0]:.1f} ms at the caller, {slowest[1]:.2f} ms in one piece.\n"
    run.report.section(f"First pages of {count:,} kept jobs: medians of {run.options.times}", text)


@dataclass(frozen=True, slots=True)
class Cancel:
    """A bulk cancel: its seconds, and pick-up in ms before it and while it ran."""

    took_s: float
    before: list[float]
    during: list[float]


def run_bulk(run: Run) -> None:
    count = 2_000 if run.options.quick else 10_000
    found = [_cancel(run.store, count) for _ in range(run.rounds)]
    rows = [
        [
            number(each.took_s),
            f"{number(quantile(each.before, 0.5))} / {number(quantile(each.before, 0.99))}",
            f"{number(quantile(each.during, 0.5))} / {number(quantile(each.during, 0.99))}",
            f"{quantile(each.during, 0.5) / quantile(each.before, 0.5):.2f}x",
        ]
        for each in found
    ]
    head = ["cancelled in s", "pick-up p50 / p99 ms before", "meanwhile", "p50 against before"]
    middle = statistics.median(each.took_s for each in found)
    title = f"Bulk cancel of {count:,} queued jobs while {RATE} jobs/s of {SLEEP_S:g} s run: one worker"
    run.report.section(title, table(head, rows) + f"\nMedian: {middle:.2f} s.\n")


def _cancel(store: StoreServer, count: int) -> Cancel:
    store.empty()
    records = Records()
    with working(WORKER, store.url, records):
        until_ready(WORKER, store.url, records)
        asyncio.run(_queue(store, count))
        process = sender(WORKER, store.url, "paced", RATE, 60, SLEEP_S, 0)
        try:
            records.wait_for(1, 20)
            time.sleep(1.0)
            began = time.monotonic()
            time.sleep(4.0)
            cancelled = time.monotonic()
            took_s = asyncio.run(_cancel_all(store, count))
            ended = cancelled + took_s
            time.sleep(0.5)
        finally:
            process.terminate()
            process.wait(10)
        notes = records.starts()
    before = [note.wait_ms for note in notes if began <= note.sent < cancelled]
    return Cancel(took_s, before, [note.wait_ms for note in notes if cancelled <= note.sent < ended])


async def _queue(store: StoreServer, count: int) -> None:
    commands = MultiplexedClient(store.url, timeout_s=60)
    queue, numbers = JobQueue(commands, LIMITS), iter(range(count))

    async def send() -> None:
        for index in numbers:
            await queue.submit(
                NewJob(
                    id=f"queued-{index}", owner="bulk", request_type="chat.completions", model="noop/m", payload=b"{}",
                    priority=Priority.LOW, labels=(("app", "search"),), max_queued=1_000_000,
                )
            )  # fmt: skip

    await asyncio.gather(*(send() for _ in range(64)))
    await commands.aclose()


async def _cancel_all(store: StoreServer, count: int) -> float:
    """Cancel the queued jobs; the seconds until the operation has ended."""
    commands = MultiplexedClient(store.url, timeout_s=60)
    operations = OperationStore(commands)
    begun = time.monotonic()
    operation = await operations.create(
        Operation(
            id=mint_operation_id(), maker="bulk", scope=Scope(everyone=False, owner="bulk"), action=Action.CANCEL,
            params={"label": ["app:search"], "status": ["pending"]},
        )
    )  # fmt: skip
    while (operation := await operations.get(operation.id)).status in (OperationStatus.QUEUED, OperationStatus.RUNNING):
        await asyncio.sleep(0.02)
    took_s = time.monotonic() - begun
    await commands.aclose()
    assert (operation.status, operation.done) == (OperationStatus.COMPLETED, count), operation
    return took_s


CASES: dict[str, Callable[[Run], None]] = {"lists": run_lists, "bulk": run_bulk}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer jobs: does it work at all")
    parser.add_argument("--rounds", type=int, default=3, help="of the bulk cancel")
    parser.add_argument("--times", type=int, default=5, help="requests for each filter")
    parser.add_argument("--cases", default=",".join(CASES), help="with commas; default: all")
    parser.add_argument("--server", default="redis-server", help="a Redis or Valkey server")
    parser.add_argument("--nice", type=int, default=0, help="where others use the machine; needs root")
    parser.add_argument("--keep", action="store_true", help="make the tables the current ones in RESULTS.md")
    options = parser.parse_args()
    if options.nice:
        machine.be_nice(options.nice)
    run = Run(options)
    try:
        for name in options.cases.split(","):
            CASES[name](run)
        if options.keep:
            run.report.keep()
    finally:
        run.store.close()


if __name__ == "__main__":
    main()
