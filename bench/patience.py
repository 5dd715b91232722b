"""A day of jobs that can wait, compressed: what do they cost, are they on time, and what do kills and faults change?

    python -m bench.patience [--jobs 5000] [--day 120] [--kills] [--trouble] [--keep]

Five models, patience from 0 s to 24 h, all divided by 86,400 / ``--day``; half of the jobs say it as their deadline. With ``--kills`` workers, APIs and the store are
killed all the time. With ``--trouble`` a third of the provider's batches are stuck, the discounted tier refuses half of the time, and the
provider is away for a twentieth of the day. Ends with 1 when a job was lost, doubled or answered after its deadline, or
when the figures miss what is promised: all on time and at most 60 % of the price of now, or with trouble 99.5 % on time.
A job is not on time if it fails or is answered after its patience.
"""

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import orjson

from bench import machine
from bench.chaos_system import CONFIG, Monkey, Processes
from bench.report import Report, table
from shared.jobs.events import TERMINAL_EVENTS, EventLog
from shared.jobs.model import Job, State
from shared.jobs.store import JobStore
from shared.store.embedded import EmbeddedStore
from shared.store.multiplexed import MultiplexedClient

LEASE_S = 2.0
HOUR_S = 3600
# Hours of patience, and how many of a hundred jobs have it.
PATIENCE = ((0, 5), (2, 5), (4, 15), (8, 25), (12, 25), (24, 25))
CHATS = ("gpt-5", "gpt-5-mini", "gpt-4o", "o4-mini")
EMBEDDINGS = "text-embedding-3-small"
MARGIN_S = 4.0
RUN_S = 4.0
"""Time kept for a run now, in real seconds: a job whose worker is killed starts again within 5 s."""
ADDED = f"""
[prices."sim/gpt-5*"]
input = 1.25
output = 10
batch_discount = 0.5
flex_discount = 0.45
[prices."sim/*"]
input = 1
output = 4
batch_discount = 0.5
[jobs.patience]
assumed_flex_s = 1
assumed_batch_s = 3
assumed_now_s = {RUN_S}
margin_s = {MARGIN_S}
gather_s = 1
look_s = 0.5
"""
PATIENT_CONFIG = (
    CONFIG.replace(
        'keys = [{{ value = "k" }}]',
        'keys = [{{ value = "k" }}]\nflex = true\nbatches = true\nretry = {{ max_attempts = 8, backoff_max_s = 2 }}',
    )
    + ADDED
)


@dataclass
class Day:
    """What was submitted, and what came of it."""

    patience: dict[str, float] = field(default_factory=dict)
    lanes: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    unanswered: Counter = field(default_factory=Counter)


async def submit(http: httpx.AsyncClient, ports, day: Day, number: int, hours: float, scale: float) -> None:
    patience_s = hours * HOUR_S / scale
    model = EMBEDDINGS if number % 5 == 4 else CHATS[number % 5]
    text = f"job {number} " * 20
    path, body = "chat/completions", {"messages": [{"role": "user", "content": text}], "max_tokens": 200}
    if model == EMBEDDINGS:
        path, body = "embeddings", {"input": text}
    header = "x-bf-async-deadline" if patience_s and number % 2 else "x-bf-async-patience"
    headers = {"idempotency-key": f"day-{number}", header: f"{patience_s:.3f}"}
    for _ in range(600):
        url = f"http://127.0.0.1:{next(ports)}/v1/async/{path}"
        try:
            answer = await http.post(url, json={"model": f"sim/{model}", **body}, headers=headers)
        except httpx.TransportError as error:
            day.unanswered[type(error).__name__] += 1
        else:
            if answer.status_code in {200, 202}:
                found = answer.json()
                day.patience[found["id"]] = patience_s
                day.lanes[found["id"]] = found["lane"]
                return
            day.unanswered[str(answer.status_code)] += 1
        await asyncio.sleep(0.1)
    day.faults.append(f"submit {number} was never accepted")


async def submit_all(ports, day: Day, options: argparse.Namespace) -> None:
    """Spread the submits over half of the day."""
    dice = random.Random(options.seed)
    hours = dice.choices([each for each, _ in PATIENCE], [weight for _, weight in PATIENCE], k=options.jobs)
    scale, numbers = 24 * HOUR_S / options.day, iter(range(options.jobs))
    pause_s = 40 * options.day / 2 / options.jobs
    async with httpx.AsyncClient(timeout=20, limits=httpx.Limits(max_connections=100)) as http:

        async def send() -> None:
            for number in numbers:
                begun = time.monotonic()
                await submit(http, ports, day, number, hours[number], scale)
                await asyncio.sleep(max(0.0, pause_s - (time.monotonic() - begun)))

        await asyncio.gather(*(send() for _ in range(40)))


async def make_trouble(port: int, options: argparse.Namespace) -> None:
    """Script the provider: stuck batches and refusals all day, and an outage in the middle of it."""
    url = f"http://127.0.0.1:{port}/sim/script"
    dice = random.Random(options.seed)
    async with httpx.AsyncClient(timeout=20) as http:
        begun = time.monotonic()
        away = (options.day * 0.3, options.day * 0.35)
        while (passed := time.monotonic() - begun) < options.day:
            rules = [
                {"match": {"path": "/batches"}, "behaviour": {"batch_end": "stuck"} if dice.random() < 1 / 3 else {}},
                {
                    "match": {"path": "/chat/completions"},
                    "behaviour": {"flex_status": 429} if dice.random() < 0.5 else {},
                },
            ]
            if away[0] <= passed <= away[1]:
                rules = [{"match": {"path": "*"}, "behaviour": {"status": 503}}]
            await http.delete(url)
            await http.post(url, json=rules)
            await asyncio.sleep(0.5)
        await http.delete(url)


async def until_ended(store: JobStore, day: Day, most_s: float) -> list[Job]:
    """Return the jobs when all have ended, or when the time is over."""
    deadline = time.monotonic() + most_s
    jobs: dict[str, Job] = {}
    while time.monotonic() < deadline:
        for job_id in day.patience.keys() - jobs.keys():
            with suppress(Exception):
                job = await store.get(job_id)
                if job is not None and job.state.terminal:
                    jobs[job_id] = job
        if len(jobs) == len(day.patience):
            break
        await asyncio.sleep(0.5)
    day.faults += [f"{job_id} never ended" for job_id in list(day.patience.keys() - jobs.keys())[:20]]
    return list(jobs.values())


async def entries(commands: MultiplexedClient) -> list[dict]:
    """The ledger's entries of jobs."""
    found = await commands.execute("XRANGE", "finops:ledger", "-", "+")
    return [entry for _, fields in found if (entry := orjson.loads(fields[1])).get("job")]


def description(job: Job, patience_s: float) -> str:
    """What became of a job that was not answered in time, in seconds after its submit."""
    lane = job.context.get("lane", {})
    times = {
        "patience": patience_s,
        "promoted": (lane.get("promote_ms", 0) or job.created_ms) / 1000 - job.created_ms / 1000,
        "started": (job.started_ms - job.created_ms) / 1000,
        "ended": (job.completed_ms - job.created_ms) / 1000,
    }
    line = ", ".join(f"{name} {seconds:.1f}" for name, seconds in times.items())
    return f"{job.id} {job.model} {lane.get('name')}: {line}; {job.attempts} runs, {job.meta.get('upstream_attempts')} calls"


async def figures(commands: MultiplexedClient, day: Day, jobs: list[Job]) -> dict[str, object]:
    log, failed = EventLog(commands), Counter()
    late = []
    for job in jobs:
        ends = [event.name for event in await log.read(job.id) if event.name in TERMINAL_EVENTS]
        if len(ends) != 1:
            day.faults.append(f"{job.id} has the endings {ends}")
        patience_s = day.patience[job.id]
        if job.state is not State.COMPLETED:
            error = job.error or {}
            failed[f"{job.status_code} {error.get('code') or error.get('type')}"] += 1
            print("  failed:", description(job, patience_s))
        if patience_s and (job.completed_ms - job.created_ms) / 1000 > patience_s:
            late.append(round((job.completed_ms - job.created_ms) / 1000 - patience_s, 1))
            if job.deadline_ms and job.state is State.COMPLETED:
                day.faults.append(f"{job.id} was answered after its deadline")
            print("  late:", description(job, patience_s))
    await asyncio.sleep(2)  # entries of late answers
    booked = await entries(commands)
    outcomes = Counter(entry["job"] for entry in booked if entry.get("code") != "late_duplicate")
    day.faults += [f"{job_id} was booked {n} times" for job_id, n in outcomes.items() if n != 1][:20]
    day.faults += [f"{job.id} was not booked" for job in jobs if job.id not in outcomes][:20]
    listed = sum(entry.get("list", 0) for entry in booked if entry.get("code") != "late_duplicate")
    cost = sum(entry.get("cost", 0) for entry in booked)
    waits = sum(1 for patience_s in day.patience.values() if patience_s)
    return {
        "chosen": Counter(day.lanes.values()),
        "answered": Counter(job.meta.get("lane", "?") for job in jobs),
        "late": sorted(late, reverse=True),
        "failed": failed,
        "on_time": 1 - (len(late) + sum(failed.values())) / max(waits, 1),
        "part": cost / max(listed, 1),
        "discarded": len(booked) - len(outcomes),
    }


async def run(options: argparse.Namespace, directory: Path) -> tuple[Day, dict[str, object], Counter, float]:
    day = Day()
    async with EmbeddedStore(directory / "data") as store:
        processes = Processes(directory, store.url, 9, apis=2, workers=2, lease_s=LEASE_S, config=PATIENT_CONFIG)
        monkey = Monkey(processes, store, random.Random(options.seed), lease_s=LEASE_S)
        commands = MultiplexedClient(store.url)
        try:
            await asyncio.to_thread(processes.until_up)
            begun = time.monotonic()
            kills = asyncio.create_task(monkey.run((2, 5), (25, 40))) if options.kills else None
            trouble = asyncio.create_task(make_trouble(processes.simulator_port, options)) if options.trouble else None
            await submit_all(itertools.cycle(processes.api_ports), day, options)
            jobs = await until_ended(JobStore(commands), day, options.day + 90)
            for task in (kills, trouble):
                if task is not None:
                    task.cancel()
                    await asyncio.wait([task])
            found = await figures(commands, day, jobs)
        finally:
            await commands.aclose()
            await asyncio.to_thread(processes.end)
    return day, found, monkey.done, time.monotonic() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--day", type=float, default=120.0, help="real seconds of a day")
    parser.add_argument("--kills", action="store_true", help="kill workers, APIs and the store meanwhile")
    parser.add_argument("--trouble", action="store_true", help="let the provider misbehave")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="make the tables the current ones in RESULTS.md")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="finops-patience-"))
    machine.many_files()
    day, found, killed, took_s = asyncio.run(run(options, directory))
    rows = [
        ["jobs, in seconds", f"{len(day.patience):,}, {took_s:.0f}"],
        ["lanes chosen", ", ".join(f"{n:,} {lane}" for lane, n in found["chosen"].most_common())],
        ["lanes that answered", ", ".join(f"{n:,} {lane}" for lane, n in found["answered"].most_common())],
        ["killed", ", ".join(f"{n} {what}" for what, n in sorted(killed.items())) or "nothing"],
        ["late answers, discarded and booked", str(found["discarded"])],
        ["failed, with an error", ", ".join(f"{n} {code}" for code, n in found["failed"].items()) or "none"],
        ["answered after their patience, by seconds", ", ".join(f"{late_s:g}" for late_s in found["late"]) or "none"],
        ["**on time**", f"**{found['on_time']:.2%}**"],
        ["**cost, of everything now**", f"**{found['part']:.1%}**"],
        ["**lost, doubled, or otherwise wrong**", f"**{len(day.faults)}**"],
    ]
    kind = f"{'kills' if options.kills else 'no kills'}, {'trouble' if options.trouble else 'no trouble'}"
    report = Report("Patience", [machine.shape(), f"a day of {options.day:g} s, {kind}; seed {options.seed}"])
    also = [name for name, is_on in (("kills", options.kills), ("trouble", options.trouble)) if is_on]
    subject = "A compressed day of jobs that can wait" + (f", with {' and '.join(also)}" if also else "")
    report.section(subject, table(["", ""], rows))
    for fault in day.faults[:20]:
        print("  wrong:", fault)
    print("logs and data:", directory)
    if options.keep:
        report.keep()
    promised = found["on_time"] >= (0.995 if options.trouble else 1.0) and (options.trouble or found["part"] <= 0.6)
    return 0 if promised and not day.faults else 1


if __name__ == "__main__":
    sys.exit(main())
