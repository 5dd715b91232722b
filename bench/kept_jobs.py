"""A store with 100,000 kept jobs, and what the first page of a list of them costs."""

import asyncio
import random
import statistics
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import httpx

from bench.peers.ours import LIMITS
from bench.store_server import StoreServer
from shared.jobs.model import NewJob, Outcome, Priority, State
from shared.jobs.queue import JobQueue
from shared.jobs.store import Finish, JobStore
from shared.store.multiplexed import MultiplexedClient

KEYS = 20
"""Callers; with 100,000 jobs each of their lists is half full."""
ANSWER = b'{"id":"chatcmpl-1","object":"chat.completion","choices":[]}'
Params = Mapping[str, str | Sequence[str]]


def fill(store: StoreServer, count: int) -> None:
    """Submit jobs of twenty callers, and end all but 1,000 of them."""
    asyncio.run(_fill(store, count))


async def _fill(store: StoreServer, count: int) -> None:
    commands = MultiplexedClient(store.url, timeout_s=60)
    queue, jobs, dice = JobQueue(commands, LIMITS), JobStore(commands), random.Random(7)
    numbers = iter(range(count))

    async def send() -> None:
        for number in numbers:
            await queue.submit(_job(number, dice))

    await asyncio.gather(*(send() for _ in range(64)))
    left = count - min(1_000, count // 10)
    while left > 0:
        claims = (await queue.claim("bench", min(250, left))).claims
        await jobs.finish_many([Finish(claim, _outcome(dice)) for claim in claims])
        left -= len(claims)
    await commands.aclose()


def _job(number: int, dice: random.Random) -> NewJob:
    """Half the jobs are of one model and the other half have a label: the two never meet."""
    rare = number % 10_000 == 5_000
    half = number % 2 == 0
    labels = [("step", f"s{number % 7}"), ("app", "rare" if rare else f"a{number % 10}")]
    if not half:
        labels.append(("half", "odd"))
    key = f"k{number % KEYS}"
    return NewJob(
        id=str(uuid.UUID(int=dice.getrandbits(128), version=4)),
        owner=key,
        request_type="embeddings" if rare else "chat.completions",
        model="noop/rare" if rare else "noop/even" if half else "noop/odd",
        payload=b"{}",
        priority=Priority.HIGH if number % 50 == 0 else Priority.NORMAL,
        labels=tuple(labels),
        context={"who": {"type": "chat.completions", "key": key, "team": f"t{number % 5}", "customer": "acme"}},
        max_queued=1_000_000,
    )


def _outcome(dice: random.Random) -> Outcome:
    meta = {"provider": "noop", "cost_micro_usd": dice.randrange(1_000, 50_000)}
    if dice.random() < 0.1:
        error = {"message": "No answer.", "type": "upstream_error", "code": dice.choice(["upstream_error", "timeout"])}
        return Outcome(state=State.FAILED, status_code=502, error=error, meta=meta)
    return Outcome(state=State.COMPLETED, status_code=200, result=ANSWER, meta=meta)


def filters() -> Iterator[tuple[str, Params]]:
    """Filters by name: one that many jobs match, one that few match, one that none matches, and worse ones."""
    yield "none", {}
    for name, values in {
        "status": ("completed", "failed", "cancelled", "processing"),
        "type": ("chat.completions", "embeddings", "moderations"),
        "model": ("noop/even", "noop/rare", "noop/none"),
        "provider": ("noop", "nobody"),
        "code": ("timeout", "nonsense"),
        "priority": ("normal", "high", "low"),
        "label": ("app:a1", "app:rare", "app:none"),
        "key": ("k1", "nobody"),
        "team": ("t1", "nobody"),
        "customer": ("acme", "nobody"),
        "min_cost_usd": ("0.01", "0.0499", "0.99"),
        "max_cost_usd": ("0.01", "0.001", "0.0001"),
        "created_after": ("2026-01-01T00:00:00Z", "2100-01-01T00:00:00Z"),
        "created_before": ("2100-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
    }.items():
        for value in values:
            yield f"{name}={value}", {name: value}
    yield "half of them by model, the other half by label", {"model": "noop/even", "label": "half:odd"}
    yield "completed, of a code", {"status": "completed", "code": "timeout"}
    yield "two labels that never meet", {"label": ["half:odd", "app:a2"]}
    yield "failed of a customer, of no known code", {"status": "failed", "customer": "acme", "code": "nonsense"}
    yield "of a key and the other half's label", {"key": "k2", "label": "half:odd"}
    yield "a narrow range of costs of one model", {
        "model": "noop/even", "min_cost_usd": "0.0250001", "max_cost_usd": "0.0250004",
    }  # fmt: skip
    yield "processing of a provider", {"status": "processing", "provider": "nobody"}


@dataclass(frozen=True, slots=True)
class PageCost:
    """Of a first page: ms until the caller has it, the longest piece of the store's work in ms, and rows."""

    caller_ms: float
    piece_ms: float
    rows: int


class Pages:
    """Asks an API for first pages, and the store for what they took."""

    def __init__(self, store: StoreServer, url: str, key: str) -> None:
        self._store = store
        self._http = httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, trust_env=False)

    def cost(self, path: str, params: Params, times: int) -> PageCost:
        """Return the medians of some requests."""
        found = [self._once(path, params) for _ in range(times + 1)][1:]
        return PageCost(
            statistics.median(cost.caller_ms for cost in found),
            statistics.median(cost.piece_ms for cost in found),
            found[0].rows,
        )

    def _once(self, path: str, params: Params) -> PageCost:
        client = self._store.client
        client.config_set("slowlog-log-slower-than", 100)  # less would log the commands inside scripts, too
        client.config_set("slowlog-max-len", 2_000)
        client.slowlog_reset()
        begun = time.perf_counter()
        reply = self._http.get(path, params=params)
        took_ms = (time.perf_counter() - begun) * 1000
        entries = client.slowlog_get(2_000)
        client.config_set("slowlog-log-slower-than", -1)
        reply.raise_for_status()
        own = [each["duration"] / 1000 for each in entries if not each["command"].startswith((b"SLOWLOG", b"CONFIG"))]
        return PageCost(took_ms, max(own, default=0.1), len(reply.json()["data"]))
