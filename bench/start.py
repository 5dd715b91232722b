"""How long `finops serve --demo` and `--help` take, and what the idle processes keep; against another checkout in turns.

    python -m bench.start [--against /path/to/checkout] [--rounds 5] [--keep]

Each start has an empty data directory and ends before the next one begins. Both trees run in this interpreter, with
the packages of this environment.
"""

import argparse
import contextlib
import dataclasses
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import orjson

from bench import machine
from bench.report import Report, number, ratio, table

ROOT = Path(__file__).resolve().parent.parent
SERVING = re.compile(r"serving on (http://[^ ]+)")
MIB = 1024 * 1024
SETTLE_S, SETTLED_CPU_S, LONGEST_SETTLE_S = 0.5, 0.02, 30.0
BODY = orjson.dumps({"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "Hello"}]})
JOB = orjson.dumps({"model": "sim/gpt-4o", "messages": [{"role": "user", "content": "Hello"}]})
HELPS = (("--help",), ("serve", "--help"), ("jobs", "list", "--help"))

Measured = TypeVar("Measured")


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds to ``serving on``, to the answer of a first call and to that of a first job; then CPU seconds
    of all processes, and MiB of the API.
    """

    ready_s: float
    answer_s: float
    job_s: float
    cpu_s: float
    api_mib: float


class Tree:
    """A checkout that can be started."""

    def __init__(self, root: Path) -> None:
        self.root = root
        known = {name: value for name, value in os.environ.items() if not name.startswith(("FINOPS_", "OPENAI_"))}
        known.pop("PYTHONDONTWRITEBYTECODE", None)
        self._environ = {**known, "PYTHONPATH": str(root)}
        self._options = ["--no-sample-data"] if "--sample-data" in self._run("serve", "--help") else []

    def help_s(self, *words: str) -> float:
        """Return the seconds that a command takes to print its help."""
        began = time.perf_counter()
        self._run(*words)
        return time.perf_counter() - began

    def start(self) -> Start:
        """Start the demo, ask it once, and stop it."""
        with tempfile.TemporaryDirectory() as directory, self._serving(Path(directory)) as (process, began, url):
            ready_s = time.perf_counter() - began
            request = urllib.request.Request(
                f"{url}/openai/v1/chat/completions", BODY, {"content-type": "application/json", "authorization": "x"}
            )
            with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()
            answer_s = time.perf_counter() - began
            _run_job(url)
            job_s = time.perf_counter() - began
            cpu_s = _settled_cpu_s(process.pid)
            return Start(ready_s, answer_s, job_s, cpu_s, _rss_of_api(process.pid) / MIB)

    @contextlib.contextmanager
    def _serving(self, directory: Path) -> Iterator[tuple[subprocess.Popen[str], float, str]]:
        began = time.perf_counter()
        command = ["serve", "--demo", *self._options, "--port", "0", "--data-dir", str(directory / "data")]
        process = subprocess.Popen(
            self._command(*command), cwd=directory, env=self._environ, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        try:
            log = []
            for line in process.stderr:
                log.append(line)
                if found := SERVING.search(line):
                    yield process, began, found[1]
                    break
            else:
                raise SystemExit("".join(log))
        finally:
            process.send_signal(signal.SIGINT)
            process.stderr.read()
            process.wait()

    def _run(self, *words: str) -> str:
        return subprocess.run(
            self._command(*words), cwd="/", env=self._environ, check=True, capture_output=True, text=True
        ).stdout

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "cli", *words]


def _run_job(url: str) -> None:
    """Submit a job, and wait for its end by a long poll."""
    address = f"{url}/v1/async/chat/completions"
    request = urllib.request.Request(address, JOB, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        job_id = orjson.loads(answer.read())["id"]
    poll = urllib.request.Request(f"{address}/{job_id}", headers={"x-bf-async-wait": "30"})
    with urllib.request.urlopen(poll, timeout=60) as answer:
        status = orjson.loads(answer.read())["status"]
    if status != "completed":
        raise SystemExit(f"the job is {status}")


def _settled_cpu_s(pid: int) -> float:
    """Wait until the processes rest, and return what they have used."""
    used, until = machine.tree_cpu_s(pid), time.monotonic() + LONGEST_SETTLE_S
    while time.monotonic() < until:
        time.sleep(SETTLE_S)
        before, used = used, machine.tree_cpu_s(pid)
        if used - before <= SETTLED_CPU_S:
            break
    return used


def _rss_of_api(pid: int) -> int:
    for child in machine.tree(pid):
        if b"\0api\0" in Path(f"/proc/{child}/cmdline").read_bytes():
            pages = int(Path(f"/proc/{child}/statm").read_text().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE")
    raise SystemExit("no API process")


def _in_turns(trees: Sequence[Tree], rounds: int, measure: Callable[[Tree], Measured]) -> list[list[Measured]]:
    """Measure each tree in each round, first the one and then the other first; the first round is not counted."""
    found: list[list[Measured]] = [[] for _ in trees]
    for at in range(rounds + 1):
        order = list(range(len(trees)))
        for which in order if at % 2 else reversed(order):
            value = measure(trees[which])
            if at:
                found[which].append(value)
    return found


def _row(name: str, found: list[list[float]]) -> list[str]:
    """Medians, and the median of the pairs' ratios."""
    medians = [statistics.median(values) for values in found]
    row = [name, number(medians[0])]
    if len(found) > 1:
        pairs = statistics.median(ours / theirs for ours, theirs in zip(*found, strict=True))
        row += [number(medians[1]), f"{pairs:.2f}x", ratio(medians[0], medians[1]).strip(" ()")]
    return row


def rows(trees: Sequence[Tree], rounds: int) -> list[list[str]]:
    """Return the rows of the table."""
    starts = _in_turns(trees, rounds, Tree.start)
    names = {
        "ready_s": "`finops serve --demo`: ready, s",
        "answer_s": "answer of the first call, s",
        "job_s": "result of the first job, s",
        "cpu_s": "CPU of all processes until they rest, s",
        "api_mib": "resident memory of the idle API, MiB",
    }
    made = [_row(text, [[getattr(one, name) for one in each] for each in starts]) for name, text in names.items()]
    for words in HELPS:
        found = _in_turns(trees, 2 * rounds, lambda tree, words=words: tree.help_s(*words))
        made.append(_row(f"`finops {' '.join(words)}`, s", found))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--against", type=Path, help="another checkout, measured in turns with this one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="make the table the current one in RESULTS.md")
    options = parser.parse_args()
    trees = [Tree(ROOT), *([Tree(options.against.resolve())] if options.against else [])]
    report = Report("Start", [machine.shape(), f"rounds: {options.rounds}", f"load average {machine.load():.1f}"])
    head = [
        "",
        "median",
        *(["other checkout", "median of the pairs", "ratio of the medians"] if options.against else []),
    ]
    report.section("Start, help and memory", table(head, rows(trees, options.rounds)))
    if options.keep:
        report.keep()
    return 0


if __name__ == "__main__":
    sys.exit(main())
