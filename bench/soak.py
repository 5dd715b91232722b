"""Whether the system stays as it is under mixed traffic: memory, descriptors and the store's memory, minute by minute.

    python -m bench.soak --minutes 35 [--rate 60] [--keep]

One API, one worker, the simulator and a store, each as a process. Calls, streams, jobs and their polls, refusals and
callers that hang up arrive in a random order. What keeps growing is a leak: the slope is fitted to the second half and
extrapolated to an hour, as the API takes 18 minutes to reach its size at 60 operations/s. Results are kept for 20 s and
500 ledger entries at most; what else the store keeps for a while grows until that is over. Ends with 1 where an
operation had another outcome than it should.
"""

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench import machine
from bench.chaos_system import SIMULATED, Processes
from bench.report import Report, number, table
from bench.store_server import StoreServer

SAMPLE_S = 5.0
MIB = 1024 * 1024
MOST_AT_ONCE = 200
JOB_LONGEST_S = 60.0
CONFIG = """
[auth]
require_virtual_key = false
[jobs]
lease_s = {lease_s}
result_ttl_s = 20
concurrency = 60
[ledger]
max_calls = 500
[prices."sim/*"]
input = 1.0
output = 4.0
[virtual_keys.soak]
value = "sk-bf-soak"
budget = {{ limit_usd = 1000000.0, window = "1d" }}
rate_limit = {{ requests = 1000000000, tokens = 1000000000000, window = "1m" }}
"""
PATH, JOBS = "/openai/v1/chat/completions", "/v1/async/chat/completions"
LIMITED = {"x-bf-vk": "sk-bf-soak"}


def body(model: str = "sim/gpt-4o", **more: object) -> bytes:
    """A request of some 1 KB."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "hello " * 160}], **more}).encode()


class Traffic:
    """Operations on one API; each counts what became of it.

    Attributes:
        done: Operations that ended as they should, by kind.
        wrong: Others, by kind and what they met.
    """

    def __init__(self, client: httpx.AsyncClient, dice: random.Random) -> None:
        self._client = client
        self._dice = dice
        self.done: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self._kinds: dict[str, tuple[int, Callable[[], Awaitable[object]]]] = {
            "call": (8, self._call),
            "stream": (4, self._stream),
            "job, polled to its end": (4, self._job),
            "refusal": (2, self._refusal),
            "call whose caller hangs up": (1, self._left_call),
            "stream whose caller hangs up": (1, self._left_stream),
        }

    async def run(self, rate: float, until: float) -> None:
        """Start operations until a time of the loop, at most ``MOST_AT_ONCE`` at once, and await their ends."""
        loop = asyncio.get_running_loop()
        room = asyncio.Semaphore(MOST_AT_ONCE)
        names, weights = list(self._kinds), [weight for weight, _ in self._kinds.values()]
        at = loop.time()
        async with asyncio.TaskGroup() as group:
            while loop.time() < until:
                await room.acquire()
                group.create_task(self._one(self._dice.choices(names, weights)[0], room))
                at = max(at + 1 / rate, loop.time() - 1)  # what a busy machine missed is not made up for
                await asyncio.sleep(max(0.0, at - loop.time()))

    async def _one(self, kind: str, room: asyncio.Semaphore) -> None:
        try:
            await self._kinds[kind][1]()
            self.done[kind] += 1
        except (AssertionError, httpx.HTTPError) as error:
            self.wrong[f"{kind}: {error or type(error).__name__}"] += 1
        finally:
            room.release()

    def _headers(self) -> dict[str, str]:
        return LIMITED if self._dice.random() < 0.5 else {}

    async def _call(self) -> None:
        answer = await self._client.post(PATH, content=body(), headers=self._headers())
        expect(answer.status_code, 200)

    async def _stream(self) -> None:
        async with self._client.stream("POST", PATH, content=body(stream=True), headers=self._headers()) as answer:
            expect(answer.status_code, 200)
            text = await answer.aread()
        expect(text.endswith(b"data: [DONE]\n\n"), True)

    async def _job(self) -> None:
        headers = self._headers()
        made = await self._client.post(JOBS, content=body(), headers=headers)
        expect(made.status_code, 202)
        where = f"{JOBS}/{made.json()['id']}"
        give_up_at = time.monotonic() + JOB_LONGEST_S
        while (answer := await self._client.get(where, headers=headers)).status_code == 202:
            expect(time.monotonic() < give_up_at, True)
            await asyncio.sleep(0.2)
        expect((answer.status_code, answer.json()["status"]), (200, "completed"))

    async def _refusal(self) -> None:
        content = self._dice.choice([b"{", body("nobody/gpt-4o"), body(messages=[])])
        answer = await self._client.post(PATH, content=content, headers=self._headers())
        expect(answer.status_code, 400)

    async def _left_call(self) -> None:
        with contextlib.suppress(httpx.ReadTimeout):
            content = body("sim/gpt-4o@latency=20")
            await self._client.post(PATH, content=content, headers=self._headers(), timeout=httpx.Timeout(60, read=0.5))
            raise AssertionError("it was answered")

    async def _left_stream(self) -> None:
        content = body("sim/gpt-4o@tps=20", stream=True)
        async with self._client.stream("POST", PATH, content=content, headers=self._headers()) as answer:
            expect(answer.status_code, 200)
            async for _ in answer.aiter_raw():
                break


def expect(value: object, wanted: object) -> None:
    """Check an outcome; another one is listed in the table of what went wrong."""
    if value != wanted:
        raise AssertionError(f"{value!r} instead of {wanted!r}")


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at all processes.

    Attributes:
        at_s: Since the first one.
        rss: Resident MiB of API, worker and store.
        descriptors: Open ones of API and worker.
        used: MiB that the store uses for data.
        keys: Number of them.
    """

    at_s: float
    rss: tuple[float, float, float]
    descriptors: tuple[int, int]
    used: float
    keys: int


class Watch:
    """Samples of the processes."""

    def __init__(self, processes: Processes, store: StoreServer) -> None:
        self._pids = [processes.running[name].pid for name in ("api 0", "worker 0")]
        self._store = store
        self._began = time.monotonic()
        self.samples: list[Sample] = []

    def look(self) -> None:
        memory = self._store.client.info("memory")
        pids = (*self._pids, self._store.process.pid)
        api, worker, store = (machine.rss_kib(pid) / 1024 for pid in pids)
        opened = [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self._pids]
        self.samples.append(
            Sample(
                time.monotonic() - self._began,
                (api, worker, store),
                (opened[0], opened[1]),
                int(memory["used_memory_dataset"]) / MIB,
                int(self._store.client.dbsize()),
            )
        )

    async def run(self) -> None:
        """Look every ``SAMPLE_S`` until cancelled."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(SAMPLE_S)


FIGURES: dict[str, Callable[[Sample], float]] = {
    "API, MiB": lambda sample: sample.rss[0],
    "worker, MiB": lambda sample: sample.rss[1],
    "store, MiB": lambda sample: sample.rss[2],
    "store's data, MiB": lambda sample: sample.used,
    "keys": lambda sample: sample.keys,
    "API, descriptors": lambda sample: sample.descriptors[0],
    "worker, descriptors": lambda sample: sample.descriptors[1],
}


def slope_an_hour(samples: Sequence[Sample], figure: Callable[[Sample], float]) -> float:
    """Return what a figure grows in an hour, fitted to the samples of the second half."""
    behind = [sample for sample in samples if sample.at_s >= samples[-1].at_s / 2]
    if len(behind) < 2:
        return float("nan")
    return statistics.linear_regression([s.at_s for s in behind], [figure(s) for s in behind]).slope * 3600


def minutes_of(samples: Sequence[Sample]) -> range:
    """Return the minutes that a table of at most twelve columns shows."""
    minutes = int(samples[-1].at_s // 60)
    step = max(1, -(-minutes // 10))
    return range(step, minutes + 1, step)


def rows(samples: Sequence[Sample]) -> list[list[str]]:
    """Return a row per figure: at the start, at some minutes and at the end, then its slope."""
    columns = [samples[0], *(min(samples, key=lambda s, m=m: abs(s.at_s - 60 * m)) for m in minutes_of(samples))]
    columns.append(samples[-1])
    return [
        [name, *(number(figure(sample)) for sample in columns), f"{slope_an_hour(samples, figure):+,.1f}"]
        for name, figure in FIGURES.items()
    ]


async def soak(store: StoreServer, directory: Path, minutes: float, rate: float, seed: int) -> tuple[Watch, Traffic]:
    """Run the traffic; return what was seen and what became of it."""
    processes = Processes(directory, store.url, 0, apis=1, workers=1, lease_s=30, config=SIMULATED + CONFIG)
    try:
        await asyncio.to_thread(processes.until_up)
        watch = Watch(processes, store)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=MOST_AT_ONCE)
        address = f"http://127.0.0.1:{processes.api_ports[0]}"
        headers = {"content-type": "application/json"}
        async with httpx.AsyncClient(base_url=address, headers=headers, limits=limits, timeout=60) as client:
            traffic = Traffic(client, random.Random(seed))
            looks = asyncio.create_task(watch.run())
            await traffic.run(rate, asyncio.get_running_loop().time() + minutes * 60)
            looks.cancel()
            await asyncio.wait([looks])
        await asyncio.to_thread(watch.look)
        for name in processes.fallen():
            traffic.wrong[f"{name} ended by itself"] += 1
    finally:
        await asyncio.to_thread(processes.end)
    return watch, traffic


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=35.0)
    parser.add_argument("--rate", type=float, default=60.0, help="operations a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="make the tables the current ones in RESULTS.md")
    options = parser.parse_args()
    store = StoreServer()
    try:
        about = [f"{options.rate:g} operations/s for {options.minutes:g} min", f"seed {options.seed}"]
        report = Report("Soak", [machine.shape(), store.version, *about, f"load average {machine.load():.1f}"])
        with tempfile.TemporaryDirectory(prefix="finops-bench-") as directory:
            run = soak(store, Path(directory), options.minutes, options.rate, options.seed)
            watch, traffic = asyncio.run(run)
    finally:
        store.close()
    report.section("Operations", table(["", "ended as they should"], [[k, f"{n:,}"] for k, n in traffic.done.items()]))
    if traffic.wrong:
        report.section("Otherwise", table(["", "times"], [[k, f"{n:,}"] for k, n in traffic.wrong.most_common(20)]))
    minutes = [f"{minute} min" for minute in minutes_of(watch.samples)]
    head = ["", "start", *minutes, "end", "growth an hour, by the second half"]
    report.section("Minute by minute", table(head, rows(watch.samples)))
    if options.keep:
        report.keep()
    return 1 if traffic.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
