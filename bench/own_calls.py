"""Our other calls: with a virtual key, translated to another wire, submitted as a job, and the poll of a finished job."""

import asyncio
import contextlib
import json

from bench import samples
from bench.gateways import Gateway, Running, running
from bench.load import Window, window
from bench.peers.ours import LIMITS
from bench.report import Report, number, ratio, table
from bench.store_server import StoreServer
from shared.jobs.model import Outcome, State
from shared.jobs.queue import JobQueue
from shared.jobs.store import Finish, JobStore
from shared.store.multiplexed import MultiplexedClient

ASYNC = "/v1/async/chat/completions"


def tell(
    report: Report, us: Gateway, store: StoreServer, upstream: int, seconds: float, core: set[int], other: set[int]
) -> None:
    """Each kind of call three times in turns; best and median windows."""
    with running(us, upstream, core) as here:
        asked = samples.request(us.model)
        finished = _finished_job(here, store)
        kinds = {
            "same wire, no key": (us.path, [], asked, "POST"),
            "with virtual key": (us.path, ["x-bf-vk: sk-bf-team-b"], asked, "POST"),
            "with virtual key, budget and rate limit": (us.path, ["x-bf-vk: sk-bf-team-a"], asked, "POST"),
            "translated to Anthropic": (us.path, [], samples.request("translated/claude-sonnet-4-5"), "POST"),
            "job submitted": (ASYNC, [], asked, "POST"),
            "finished job polled, /v1/async": (f"{ASYNC}/{finished}", [], "", "GET"),
            "finished job polled, by header": (us.path, [f"x-bf-async-id: {finished}"], "{}", "POST"),
        }
        found: dict[tuple[str, int], list[tuple[Window, float]]] = {}
        for path, headers, body, method in kinds.values():
            window(here.address + path, ["content-type: application/json", *headers], body, 8, 1, other, method=method)
        for _ in range(3):
            for name, (path, headers, body, method) in kinds.items():
                for connections in (8, 64):
                    lines = ["content-type: application/json", *headers]
                    reads = store.reads()
                    measured = window(here.address + path, lines, body, connections, seconds, other, here, method)
                    reads = (store.reads() - reads) / max(1, measured.requests)
                    found.setdefault((name, connections), []).append((measured, reads))
                if name == "job submitted":
                    _drop_jobs(store, keep=finished)
    rows = []
    base = min(w.cpu_us for w, _ in found["same wire, no key", 64])
    for name in kinds:
        cells = []
        for connections in (8, 64):
            many = sorted(found[name, connections], key=lambda it: it[0].cpu_us)
            cells.append(f"{number(many[0][0].cpu_us)}, {number(many[len(many) // 2][0].cpu_us)}")
        best = max(found[name, 64], key=lambda it: it[0].per_s)
        cells[1] += ratio(min(w.cpu_us for w, _ in found[name, 64]), base)
        failed = sum(w.failed for c in (8, 64) for w, _ in found[name, c])
        rows.append([name, *cells, number(best[0].per_s), number(min(r for _, r in found[name, 64])), str(failed)])
    head = [
        "finops' call", "CPU us, 8 connections: best, median", "64 connections", "calls/s, 64: best",
        "store reads per call", "failed",
    ]  # fmt: skip
    report.section("Our other calls", table(head, rows))


def _finished_job(here: Running, store: StoreServer) -> str:
    """The id of a job that has a result of 1 KB for ten minutes."""
    status, answer = here.ask(samples.request(here.gateway.model), path=ASYNC)
    if status != 202:
        raise RuntimeError(f"{status} {answer[:300]!r}")
    asyncio.run(_finish_all(store))
    return json.loads(answer)["id"]


async def _finish_all(store: StoreServer) -> None:
    async with contextlib.AsyncExitStack() as exits:
        commands = MultiplexedClient(store.url)
        exits.push_async_callback(commands.aclose)
        claims = (await JobQueue(commands, LIMITS).claim("bench", 250)).claims
        outcome = Outcome(state=State.COMPLETED, status_code=200, result=samples.ANSWER)
        await JobStore(commands).finish_many([Finish(claim, outcome) for claim in claims])


def _drop_jobs(store: StoreServer, *, keep: str) -> None:
    """What was submitted goes, so that the store does not grow; the polled job stays."""
    kept = {
        key: (store.client.dump(key), store.client.pttl(key)) for key in store.client.scan_iter(f"*{keep}*", 100_000)
    }
    store.client.flushall()
    for key, (value, ttl_ms) in kept.items():
        store.client.restore(key, max(0, ttl_ms), value)
