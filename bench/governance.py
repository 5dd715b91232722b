"""What governance costs: admissions and the ledger on a real store, and the CPU that the books add to a call.

    python bench/governance.py [--quick] [--keep] [--nice N] [--server redis-server]

Everything runs in this process but the store, and the gateway of the whole calls. CPU is the scheduler's clock; wall
clock suffers from everything else on the machine.
"""

import argparse
import asyncio
import gc
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson

from api.usage.downloads import pieces, renderer
from bench import machine
from bench.limited_calls import HEAD, limited_calls
from bench.report import Report, number, table
from bench.store_server import StoreServer
from shared.governance.keys.caller import ANONYMOUS, Caller
from shared.governance.ledger.call_log import CallLog
from shared.governance.ledger.reports import Reports, UsageQuery
from shared.governance.ledger.writer import CallOutcome, Ledger, entry_of
from shared.governance.limits.guard import governance_scripts
from shared.governance.limits.model import Limit
from shared.governance.limits.runs import Run
from shared.governance.pricing.prices import Cost, PriceBook
from shared.governance.pricing.usage import Usage
from shared.inference.assembly import price_sources
from shared.inference.billing import Billing
from shared.inference.call import Call, Target
from shared.inference.call_cost import CallCost
from shared.providers.registry import configured_providers
from shared.settings.model import Settings
from shared.store.multiplexed import MultiplexedClient
from shared.surfaces.request_types import CHAT

FIELDS = {
    "model": "openai/gpt-4o",
    "messages": [{"role": "user", "content": "Write a long report." * 20}],
    "max_tokens": 500,
}
SAID = {"prompt_tokens": 120, "completion_tokens": 480, "prompt_tokens_details": {"cached_tokens": 64}}
MUCH = 10**15
UNLIMITED = Caller(key_id="vk_free", name="free", team="search")
LIMITED = Caller(
    key_id="vk_limited",
    name="limited",
    team="search",
    limits=(
        Limit("cost", "key:vk_limited", "1d", MUCH),
        Limit("requests", "key:vk_limited", "1m", MUCH),
        Limit("tokens", "key:vk_limited", "1m", MUCH),
        Limit("cost", "team:search", "1M", MUCH),
    ),
)


@dataclass
class Figures:
    """Of one operation."""

    per_s: float
    own_us: float
    store_us: float
    trips: float


async def measured(store: StoreServer, count: int, work: Callable[[], Awaitable[None]]) -> Figures:
    """Cost of one of ``count`` operations that ``work`` does."""
    gc.collect()
    before = store.client.info("stats")["total_reads_processed"]
    store_s, own_s, began = machine.cpu_s(store.process.pid), time.process_time(), time.perf_counter()
    await work()
    took_s = time.perf_counter() - began
    own_s, store_s = time.process_time() - own_s, machine.cpu_s(store.process.pid) - store_s
    trips = store.client.info("stats")["total_reads_processed"] - before - 1
    return Figures(count / took_s, own_s / count * 1e6, store_s / count * 1e6, trips / count)


def call_of(caller: Caller, run: Run | None = None) -> Call:
    body = orjson.dumps(FIELDS)
    return Call(
        request_type=CHAT,
        model="openai/gpt-4o",
        body=body,
        fields=FIELDS,
        caller=caller,
        request_id="req_bench",
        run=run,
    )


async def whole_calls(store: StoreServer, caller: Caller, count: int, at_once: int, run: Run | None = None) -> Figures:
    """Admit, price, book: everything that the inference path does for the books, around calls that take no time."""
    commands = MultiplexedClient(store.url, timeout_s=60)
    settings = Settings.model_validate({"providers": {"openai": {"keys": [{"value": "sk-bench"}]}}})
    billing = Billing(settings, commands, price_sources=price_sources(settings))
    target = Target(configured_providers(settings, {})["openai"], "gpt-4o")

    async def some(number_of: int) -> None:
        for _ in range(number_of):
            call_cost = CallCost(billing, call_of(caller, run))
            await call_cost.open((target,))
            call_cost.sent("openai", "gpt-4o", "main")
            call_cost.answered(SAID, 200, b"{}")
            call_cost.headers()
            if not call_cost.reservation.reservation:
                await asyncio.sleep(0)

    async def all_of_them() -> None:
        await asyncio.gather(*(some(count // at_once) for _ in range(at_once)))
        await billing.ledger.flush()

    await some(20)
    await billing.ledger.flush()
    cost = await measured(store, count, all_of_them)
    await billing.aclose()
    await commands.aclose()
    return cost


async def plain_commands(store: StoreServer, command: Sequence[str], count: int, at_once: int) -> Figures:
    """The same number of round trips of a command that does next to nothing: what the machine itself takes."""
    commands = MultiplexedClient(store.url, timeout_s=60)

    async def some(number_of: int) -> None:
        for _ in range(number_of):
            await commands.execute(*command)

    async def all_of_them() -> None:
        await asyncio.gather(*(some(count // at_once) for _ in range(at_once)))

    await some(20)
    cost = await measured(store, count, all_of_them)
    await commands.aclose()
    return cost


def entry(number_of: int) -> bytes:
    caller = Caller(key_id=f"vk_{number_of % 50}", name=f"key {number_of % 50}", team=f"team-{number_of % 7}")
    return entry_of(
        CallOutcome(
            caller=caller, request_type="chat.completions", surface="openai", asked="openai/gpt-4o", provider="openai",
            provider_key="main", model=("gpt-4o", "gpt-4.1", "o3")[number_of % 3], usage=Usage(120, 480, 64),
            cost=Cost(5_100, list_micro_usd=5_100), latency_ms=850, attempts=1, request_id=uuid.uuid4().hex,
        )
    )  # fmt: skip


async def writes(store: StoreServer, count: int) -> Figures:
    """Entries booked as fast as the store takes them."""
    commands = MultiplexedClient(store.url, timeout_s=60)
    ledger = Ledger(commands)
    entries = [entry(at) for at in range(count)]

    async def book() -> None:
        for start in range(0, count, 10_000):
            for one in entries[start : start + 10_000]:
                ledger.book(one)
            await ledger.flush()

    cost = await measured(store, count, book)
    await ledger.aclose()
    await commands.aclose()
    return cost


async def exports(store: StoreServer, calls: int) -> list[list[str]]:
    """A row for each kind of file of all calls, and one for their sums; with how long others wait for their turn."""
    commands = MultiplexedClient(store.url, timeout_s=60)
    now = datetime.now(UTC)
    start, end = now - timedelta(hours=2), now + timedelta(hours=1)
    rows = []
    for kind in ("jsonl", "csv", "focus"):
        sizes: list[int] = []

        async def export(kind: str = kind, sizes: list[int] = sizes) -> None:
            async for piece in pieces(CallLog(commands).batches(start, end), renderer(kind, ("id", "model", "cost"))):
                sizes.append(len(piece))

        took_s, own_s, waits = await beside_others(export)
        rows.append(
            [
                f"{calls:,} calls as {kind}",
                number(took_s),
                number(own_s),
                f"{sum(sizes) / 2**20:.0f}",
                f"{max(sizes) / 1024:.0f}",
                waits,
            ]
        )

    async def summary() -> None:
        await Reports(commands).summary(UsageQuery(start=start, end=end, group_by=("team", "model")))

    took_s, own_s, waits = await beside_others(summary)
    rows.append(["their sums by team and model", number(took_s), number(own_s), "", "", waits])
    await commands.aclose()
    return rows


async def beside_others(work: Callable[[], Awaitable[None]]) -> tuple[float, float, str]:
    """Seconds, CPU seconds, and how long another task waited for its turns: 99th percentile and longest, ms."""
    waits: list[float] = []

    async def other() -> None:
        while True:
            began = time.process_time()
            await asyncio.sleep(0.001)
            waits.append((time.process_time() - began) * 1000)

    waiting = asyncio.create_task(other())
    began, own_s = time.perf_counter(), time.process_time()
    await work()
    took_s, own_s = time.perf_counter() - began, time.process_time() - own_s
    waiting.cancel()
    await asyncio.wait([waiting])
    waits.sort()
    return took_s, own_s, f"{number(waits[int(len(waits) * 0.99)])} / {number(waits[-1])}" if waits else "-"


def comparisons(store: StoreServer, calls: int) -> list[list[str]]:
    """Rows of plain commands: a machine is twice as slow in one hour as in another, and these with it."""
    nothing = str(store.client.script_load("return 1"))
    commands = {
        "a script that returns 1": ("EVALSHA", nothing, "0"),
        "HINCRBY": ("HINCRBY", "finops:bench", "n", "1"),
    }
    rows = []
    for name, command in commands.items():
        for at_once in (1, 64):
            cost = asyncio.run(plain_commands(store, command, calls // 10 if at_once == 1 else calls, at_once))
            rows.append(row(f"for comparison: {name}, {at_once} at once", cost))
    return rows


def row(name: str, cost: Figures) -> list[str]:
    return [name, f"{cost.per_s:,.0f}", number(cost.own_us), number(cost.store_us), number(cost.trips)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="does it work at all")
    options.add_argument("--keep", action="store_true", help="make the tables the current ones in RESULTS.md")
    options.add_argument("--nice", type=int, default=0)
    options.add_argument("--server", default="redis-server")
    arguments = options.parse_args()
    if arguments.nice:
        machine.be_nice(arguments.nice)
    calls, entries = (200, 2_000) if arguments.quick else (20_000, 100_000)
    governance_scripts()
    PriceBook.warm()
    store = StoreServer(arguments.server, append_only=True)
    context = [
        machine.shape(),
        f"{store.version} on loopback, append-only file synced every second",
        f"load average at start {machine.load():.1f}; nice {arguments.nice}; {calls:,} calls, {entries:,} entries",
    ]
    report = Report("Governance", context)
    head = ("", "a second", "own CPU us", "store CPU us", "reads of sockets")
    rows = []
    for name, caller, run in (
        ("no key", ANONYMOUS, None),
        ("a key without limits", UNLIMITED, None),
        ("a key with four limits", LIMITED, None),
        ("four limits and a run's budget", LIMITED, Run("agent-7", MUCH)),
    ):
        for at_once in (1, 64):
            cost = asyncio.run(whole_calls(store, caller, calls // 10 if at_once == 1 else calls, at_once, run))
            rows.append(row(f"{name}, {at_once} at once", cost))
    rows += comparisons(store, calls)
    report.section("A call's admission, price and entry, around nothing", table(head, rows))
    store.empty()
    whole = limited_calls(store, 1 if arguments.quick else 5, 1 if arguments.quick else 5)
    report.section("Whole calls over sockets, an upstream of 50 ms", table(HEAD, whole))
    store.empty()
    cost = asyncio.run(writes(store, entries))
    report.section("The ledger alone", table(head, [row("entries booked", cost)]))
    head = ("", "seconds", "CPU s", "MiB", "largest piece KiB", "another task's turns: p99 / longest, CPU ms")
    report.section("Reading the books", table(head, asyncio.run(exports(store, entries))))
    store.close()
    if arguments.keep:
        report.keep()


if __name__ == "__main__":
    main()
