"""The API tier under load: submits as fast as they come, and thousands that wait for outcomes."""

import asyncio
import contextlib
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.peers.ours import LIMITS
from bench.records import quantile
from bench.store_server import StoreServer
from shared.jobs.model import Outcome, State
from shared.jobs.queue import JobQueue
from shared.jobs.store import Finish, JobStore
from shared.store.multiplexed import MultiplexedClient

PATH = "/v1/async/chat/completions"
BODY = json.dumps({"model": "noop/m", "messages": [{"role": "user", "content": "Hello " * 60}]})
CONFIG = """
[jobs]
max_queued = 1000000
max_queued_per_key = 1000000
[log]
level = "info"
[providers.noop]
wire = "openai"
base_url = "http://127.0.0.1:9/v1"
keys = [{ value = "k" }]
"""
WRK = """
wrk.method = "POST"
wrk.body = [[%s]]
wrk.headers["Content-Type"] = "application/json"
local refused = 0
function response(status) if status ~= 202 then refused = refused + 1; wrk.thread:set("refused", refused) end end
local threads = {}
function setup(thread) table.insert(threads, thread) end
function done(summary, latency, requests)
  local r = 0
  for _, t in ipairs(threads) do r = r + (t:get("refused") or 0) end
  io.write(string.format("RESULT %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), r + summary.errors.status))
end
"""


@dataclass
class Api:
    pid: int
    port: int


@contextlib.contextmanager
def api(store: StoreServer, cores: set[int] | None, settings: str = CONFIG) -> Iterator[Api]:
    """``python -m api``, one process, its log written to a file."""
    with tempfile.TemporaryDirectory(prefix="finops-bench-") as directory, socket.socket() as probe:
        config = Path(directory) / "finops.toml"
        config.write_text(settings)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        with (Path(directory) / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "api", "--port", str(port), "--redis-url", store.url, "--config", str(config)],
                cwd=Path(__file__).resolve().parent.parent,
                stderr=log,
                preexec_fn=machine.end_with_parent(cores),
            )
            try:
                _until_up(port)
                yield Api(process.pid, port)
            finally:
                process.terminate()
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _until_up(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2).read()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@dataclass
class Submits:
    per_s: float
    cpu_us: float
    store_us: float
    p50_ms: float
    p99_ms: float
    refused: int


def submits(running: Api, store: StoreServer, connections: int, seconds: int, cores: set[int] | None) -> Submits:
    """wrk on the accepting endpoint; every answer must be 202."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed")
    store.empty()
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK % BODY)
        script.flush()
        cpu, store_cpu = machine.cpu_s(running.pid), machine.cpu_s(store.process.pid)
        output = subprocess.run(
            [
                "wrk",
                "-t1",
                f"-c{connections}",
                f"-d{seconds}s",
                "-s",
                script.name,
                f"http://127.0.0.1:{running.port}{PATH}",
            ],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            preexec_fn=machine.end_with_parent(cores),
        ).stdout
        cpu, store_cpu = machine.cpu_s(running.pid) - cpu, machine.cpu_s(store.process.pid) - store_cpu
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", output)
    if found is None:
        raise RuntimeError(output)
    requests, micros, p50, p99, refused = map(int, found.groups())
    return Submits(
        requests / micros * 1e6, cpu / requests * 1e6, store_cpu / requests * 1e6, p50 / 1000, p99 / 1000, refused
    )


def typical(many: list[Submits]) -> Submits:
    return Submits(*(statistics.median(getattr(s, name) for s in many) for name in Submits.__dataclass_fields__))


@dataclass
class Waiters:
    """``kib``: the API process' growth for each; ``p50``, ``p99``: ms from the outcome to the answer's last byte."""

    count: int
    kib: float
    p50_ms: float
    p99_ms: float
    unanswered: int


def waiters(running: Api, store: StoreServer, count: int, per_s: int = 1000) -> Waiters:
    """Connections that submit with ``x-bf-async-wait``; then their jobs end, ``per_s`` of them each second."""
    machine.many_files()
    store.empty()
    return asyncio.run(_waiters(running, store, count, per_s))


async def _waiters(running: Api, store: StoreServer, count: int, per_s: int) -> Waiters:
    request = (
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-bf-async-wait: 60\r\n"
        f"content-length: {len(BODY)}\r\n\r\n{BODY}"
    ).encode()
    before = machine.rss_kib(running.pid)
    waiting: list[_Waiting] = []
    loop = asyncio.get_running_loop()
    for number in range(count):
        _, protocol = await loop.create_connection(lambda: _Waiting(request), "127.0.0.1", running.port)
        waiting.append(protocol)
        if number % 100 == 99:
            await asyncio.sleep(0.05)
    commands = MultiplexedClient(store.url, timeout_s=30)
    queue, jobs = JobQueue(commands, LIMITS), JobStore(commands)
    while (await jobs.stats()).callers.get("-", 0) < count:
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    kib = (machine.rss_kib(running.pid) - before) / count
    ended_at = await _end_all(queue, jobs, count, per_s)
    deadline = time.monotonic() + 20
    while any(w.at == 0 for w in waiting) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    waits = [(w.at - ended_at[w.job_id()]) * 1000 for w in waiting if w.at]
    for w in waiting:
        w.close()
    await commands.aclose()
    return Waiters(count, kib, quantile(waits, 0.5), quantile(waits, 0.99), count - len(waits))


async def _end_all(queue: JobQueue, jobs: JobStore, count: int, per_s: int) -> dict[str, float]:
    """End jobs ten at a time, evenly; when each was about to be ended, by its id."""
    ended_at: dict[str, float] = {}
    begun, ended, claims = time.monotonic(), 0, []
    while True:
        if not claims:
            claims = list((await queue.claim("bench", 250)).claims)
            if not claims and ended >= count:
                return ended_at
            if not claims:
                await asyncio.sleep(0.05)
                continue
        batch, claims = claims[:10], claims[10:]
        at = time.monotonic()
        outcome = Outcome(state=State.COMPLETED, status_code=200, result=b'{"object":"chat.completion"}')
        await jobs.finish_many([Finish(claim, outcome) for claim in batch])
        for claim in batch:
            ended_at[claim.id] = at
        ended += len(batch)
        if (wait := begun + ended / per_s - time.monotonic()) > 0:
            await asyncio.sleep(wait)


class _Waiting(asyncio.Protocol):
    """One client that waits for its answer."""

    __slots__ = ("_request", "_transport", "answer", "at")

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.answer = b""
        self.at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        self.at = time.monotonic()

    def job_id(self) -> str:
        found = re.search(rb'"(?:id|job_id)":"([0-9a-f-]{36})"', self.answer)
        if found is None:
            raise RuntimeError(f"no job id in {self.answer[:300]!r}")
        return found.group(1).decode()

    def close(self) -> None:
        self._transport.close()
