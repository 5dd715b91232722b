"""Single embedding jobs that can wait: how many upstream calls do they become, and how much later are they answered?

    python -m bench.embeddings [--jobs 1000] [--rate 200] [--keep]

The same jobs each with a call of its own, and gathered as a worker gathers them: all at once, and at a steady rate, where one call is no load and
what gathering adds is its wait for others. Ends with 1 when 1,000 jobs at once become more than 20 calls, or when the median grows by
50 ms or more at the steady rate.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import contextmanager, suppress

import orjson

from bench import machine
from bench.chaos_system import free_ports
from bench.report import Report, number, table
from shared.inference.assembly import build_inference
from shared.inference.call import Answer, Call
from shared.settings.model import Settings
from shared.surfaces.request_types import EMBEDDINGS
from worker.embedding_calls import EmbeddingCalls

MODEL = "sim/text-embedding-3-small@latency=0.05"
MOST_CALLS = 20
MOST_ADDED_S = 0.05
Send = Callable[[Call], Awaitable[Answer | None]]


@contextmanager
def simulator():
    """The port of an upstream in a process of its own."""
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=machine.end_with_parent(),
    )
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with suppress(OSError):
                calls_at(port)
                break
            time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


def calls_at(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/sim/health", timeout=5) as answer:
        return int(answer.read().split(b'"total":')[1].strip().rstrip(b"}"))


def call_of(at: int) -> Call:
    fields = {"model": MODEL, "input": f"text {at} " * 20, "dimensions": 64}
    return Call(request_type=EMBEDDINGS, model=MODEL, body=orjson.dumps(fields), fields=fields, job_id=f"job-{at}")


async def spans(send: Send, jobs: int, rate: float) -> list[float]:
    """Seconds until each job is answered, of which ``rate`` start a second; 0: all at once."""

    async def one(at: int) -> float:
        await asyncio.sleep(at / rate if rate else 0)
        began = time.perf_counter()
        assert await send(call_of(at)) is not None
        return time.perf_counter() - began

    return await asyncio.gather(*(one(at) for at in range(jobs)))


async def measure(port: int, options: argparse.Namespace) -> list[tuple[str, int, list[float]]]:
    provider = {"wire": "openai", "base_url": f"http://127.0.0.1:{port}/v1"}
    inference = build_inference(Settings.model_validate({"providers": {"sim": provider}}), {})
    gathered = EmbeddingCalls(inference)

    async def gather(call: Call) -> Answer | None:
        return await gathered.answer(call, None)

    found = []
    try:
        await spans(inference.answer, 50, 0)  # connections
        for kind, rate in (("at once", 0), (f"{options.rate:g} a second", options.rate)):
            for way, send in (("alone", inference.answer), ("gathered", gather)):
                before = calls_at(port)
                seconds = sorted(await spans(send, options.jobs, rate))
                found.append((f"{kind}, {way}", calls_at(port) - before, seconds))
    finally:
        await inference.aclose()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=200.0, help="jobs that start a second")
    parser.add_argument("--keep", action="store_true", help="make the table the current one in RESULTS.md")
    options = parser.parse_args()
    machine.many_files()
    report = Report("Patience", [machine.shape(), f"{options.jobs:,} jobs of one input; an upstream of 50 ms"])
    with simulator() as port:
        found = asyncio.run(measure(port, options))
    rows = [
        [name, f"{calls:,}", number(statistics.median(each) * 1000), number(each[int(len(each) * 0.99)] * 1000)]
        for name, calls, each in found
    ]
    added_s = statistics.median(found[3][2]) - statistics.median(found[2][2])
    text = table(["", "upstream calls", "p50 ms", "p99 ms"], rows)
    report.section("Single embedding jobs, gathered", f"{text}\nAdded wait, p50: **{added_s * 1000:.0f} ms**.\n")
    if options.keep:
        report.keep()
    return 0 if found[1][1] <= MOST_CALLS and added_s < MOST_ADDED_S else 1


if __name__ == "__main__":
    sys.exit(main())
