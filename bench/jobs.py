"""The job engine beside arq, saq, streaq, taskiq, celery and bare Redis, in one run.

    python bench/jobs.py [--quick] [--only finops,saq] [--cases throughput,idle] [--keep]

It makes each peer's own environment under ``.bench/`` (from PyPI, once), starts a Redis of its own, runs the systems in
turns (A B C A B C), and prints medians and, where the machine's noise matters, the best window. See README.md.
"""

import argparse
import os
import sys
from collections.abc import Callable

from bench import api_server, depth, failures, machine, pickup, throughput
from bench.report import Report, number, ratio, table
from bench.store_server import StoreServer
from bench.systems import OURS, System, burst, chosen

WORKER_CORE, OTHER_CORE = {0}, {1}


class Run:
    """One run: what is compared, how often, on which store."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.rounds = 1 if options.quick else options.rounds
        self.systems = chosen([word for word in options.only.split(",") if word])
        for system in self.systems:
            system.install()
        self.store = StoreServer(options.server, append_only=options.append_only, cores=OTHER_CORE)
        versions = sorted({system.version() for system in self.systems} - {""})
        scheduler = f"nice {os.nice(0)}" if os.nice(0) else "ordinary priority"
        self.report = Report(
            "Job engine" + (" (quick)" if options.quick else ""),
            [
                machine.shape(),
                f"{self.store.version} on loopback, append-only file {'on' if options.append_only else 'off'}",
                ", ".join(versions) or "no peers",
                f"rounds: {self.rounds}, in turns; load average at start {machine.load():.1f}; {scheduler}",
            ],
        )

    def in_turns(self, measure: Callable[[System], object], systems: list[System] | None = None) -> dict[str, list]:
        """Every system once, then every system again; one that fails is reported and skipped."""
        found: dict[str, list] = {}
        for _ in range(self.rounds):
            for system in systems or self.systems:
                try:
                    found.setdefault(system.name, []).append(measure(system))
                except Exception as error:
                    print(f"{system.name}: {error!r}", file=sys.stderr)
        return {name: values for name, values in found.items() if values}


def run_throughput(run: Run) -> None:
    cores = {"worker_cores": WORKER_CORE}
    one = run.in_turns(
        lambda s: throughput.drain(s, run.store, jobs=s.jobs // (2 if run.options.quick else 1), **cores)
    )
    two = run.in_turns(lambda s: throughput.drain(s, run.store, workers=2, jobs=2 * s.jobs))
    single = run.in_turns(lambda s: (run.store.empty(), burst(s, run.store.url, 600, senders=1, cores={0}))[1])
    rows = []
    ours = throughput.middle(one[OURS.name]) if OURS.name in one else None
    for name, drains in one.items():
        mid, best = throughput.middle(drains), max(d.jobs_per_s for d in drains)
        pair = [d.jobs_per_s for d in two.get(name, []) if d.jobs_per_s == d.jobs_per_s]
        pair_mid = sorted(pair)[len(pair) // 2] if pair else None
        alone = sorted(single.get(name, [float("nan")]))
        rows.append(
            [
                name,
                f"{number(mid.jobs_per_s)}, {number(best)}" + ratio(mid.jobs_per_s, ours and ours.jobs_per_s),
                f"{number(pair_mid)}, {number(max(pair, default=None))}",
                number(mid.worker_us) + ratio(mid.worker_us, ours and ours.worker_us),
                number(mid.store_us) + ratio(mid.store_us, ours and ours.store_us),
                f"{number(mid.calls)}, {number(mid.reads)}",
                f"{number(alone[len(alone) // 2])}, {number(mid.sent_per_s)}",
            ]
        )
    head = [
        "system", "jobs/s, 1 worker: median, best", "2 workers: median, best", "worker CPU us/job",
        "store CPU us/job", "commands, reads of sockets per job", "enqueue/s: one by one, 64 senders",
    ]  # fmt: skip
    run.report.section("Throughput: a filled queue of no-op jobs, results kept", table(head, rows))


def run_idle(run: Run) -> None:
    found = run.in_turns(lambda s: pickup.idle(s, run.store))
    run.report.section("Pick-up, idle queue, 60 jobs/s", _waits(found, with_cpu=False))


def run_busy(run: Run) -> None:
    able = [s for s in run.systems if s.program not in ("celery_peer.py",)]
    found = run.in_turns(lambda s: pickup.busy(s, run.store), able)
    text = _waits(found, with_cpu=True)
    run.report.section("Pick-up with 400 running: 200 jobs/s of 2 s each, one worker with 1,000 slots", text)


def _waits(found: dict[str, list[pickup.Waits]], *, with_cpu: bool) -> str:
    rows = []
    ours = sorted(w.p50 for w in found[OURS.name])[len(found[OURS.name]) // 2] if OURS.name in found else None
    for name, waits in found.items():
        waits.sort(key=lambda w: w.p50)
        mid, best = waits[len(waits) // 2], min(waits, key=lambda w: w.p99)
        row = [
            name,
            f"{number(mid.p50)} / {number(mid.p99)}" + ratio(mid.p50, ours),
            f"{number(best.p50)} / {number(best.p99)}",
        ]
        rows.append([*row, f"{mid.worker_cpu:.0%}, {mid.store_cpu:.0%}"] if with_cpu else row)
    head = ["system", "p50 / p99 ms, median round", "best round"]
    return table([*head, "CPU of worker, store"] if with_cpu else head, rows)


def run_kills(run: Run) -> None:
    systems = [s for s in run.systems if not s.name.startswith("floor")]
    patience_s = 20 if run.options.quick else 45
    found = failures.kills_at_once(systems, run.store, patience_s)
    rows = [
        [s.name, f"> {patience_s}" if seconds is None else number(seconds)]
        for s, seconds in zip(systems, found, strict=True)
    ]
    run.report.section(
        "kill -9 of a job's worker, another one idle", table(["system", "seconds to its next start"], rows)
    )


def run_sigterms(run: Run) -> None:
    rows = []
    for system in run.systems:
        # taskiq's way of ending is part of its command line, celery's solo pool runs one job at a time.
        if system.name.startswith(("floor", "celery", "taskiq")):
            continue
        measured = failures.sigterms(system, run.store, times=3 if run.options.quick else 10)
        rows.append([system.name, *map(str, (measured.jobs, measured.orphans, measured.twice, measured.bad_exits))])
    head = ["system", "jobs sent", "not run to their end 15 s later", "run to their end twice", "exits with an error"]
    run.report.section(
        "SIGTERMs under load: 150 jobs/s of 0.5 s, two workers, one replaced each second", table(head, rows)
    )


def run_depth(run: Run) -> None:
    rows = []
    for callers in (1,) if run.options.quick else (1, 200):
        shallow, deep = depth.claim_costs(run.store, callers)
        rows.append(
            [
                f"{callers} callers",
                number(shallow.server_us), f"{number(deep.server_us)} ({deep.server_us / shallow.server_us:.2f}x)",
                number(shallow.client_us), f"{number(deep.client_us)} ({deep.client_us / shallow.client_us:.2f}x)",
            ]
        )  # fmt: skip
    head = [
        "finops, a claim of 32",
        "store CPU us, 100 queued",
        "100,000 queued",
        "round trip us, 100 queued",
        "100,000 queued",
    ]
    run.report.section("A deep queue: what a claim costs", table(head, rows))
    if run.options.quick:
        return
    rows = []
    for system in run.systems:
        if system.name.startswith(("celery", "floor", "arq, default")):
            continue
        jobs = min(system.jobs, 6000)
        flat = throughput.drain(system, run.store, jobs=jobs, worker_cores=WORKER_CORE)
        full = throughput.drain(system, run.store, jobs=jobs, fill=100_000, worker_cores=WORKER_CORE)
        rows.append(
            [system.name]
            + [f"{number(d.jobs_per_s)}, {number(d.worker_us)}, {number(d.store_us)}" for d in (flat, full)]
            + [f"{(full.worker_us + full.store_us) / (flat.worker_us + flat.store_us):.2f}x"]
        )
    head = ["system", "jobs/s, worker us, store us: few thousand queued", "100,000 queued", "CPU per job against few"]
    run.report.section("A deep queue: working on it", table(head, rows))


def run_flood(run: Run) -> None:
    rows = []
    for system in run.systems:
        if system.name.startswith(("celery", "floor")):
            continue
        measured = depth.flood(system, run.store)
        rows.append([system.name, number(measured.first), number(measured.worst), f"{measured.flood_left:,}"])
    head = ["system", "other caller's first job waits ms", "worst of five", "flood left when looked at"]
    run.report.section(
        "Fairness: one caller queues 10,000 jobs of 50 ms, 50 slots; another sends one now and then", table(head, rows)
    )


def run_whole(run: Run) -> None:
    rows = []
    for answer, what in (("json", "whole answer"), ("sse", "stream of eight deltas")):
        system = System("whole", "whole_path.py", jobs=6000, concurrency=1000, environ={"FINOPS_BENCH_ANSWER": answer})
        drains = [throughput.drain(system, run.store, worker_cores=WORKER_CORE) for _ in range(run.rounds)]
        mid, best = throughput.middle(drains), max(d.jobs_per_s for d in drains)
        rows.append([what, number(mid.jobs_per_s), number(best), number(mid.worker_us), number(mid.store_us)])
    head = ["provider answers with", "jobs/s median", "best", "worker CPU us/job", "store CPU us/job"]
    text = (
        table(head, rows)
        + "\nInference path, record, events, log line, metrics, outbox; provider inside the process.\n"
    )
    run.report.section("Whole path of one worker", text)


def run_api(run: Run) -> None:
    seconds = 2 if run.options.quick else 3
    rows = []
    with api_server.api(run.store, WORKER_CORE) as api:
        api_server.submits(api, run.store, 64, 1, OTHER_CORE)
        for connections in (1, 8, 64):
            many = [api_server.submits(api, run.store, connections, seconds, OTHER_CORE) for _ in range(run.rounds)]
            mid, best = api_server.typical(many), max(many, key=lambda s: s.per_s)
            rows.append(
                [
                    str(connections), f"{number(mid.per_s)}, {number(best.per_s)}", number(mid.cpu_us), number(mid.store_us),
                    f"{number(mid.p50_ms)} / {number(mid.p99_ms)}", f"{number(best.p50_ms)} / {number(best.p99_ms)}",
                    str(int(max(s.refused for s in many))),
                ]
            )  # fmt: skip
    head = ["connections", "submits/s: median, best", "API CPU us", "store CPU us", "p50 / p99 ms", "best", "not 202"]
    text = table(head, rows) + "\nwrk and Redis share the other core.\n"
    run.report.section("API: submits, HTTP to answer, one process on one core", text)


def run_waiters(run: Run) -> None:
    count = 2000 if run.options.quick else 10_000
    with api_server.api(run.store, WORKER_CORE) as api:
        api_server.submits(api, run.store, 64, 1, OTHER_CORE)
        measured = api_server.waiters(api, run.store, count)
    head = ["waiters", "KiB each", "outcome to answer p50 / p99 ms", "unanswered"]
    row = [
        f"{measured.count:,}",
        number(measured.kib),
        f"{number(measured.p50_ms)} / {number(measured.p99_ms)}",
        str(measured.unanswered),
    ]
    run.report.section("API: long-polling submits, outcomes at 1,000/s", table(head, [row]))


CASES: dict[str, Callable[[Run], None]] = {
    "throughput": run_throughput,
    "idle": run_idle,
    "busy": run_busy,
    "whole": run_whole,
    "api": run_api,
    "waiters": run_waiters,
    "kills": run_kills,
    "sigterms": run_sigterms,
    "depth": run_depth,
    "flood": run_flood,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, fewer jobs: does it work at all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="systems, by parts of their names, with commas")
    parser.add_argument("--cases", default=",".join(CASES), help="with commas; default: all")
    parser.add_argument("--server", default="redis-server", help="a Redis or Valkey server")
    parser.add_argument("--append-only", action="store_true", help="the store writes its file, synced every second")
    parser.add_argument(
        "--nice", type=int, default=0, help="for all that is measured, where others use the machine; needs root"
    )
    parser.add_argument("--keep", action="store_true", help="make the tables the current ones in RESULTS.md")
    options = parser.parse_args()
    if options.nice:
        machine.be_nice(options.nice)
    run = Run(options)
    try:
        for name in options.cases.split(","):
            try:
                CASES[name](run)
            except Exception as error:
                run.report.section(name, f"failed: {error!r}\n")
    finally:
        run.store.close()
        if options.keep:
            run.report.keep()


if __name__ == "__main__":
    main()
