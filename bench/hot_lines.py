"""Where our time goes: py-spy's samples of a loaded gateway, as microseconds of CPU a call, by line and by function."""

import collections
import os
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from bench import gateways, samples
from bench.gateways import Gateway, Running
from bench.load import Traffic, window
from bench.report import Report, number, table

HOME = gateways.VENVS / "py-spy"
FRAME = re.compile(r"(.+) \((.+?)(?::(\d+))?\)$")
SECONDS = 8
MOST = 25


def tell(report: Report, us: Gateway, upstream: int, core: set[int], other: set[int]) -> None:
    """A sync call at 64 connections, then a streamed event of 32 streams."""
    if not (HOME / ".installed").exists():
        gateways.install(HOME, ("py-spy",))
    headers, body = ["content-type: application/json", *us.headers], samples.request(us.model)
    with gateways.running(us, upstream, core) as here:
        url = here.address + us.path
        window(url, headers, body, 64, 2, other, here)
        cost_us = min(window(url, headers, body, 64, 2, other, here).cpu_us for _ in range(3))
        load = threading.Thread(target=window, args=(url, headers, body, 64, SECONDS + 3, other))
        _section(report, "sync call, 64 connections", here, load, cost_us)
    traffic = Traffic(other)
    try:
        with gateways.running(us, traffic.port, core) as here:
            command = {
                "do": "streams", "port": here.port, "head": us.request_head(), "count": 32, "gap_s": 0,
                "body": samples.request(us.model, stream=True),
            }  # fmt: skip
            cost_us = min(traffic.run({**command, "seconds": 2}, here)["cpu_us"] for _ in range(3))
            load = threading.Thread(target=traffic.run, args=({**command, "seconds": SECONDS + 2},))
            _section(report, "streamed event, 32 streams", here, load, cost_us)
    finally:
        traffic.close()


def _section(report: Report, what: str, here: Running, load: threading.Thread, cost_us: float) -> None:
    load.start()
    time.sleep(1.5)
    stacks = _samples(here.process.pid)
    load.join()
    lines, functions, total = _count(stacks)
    for count, by in ((lines, "line, itself and what it calls in C"), (functions, "function, with all it calls")):
        rows = [[where, number(n / total * cost_us), f"{n / total:.1%}"] for where, n in count.most_common(MOST)]
        text = table([by, "us", "share"], rows)
        report.section(f"Profile of a {what}: by {by.split(',')[0]}", f"{number(cost_us)} us in all.\n\n{text}")


def _samples(pid: int) -> list[tuple[list[str], int]]:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "raw"
        spy = [HOME / "bin" / "py-spy", "record", "-d", str(SECONDS), "-r", "400", "-f", "raw", "-o", file]
        subprocess.run([*spy, "-p", str(pid)], check=True, capture_output=True)
        parsed = (line.rsplit(" ", 1) for line in file.read_text().splitlines())
        return [(stack.split(";"), int(count)) for stack, count in parsed if "Thread._bootstrap" not in stack]


def _count(stacks: list[tuple[list[str], int]]) -> tuple[collections.Counter[str], collections.Counter[str], int]:
    """Samples by their innermost line, and by every function on the stack above what all have in common."""
    lines: collections.Counter[str] = collections.Counter()
    functions: collections.Counter[str] = collections.Counter()
    total = sum(count for _, count in stacks)
    for frames, count in stacks:
        lines[_named(frames[-1], line=True)] += count
        for name in {_named(frame, line=False) for frame in frames}:
            functions[name] += count
    common = [name for name, count in functions.items() if count > 0.985 * total]
    for name in common:
        del functions[name]
    return lines, functions, total


def _named(frame: str, *, line: bool) -> str:
    found = FRAME.match(frame)
    if found is None:
        return frame
    function, file, number_ = found.groups()
    file = os.path.relpath(file, gateways.HERE.parent) if file.startswith(str(gateways.HERE.parent)) else file
    return f"{function} ({file}:{number_})" if line and number_ else f"{function} ({file})"
