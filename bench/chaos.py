"""Ten thousand jobs through the whole system while workers, APIs and the store are killed; what is lost, what doubled?

    python bench/chaos.py [--jobs 10000] [--seed 1] [--shards 1] [--keep]

Clients submit over HTTP with an idempotency key each, repeating what was not answered, and wait for the outcome over
HTTP too. Submits are answered when they are on disk (``durability = "fsync"``). Ends with 1 when anything is wrong.
"""

import argparse
import asyncio
import itertools
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import orjson

from bench import machine
from bench.chaos_system import CONFIG, Monkey, Processes, Receiver
from bench.report import Report, table
from shared.governance.bookings.carrier import waiting_bookings
from shared.governance.keyspace import LEDGER
from shared.jobs import keys
from shared.jobs.events import TERMINAL_EVENTS
from shared.jobs.sharded.reading import ShardedEvents
from shared.jobs.sharded.store import ShardedStore
from shared.jobs.store import JobStore
from shared.store.embedded import EmbeddedStore
from shared.store.multiplexed import MultiplexedClient

PATH = "/v1/async/chat/completions"
MODEL = "sim/gpt-4o-mini@latency=0.4"
LEASE_S = 2.0
SENDERS = 60
WEBHOOK_EVERY = 20
PATIENCE_S = 300


@dataclass
class Seen:
    """The outcomes that clients received."""

    accepted: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    unanswered: Counter[str] = field(default_factory=Counter)
    with_webhook: set[str] = field(default_factory=set)


class Client:
    """A caller as careful as the guarantees ask for: it repeats what was not answered, under the same key."""

    def __init__(self, ports: list[int], seen: Seen, run: str) -> None:
        self._http = httpx.AsyncClient(timeout=40, limits=httpx.Limits(max_connections=2000))
        self._ports = itertools.cycle(ports)
        self.seen = seen
        self._run = run

    async def submit(self, number: int) -> str:
        headers = {"Idempotency-Key": f"{self._run}-{number}"}
        if number % WEBHOOK_EVERY == 0:
            headers["x-bf-async-webhook"] = "chaos"
        body = {"model": MODEL, "messages": [{"role": "user", "content": f"job {number} " * 20}]}
        deadline = time.monotonic() + PATIENCE_S
        while (
            answer := await self._ask("POST", PATH, headers=headers, json=body)
        ) is None or answer.status_code not in (200, 202):
            if time.monotonic() > deadline:
                raise RuntimeError(f"no submit was answered for {PATIENCE_S} s: {answer and answer.text}")
            await asyncio.sleep(0.2)
        job_id = answer.json()["id"]
        if self.seen.accepted.setdefault(job_id, number) != number:
            self.seen.faults.append(f"{job_id} was given to two submits")
        if number % WEBHOOK_EVERY == 0:
            self.seen.with_webhook.add(job_id)
        return job_id

    async def until_ended(self, job_id: str, deadline: float) -> None:
        while time.monotonic() < deadline:
            answer = await self._ask("GET", f"{PATH}/{job_id}", headers={"x-bf-async-wait": "20"})
            if answer is None or answer.status_code >= 500:
                await asyncio.sleep(0.2)
            elif answer.status_code == 404:
                self.seen.faults.append(f"{job_id} is unknown: lost")
                return
            elif answer.status_code == 200:
                self._note(job_id, answer)
                return

    def _note(self, job_id: str, answer: httpx.Response) -> None:
        job = answer.json()
        outcome = (job["status"], f"{job.get('completed_at')} {(job.get('result') or {}).get('id')}")
        if self.seen.outcomes.setdefault(job_id, outcome) != outcome:
            self.seen.faults.append(f"{job_id} had two outcomes: {self.seen.outcomes[job_id]}, {outcome}")

    async def _ask(self, method: str, path: str, **options: object) -> httpx.Response | None:
        try:
            answer = await self._http.request(method, f"http://127.0.0.1:{next(self._ports)}{path}", **options)
        except httpx.TransportError as error:
            self.seen.unanswered[type(error).__name__] += 1
            return None
        if answer.status_code >= 429:
            self.seen.unanswered[str(answer.status_code)] += 1
        elif answer.status_code >= 400 and answer.status_code != 404:
            self.seen.faults.append(f"{method}: {answer.status_code} {answer.text[:200]}")
        return answer

    async def aclose(self) -> None:
        await self._http.aclose()


async def work(client: Client, monkey: Monkey, options: argparse.Namespace) -> None:
    """Send everything while the monkey is about, and wait for every outcome."""
    numbers = iter(range(options.jobs))
    waits: list[asyncio.Task[None]] = []
    at_once = asyncio.Semaphore(200)

    async def wait(job_id: str) -> None:
        async with at_once:
            await client.until_ended(job_id, time.monotonic() + PATIENCE_S)

    async def send() -> None:
        for number in numbers:
            begun = time.monotonic()
            waits.append(asyncio.create_task(wait(await client.submit(number))))
            await asyncio.sleep(max(0.0, SENDERS / options.rate - (time.monotonic() - begun)))

    trouble = asyncio.create_task(monkey.run((0.5, 2.5), (10, 20)))
    await asyncio.gather(*(send() for _ in range(SENDERS)))
    trouble.cancel()
    await asyncio.wait([trouble])
    if not trouble.cancelled():
        trouble.result()
    await asyncio.gather(*waits)
    client.seen.faults += [f"{name} ended by itself, {times} times" for name, times in monkey.fallen.items()]


async def verify(seen: Seen, shards: list[MultiplexedClient], receiver: Receiver) -> dict[str, int]:
    """Compare the store and the receiver with what clients received; add differences to ``seen.faults``."""
    store, log = store_of(shards), ShardedEvents(shards)
    for job_id in seen.accepted:
        if job_id not in seen.outcomes:
            job = await store.get(job_id)
            seen.faults.append(f"{job_id} never ended: {job and (job.state, job.attempts, job.reason)}")
            continue
        ends = [event.name for event in await log.read(job_id) if event.name in TERMINAL_EVENTS]
        if ends != [f"job.{seen.outcomes[job_id][0]}"]:
            seen.faults.append(f"{job_id} has the endings {ends}, its client received {seen.outcomes[job_id]}")
    made = {name.decode() for each in shards for name in await each.execute("ZRANGE", keys.ALL_JOBS, 0, -1)}
    more = [name for name in made - seen.accepted.keys() if not name.startswith("evt_")]
    if more:
        seen.faults.append(f"{len(more)} jobs were made of requests that made another: {more[:3]}")
    silent = [job_id for job_id in seen.with_webhook if len(receiver.heard.get(job_id, ())) != 1]
    if silent:
        seen.faults.append(f"webhooks: {len(silent)} jobs with no notification, or several: {silent[:3]}")
    stats = await store.stats()
    left = {
        "running": stats.running,
        "deferred": stats.deferred,
        "queued": sum(s.depth for s in stats.priorities.values()),
    }
    if any(left.values()):
        seen.faults.append(f"left behind: {left}")
    for each in shards:
        for name in await each.execute("KEYS", "finops:caller:*"):
            counts = await each.execute("HMGET", name, "running", "waiting")
            if counts != [b"0", b"0"]:
                seen.faults.append(f"{name.decode()} of shard {each.shard} counts {counts}")
    booked = Counter(
        orjson.loads(fields[1])["job"] for _, fields in await shards[0].execute("XRANGE", LEDGER, "-", "+")
    )
    twice = [job_id for job_id, times in booked.items() if times > 1]
    if twice or seen.outcomes.keys() - booked.keys():
        seen.faults.append(f"{len(twice)} jobs booked twice, {len(seen.outcomes.keys() - booked.keys())} never")
    return left


def store_of(shards: list[MultiplexedClient]) -> JobStore:
    """The jobs of all shards."""
    return ShardedStore(shards)


async def settled(shards: list[MultiplexedClient], receiver: Receiver, seen: Seen) -> None:
    """Deliveries and bookings come after the outcomes."""
    store, deadline = store_of(shards), time.monotonic() + 90
    while time.monotonic() < deadline:
        stats = await store.stats()
        if (
            not stats.running + stats.deferred + sum(stats.callers.values())
            and seen.with_webhook <= receiver.heard.keys()
            and not sum([await waiting_bookings(each) for each in shards[1:]])
        ):
            return
        await asyncio.sleep(0.5)


async def run(options: argparse.Namespace, directory: Path) -> tuple[Seen, list[list[str]]]:
    seen, receiver = Seen(), Receiver()
    hooks = await asyncio.start_server(receiver.answer, "127.0.0.1", 0)
    async with EmbeddedStore(directory / "data") as store:
        processes = Processes(
            directory, store.url, hooks.sockets[0].getsockname()[1], apis=2, workers=options.workers, lease_s=LEASE_S,
            config=CONFIG + f"[redis]\nshards = {options.shards}\n",
        )  # fmt: skip
        monkey = Monkey(processes, store, random.Random(options.seed), lease_s=LEASE_S)
        shards = [MultiplexedClient(store.url, shard=shard) for shard in range(options.shards)]
        client = Client(processes.api_ports, seen, f"chaos-{os.getpid()}")
        try:
            await asyncio.to_thread(processes.until_up)
            begun = time.monotonic()
            await work(client, monkey, options)
            took_s = time.monotonic() - begun
            await settled(shards, receiver, seen)
            await verify(seen, shards, receiver)
            for job_id in seen.accepted:  # an outcome stays what it was
                if job_id in seen.outcomes and seen.accepted[job_id] % 10 == 0:
                    await client.until_ended(job_id, time.monotonic() + 10)
            jobs = [await store_of(shards).get(job_id) for job_id in seen.accepted]
            rows = result_rows(seen, monkey, jobs, processes.upstream_calls(), receiver, took_s)
        finally:
            await client.aclose()
            for each in shards:
                await each.aclose()
            await asyncio.to_thread(processes.end)
    hooks.close()
    return seen, rows


def result_rows(
    seen: Seen, monkey: Monkey, jobs: list, calls: int, receiver: Receiver, took_s: float
) -> list[list[str]]:
    ends = Counter(status for status, _ in seen.outcomes.values())
    codes = Counter(job.error["code"] for job in jobs if job and job.error)
    return [
        ["jobs accepted, in seconds", f"{len(seen.accepted):,}, {took_s:.0f}"],
        ["killed and the like", ", ".join(f"{n} {what}" for what, n in sorted(monkey.done.items()))],
        ["requests not answered, or refused, and sent again", ", ".join(f"{n} {w}" for w, n in seen.unanswered.items())],
        ["outcomes", ", ".join(f"{n:,} {what}" for what, n in ends.items())],
        ["errors", ", ".join(f"{n} {what}" for what, n in codes.items()) or "none"],
        ["jobs that started more than once", str(sum(1 for job in jobs if job and job.attempts > 1))],
        ["upstream calls", f"{calls:,}"],
        ["jobs with a webhook, deliveries", f"{len(seen.with_webhook)}, {receiver.deliveries}"],
        ["**lost, doubled, or otherwise wrong**", f"**{len(seen.faults)}**"],
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=60.0, help="submits per second")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1, help="of the kills")
    parser.add_argument("--nice", type=int, default=0, help="where others use the machine; needs root")
    parser.add_argument("--keep", action="store_true", help="make the tables the current ones in RESULTS.md")
    options = parser.parse_args()
    if options.nice:
        machine.be_nice(options.nice)
    load = machine.load()
    directory = Path(tempfile.mkdtemp(prefix="finops-chaos-"))
    machine.many_files()
    seen, rows = asyncio.run(run(options, directory))
    shape = f"2 API processes, {options.workers} workers, leases of {LEASE_S:g} s, fsync before each answer to a submit"
    report = Report("Chaos", [machine.shape(), shape, f"seed {options.seed}; load average at start {load:.1f}"])
    over = f", over {options.shards} shards" if options.shards > 1 else ""
    report.section(f"Jobs while everything is being killed{over}", table(["", ""], rows))
    for fault in seen.faults[:20]:
        print("  wrong:", fault)
    print("logs and data:", directory)
    if options.keep:
        report.keep()
    return 1 if seen.faults else 0


if __name__ == "__main__":
    sys.exit(main())
