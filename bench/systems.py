"""The systems that are compared: their programs, interpreters, and how they are started."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine
from bench.records import Records

HERE = Path(__file__).resolve().parent
VENVS = HERE.parent / ".bench"


@dataclass(frozen=True)
class System:
    """One system under test.

    Attributes:
        name: As in the tables.
        program: Its file under ``peers``.
        venv: Folder under ``.bench``; empty: the interpreter that runs this.
        packages: What the venv holds.
        environ: Chooses a variant.
        jobs: How many make a short run of throughput.
        concurrency: Jobs at once in throughput runs.
        senders: Its client can send several at a time.
    """

    name: str
    program: str
    venv: str = ""
    packages: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    jobs: int = 4000
    concurrency: int = 100
    senders: bool = True

    @property
    def python(self) -> str:
        return str(VENVS / self.venv / "bin" / "python") if self.venv else sys.executable

    def command(self, *rest: object) -> list[str]:
        return [self.python, str(HERE / "peers" / self.program), *map(str, rest)]

    def environment(self, **extra: str) -> dict[str, str]:
        paths = str(HERE.parent) if not self.venv else ""
        return {**os.environ, "PYTHONPATH": paths, **self.environ, **extra}

    def install(self) -> None:
        if not self.venv or Path(self.python).exists():
            return
        print(f"installing {self.name}: {', '.join(self.packages)}", file=sys.stderr)
        uv = shutil.which("uv")
        subprocess.run(
            [uv, "venv", "-q", "--python", sys.executable, VENVS / self.venv]
            if uv
            else [sys.executable, "-m", "venv", VENVS / self.venv],
            check=True,
        )
        pip = (
            [uv, "pip", "install", "-q", "--python", self.python] if uv else [self.python, "-m", "pip", "install", "-q"]
        )
        subprocess.run([*pip, *self.packages], check=True)

    def version(self) -> str:
        """Name and version of its first package."""
        if not self.venv:
            return ""
        name = self.packages[0].split("[")[0].split("=")[0]
        code = f"import importlib.metadata as m; print(m.version({name!r}))"
        return f"{name} {subprocess.check_output([self.python, '-c', code], text=True).strip()}"


SYSTEMS = (
    System("finops", "ours.py", jobs=20_000, concurrency=1000),
    System("arq, default", "arq_stock.py", "arq", ("arq==0.28.0", "hiredis", "uvloop", "orjson"), jobs=400, concurrency=10),
    System(
        "arq, 100 jobs, poll 10 ms", "arq_stock.py", "arq", ("arq==0.28.0", "hiredis", "uvloop", "orjson"),
        {"ARQ_TUNED": "1"},
    ),
    System("saq", "saq_peer.py", "saq", ("saq[hiredis]", "typing-extensions", "uvloop", "orjson")),
    System("streaq", "streaq_peer.py", "streaq", ("streaq", "uvloop"), jobs=3000),
    System("taskiq, list", "taskiq_peer.py", "taskiq", ("taskiq-redis", "uvloop", "orjson", "hiredis")),
    System(
        "taskiq, stream", "taskiq_peer.py", "taskiq", ("taskiq-redis", "uvloop", "orjson", "hiredis"),
        {"TASKIQ_BROKER": "stream"},
    ),
    System("celery, solo", "celery_peer.py", "celery", ("celery[redis]",), jobs=1500, concurrency=1, senders=False),
    System("floor: list", "floor.py", jobs=10_000),
    System("floor: stream", "floor.py", environ={"FLOOR": "stream"}, jobs=40_000),
)  # fmt: skip
OURS, STOCK = SYSTEMS[0], SYSTEMS[1]


@dataclass
class Worker:
    """A worker process."""

    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def cpu_s(self) -> float:
        return machine.cpu_s(self.pid)

    def stop(self, patience_s: float = 3.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


def start_worker(
    system: System, url: str, records: Records, *, concurrency: int = 0, cores: set[int] | None = None, **extra: str
) -> Worker:
    """Start a worker; it may not be ready yet when this returns."""
    process = subprocess.Popen(
        system.command("work", url, records.path, concurrency or system.concurrency),
        env=system.environment(**extra),
        cwd=HERE / "peers",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if "BENCH_LOUD" not in os.environ else None,
        preexec_fn=machine.end_with_parent(cores),
    )
    return Worker(process)


@contextlib.contextmanager
def working(
    system: System, url: str, records: Records, *, count: int = 1, concurrency: int = 0, cores: set[int] | None = None
) -> Iterator[list[Worker]]:
    """Workers for as long as the block lasts."""
    workers = [start_worker(system, url, records, concurrency=concurrency, cores=cores) for _ in range(count)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.process.send_signal(signal.SIGTERM) if worker.process.poll() is None else None
        for worker in workers:
            worker.stop(1.0)


def until_ready(system: System, url: str, records: Records, patience_s: float = 30.0) -> None:
    """Wait until a worker that was started has run a job; leaves no records."""
    burst(system, url, 1)
    if not records.wait_for(1, patience_s):
        raise RuntimeError(f"{system.name}: no worker came up")
    time.sleep(0.3)
    records.clear()


def send(system: System, url: str, *command: object, cores: set[int] | None = None, **extra: str) -> dict[str, float]:
    """Run a sender to its end; its count and seconds."""
    done = subprocess.run(
        system.command(command[0], url, *command[1:]),
        env=system.environment(**extra),
        cwd=HERE / "peers",
        stdout=subprocess.PIPE,
        stderr=None if "BENCH_LOUD" in os.environ else subprocess.DEVNULL,
        check=True,
        preexec_fn=machine.end_with_parent(cores),
    )
    return json.loads(done.stdout.splitlines()[-1])


def burst(
    system: System, url: str, count: int, *, senders: int = 64, sleep_s: float = 0, tag: int = 0, **extra: str
) -> float:
    """Send as fast as it goes; jobs per second."""
    reply = send(system, url, "burst", count, senders if system.senders else 1, sleep_s, tag, **extra)
    return reply["count"] / reply["seconds"]


def paced(system: System, url: str, rate: float, during: float, *, sleep_s: float = 0, tag: int = 0) -> None:
    send(system, url, "paced", rate, during, sleep_s, tag)


def sender(system: System, url: str, *command: object, **extra: str) -> subprocess.Popen[bytes]:
    """Start a sender and go on."""
    return subprocess.Popen(
        system.command(command[0], url, *command[1:]),
        env=system.environment(**extra),
        cwd=HERE / "peers",
        stdout=subprocess.PIPE,
        preexec_fn=machine.end_with_parent(),
        stderr=None if "BENCH_LOUD" in os.environ else subprocess.DEVNULL,
    )


def chosen(only: Sequence[str]) -> list[System]:
    return [s for s in SYSTEMS if not only or any(word in s.name for word in only)]
