"""How many instructions a job takes: of a worker's process, and of the store's for a submit, a claim and an outcome.

    python -m bench.job_instructions                              # two minutes; needs valgrind
    python -m bench.job_instructions --against /path/to/checkout  # another checkout too, with the packages of this one

The number of jobs and the size of batches are fixed, so that runs differ by 1 %. The worker has a store that is much faster
than it is; the store serves one client.
"""

import argparse
import asyncio
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WARM_UP, COUNTED, BATCH = 640, 1280, 32
LEAST = 10_000_000  # instructions; a process executes fewer after its last dump
STEPS = ("submit", "claim", "finish", "submit", "claim", "finish with ledger")
WORKERS = {"no-op job": "ours.py", "whole path": "whole_path.py"}
ENTRY = {
    "v": 1, "at": 1_800_000_000_000, "request_id": "req-1", "key": "key-0", "name": "team", "type": "chat.completions",
    "surface": "openai", "asked": "noop/m", "provider": "noop", "model": "m", "status": 200, "latency_ms": 12,
    "attempts": 1, "input": 60, "output": 160, "priced": True, "cost": 90, "list": 90, "finish": "stop",
}  # fmt: skip
META = {name: ENTRY[name] for name in ("provider", "model")} | {"cost_micro_usd": 90}
ATTEMPT = {"run": 1, "worker": "w", "provider": "noop", "model": "m", "key": "k", "status": 200, "code": None}


def work(program: str, *argv: str) -> None:
    """Run a worker inside valgrind: have it count a number of jobs."""
    sys.path.insert(0, str(Path(program).parent))
    import common

    done, note = 0, common.note
    orders = {WARM_UP // 2: "--instr=on", WARM_UP: "--zero", WARM_UP + COUNTED: "--dump"}

    def noting(*args: float) -> None:
        nonlocal done
        note(*args)
        done += 1
        if order := orders.get(done):
            control(order, os.getpid())
        if done == max(orders):
            os._exit(0)

    common.note = noting
    sys.argv = [program, "work", *argv]
    runpy.run_path(program, run_name="__main__")


def control(order: str, pid: int) -> None:
    subprocess.run(["callgrind_control", order, str(pid)], check=True, stdout=subprocess.DEVNULL)


async def end_jobs(url: str) -> None:
    """Do for all jobs what each line of the input names: claim, finish, or finish with what a whole run leaves."""
    from shared.jobs.model import Outcome, State
    from shared.jobs.queue import JobQueue, QueueLimits
    from shared.jobs.store import Finish, JobStore
    from shared.store.multiplexed import MultiplexedClient

    commands = MultiplexedClient(url)
    queue, store, claims = JobQueue(commands, QueueLimits(lease_s=600)), JobStore(commands), []
    history = {"history": json.dumps(ATTEMPT).encode()} if "history" in Outcome.__dataclass_fields__ else {}
    whole = {"meta": META, "ledger": json.dumps(ENTRY, separators=(",", ":")).encode(), **history}
    for line in sys.stdin:
        while line == "claim\n" and (batch := await queue.claim("worker", BATCH)).claims:
            claims += batch.claims
        while line != "claim\n" and claims:
            ended, claims = claims[:BATCH], claims[BATCH:]
            facts = whole if line == "finish with ledger\n" else {}
            outcome = Outcome(state=State.COMPLETED, status_code=200, result=b"x" * 600, **facts)
            assert all(await store.finish_many([Finish(claim, outcome, (), 0) for claim in ended]))
        print(line, end="", flush=True)
    await commands.aclose()


def callgrind(directory: str) -> list[str]:
    return ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={directory}/counts"]


def dumped(directory: str, keep_as: str) -> int:
    """Return the instructions of the last dump that counted any work: a process that ends writes what came after it."""
    totals = {}
    for file in Path(directory).glob("counts*"):
        if found := re.findall(r"^totals: (\d+)", file.read_text(), re.MULTILINE):
            totals[file] = int(found[-1])
    last = max((file for file in totals if totals[file] > LEAST), key=lambda file: file.stat().st_mtime_ns)
    if keep_as:
        shutil.copy(last, f"/tmp/callgrind.{keep_as.replace(' ', '-')}")
    return totals[last]


def worker_counts(root: Path, environ: dict[str, str], keep: str) -> Iterator[tuple[str, float]]:
    for name, program in WORKERS.items():
        peer, store = str(root / "bench/peers" / program), StoreServer()
        burst = [sys.executable, peer, "burst", store.url, str(WARM_UP + COUNTED + 320), "16", "0", "0"]
        subprocess.run(burst, env=environ, check=True, stdout=subprocess.DEVNULL)
        with tempfile.TemporaryDirectory(prefix="finops-bench-") as directory:
            inner = [sys.executable, __file__, "--inner", peer, store.url, f"{directory}/records", "1000"]
            subprocess.run([*callgrind(directory), *inner], env=environ, check=True, stderr=subprocess.DEVNULL)
            yield f"worker, {name}", dumped(directory, keep and f"{name}.{keep}") / COUNTED
        store.close()


def store_counts(root: Path, environ: dict[str, str], keep: str) -> Iterator[tuple[str, float]]:
    """Instructions of the store a job, and its commands."""
    with tempfile.TemporaryDirectory(prefix="finops-bench-") as directory:
        store = StoreServer(before=callgrind(directory), options=("--hz", "1"))
        burst = [sys.executable, str(root / "bench/peers/ours.py"), "burst", store.url, str(COUNTED), "1", "0", "0"]
        inner, pipe = [sys.executable, __file__, "--inner", "end", store.url], subprocess.PIPE
        ender = subprocess.Popen(inner, env=environ, stdin=pipe, stdout=pipe, text=True)
        control("--instr=on", store.process.pid)
        for number_of, step in enumerate((*STEPS[:3], *STEPS)):  # at first scripts are loaded, keys and callers made
            store.client.config_resetstat()
            if step == "submit":
                subprocess.run(burst, env=environ, check=True, stdout=subprocess.DEVNULL)
            else:
                print(step, file=ender.stdin, flush=True)
                assert ender.stdout.readline() == step + "\n"
            calls = store.calls()
            control("--dump", store.process.pid)  # sets the counters back
            if number_of in (3, 4, 5, 8):
                yield f"store, {step}", dumped(directory, keep and f"{step}.{keep}") / COUNTED
                yield f"commands, {step}", calls / COUNTED
        ender.kill()
        ender.wait()
        store.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--only", choices=("worker", "store"))
    parser.add_argument("--keep-counts", action="store_true", help="leave callgrind's files in /tmp")
    parser.add_argument("--keep", action="store_true", help="make the table the current one in RESULTS.md")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed")
    found: dict[str, list[float]] = {}
    for name, root in {"this": ROOT, **({"other": options.against.resolve()} if options.against else {})}.items():
        environ = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "0"}
        for part in (worker_counts, store_counts):
            if options.only in (None, part.__name__.removesuffix("_counts")):
                for row, value in part(root, environ, name if options.keep_counts else ""):
                    found.setdefault(row, []).append(value)
    rows = [[name, *(number(value) + ratio(value, values[0]) for value in values)] for name, values in found.items()]
    report = Report("Instructions of a job", [machine.shape()])
    head = ["", "this checkout", *(["the other one"] if options.against else [])]
    report.section("Instructions and commands of a job", table(head, rows))
    if options.keep:
        report.keep()
    return 0


if __name__ == "__main__":
    if sys.argv[1:3] == ["--inner", "end"]:
        asyncio.run(end_jobs(sys.argv[3]))
    elif sys.argv[1:2] == ["--inner"]:
        work(*sys.argv[2:])
    else:
        from bench import machine
        from bench.report import Report, number, ratio, table
        from bench.store_server import StoreServer

        sys.exit(main())
