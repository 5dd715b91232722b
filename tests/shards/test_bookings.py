"""What jobs of another shard cost reaches limits and ledger once, in order, whoever dies on the way."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from shared.errors import BudgetExceeded, StoreUnavailable
from shared.governance.bookings.carrier import BookingCarrier, waiting_bookings
from shared.governance.bookings.loop import BUSY_S, IDLE_S, LOOK_S, BookingLoop
from shared.governance.keyspace import CARRIER, LEDGER
from shared.governance.limits.guard import LimitGuard
from shared.governance.limits.model import Limit
from shared.jobs import scripts as engine
from shared.jobs.model import Outcome, State
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobStore
from shared.store.commands import Argument, RedisCommands
from shared.store.embedded import EmbeddedStore
from shared.store.errors import StoreConnectionError
from shared.store.multiplexed import MultiplexedClient
from shared.store.scripts import load_scripts
from tests.jobs.conftest import claim_one, new_job
from tests.waiting import wait_until

LIMIT = 1_000
MOST = 300
BUDGET = (Limit("cost", "key:a", "1M", LIMIT),)


def ended(job_id: str, cost: int, state: State = State.COMPLETED) -> Outcome:
    status = 200 if state is State.COMPLETED else 502
    entry = {"key": "a", "job": job_id, "cost": cost, "status": status, "priced": True}
    error = None if state is State.COMPLETED else {"message": "no", "code": "upstream_error"}
    return Outcome(state=state, status_code=status, result=b"{}", error=error, ledger=orjson.dumps(entry))


class Dying:
    """A connection whose process dies before a command."""

    def __init__(self, commands: RedisCommands, verb: str) -> None:
        self._commands = commands
        self._verb = verb
        self.shard = commands.shard

    async def execute(self, *args: Argument, retry_safe: bool = False) -> Any:
        if args[0] == self._verb:
            raise StoreConnectionError("killed")
        return await self._commands.execute(*args, retry_safe=retry_safe)


class Shard:
    """The jobs of one caller in shard 1, and its budget in shard 0."""

    def __init__(self, money: RedisCommands, shard: RedisCommands) -> None:
        self.money, self.shard = money, shard
        self.guard = LimitGuard(money)
        self.queue, self.store = JobQueue(shard), JobStore(shard)
        self.carrier = BookingCarrier(shard, money, batch=3)
        self.estimates: dict[str, int] = {}

    async def submit(self, estimate: int) -> str | None:
        """Reserve, then submit; None: the budget is spent."""
        job_id = str(uuid.uuid4())
        try:
            await self.guard.admit(job_id, BUDGET, cost=estimate, tokens=0)
        except BudgetExceeded:
            return None
        await self.queue.submit(new_job(id=job_id, owner="a"), reserved=True)
        self.estimates[job_id] = estimate
        return job_id

    async def run(self, job_id: str, cost: int, state: State = State.COMPLETED) -> None:
        claim = await claim_one(self.queue)
        while claim.id != job_id:
            await self.queue.release([claim])
            claim = await claim_one(self.queue)
        assert await self.store.finish(claim, ended(job_id, cost, state))

    async def meter(self) -> tuple[int, int]:
        """Return what is used and what is held of the budget."""
        names = await self.money.execute("KEYS", "finops:meter:cost:key:a:*")
        meters = [await self.money.execute("HMGET", name, "u", "h") for name in names]
        return sum(int(used or 0) for used, _ in meters), sum(int(held or 0) for _, held in meters)

    async def ledger(self) -> list[tuple[str, int]]:
        """Return job and cost of each entry, in order."""
        rows = [orjson.loads(fields[1]) for _, fields in await self.money.execute("XRANGE", LEDGER, "-", "+")]
        return [(row["job"], row["cost"]) for row in rows]


@pytest.fixture
def shard(connections: Sequence[MultiplexedClient]) -> Shard:
    return Shard(connections[0], connections[1])


async def test_an_outcome_holds_its_reservation_until_it_is_carried(shard: Shard) -> None:
    job_id = await shard.submit(200)
    assert job_id
    await shard.run(job_id, 50)
    assert await shard.meter() == (0, 200)
    assert await shard.ledger() == []
    assert await waiting_bookings(shard.shard) == 2
    await shard.carrier.carry_all()
    assert await shard.meter() == (50, 0)
    assert await shard.ledger() == [(job_id, 50)]
    assert await waiting_bookings(shard.shard) == 0
    assert await shard.carrier.carry() == 0


async def test_who_dies_before_trimming_has_nothing_booked_twice(shard: Shard) -> None:
    ids = [await shard.submit(100) for _ in range(3)]
    for job_id in ids:
        await shard.run(str(job_id), 10)
    dying = BookingCarrier(Dying(shard.shard, "XTRIM"), shard.money, batch=4)  # type: ignore[arg-type] # what it uses
    with pytest.raises(StoreUnavailable):
        await dying.carry()  # it ends between the entries of one job
    with pytest.raises(StoreUnavailable):
        await dying.carry()
    await shard.carrier.carry_all()
    assert await shard.meter() == (30, 0)
    assert await shard.ledger() == [(str(job_id), 10) for job_id in ids]


async def test_several_who_carry_at_once_book_each_entry_once(shard: Shard) -> None:
    ids = [await shard.submit(50) for _ in range(8)]
    for job_id in ids:
        await shard.run(str(job_id), 5)
    others = [BookingCarrier(shard.shard, shard.money, batch=batch) for batch in (1, 2, 5, 100)]
    await asyncio.gather(*(other.carry_all() for other in others))
    await shard.carrier.carry_all()
    assert await shard.meter() == (40, 0)
    assert await shard.ledger() == [(str(job_id), 5) for job_id in ids]


async def test_a_failed_job_that_is_retried_is_reserved_and_booked_again(shard: Shard) -> None:
    job_id = str(await shard.submit(100))
    await shard.run(job_id, 20, State.FAILED)
    await shard.carrier.carry_all()  # as the submitter does before it reserves
    await shard.guard.admit(job_id, BUDGET, cost=100, tokens=0)
    await shard.store.retry(job_id)
    await shard.carrier.carry_all()
    assert await shard.meter() == (20, 100)
    await shard.run(job_id, 30)
    await shard.carrier.carry_all()
    assert await shard.meter() == (50, 0)


async def test_a_retry_without_a_reservation_counts_too(shard: Shard) -> None:
    job_id = str(await shard.submit(100))
    await shard.run(job_id, 20, State.FAILED)
    await shard.store.retry(job_id)
    await shard.run(job_id, 30)
    await shard.carrier.carry_all()
    assert await shard.meter() == (50, 0)


async def test_a_cancelled_job_gives_its_reservation_back(shard: Shard) -> None:
    job_id = str(await shard.submit(100))
    await shard.store.cancel(job_id)
    await shard.carrier.carry_all()
    assert await shard.meter() == (0, 0)


async def _play(url: str, steps: Sequence[tuple[str, int]]) -> None:
    with Redis.from_url(url) as redis:
        redis.flushall()
    money, other = MultiplexedClient(url), MultiplexedClient(url, shard=1)
    shard = Shard(money, other)
    spent = 0
    try:
        for step, number in steps:
            job_id = next(iter(shard.estimates), None)
            if step == "submit":
                await shard.submit(number)
            elif step == "carry":
                await shard.carrier.carry()
            elif step == "die":
                dying = BookingCarrier(Dying(other, "XTRIM"), money, batch=2)  # type: ignore[arg-type] # what it uses
                await asyncio.gather(dying.carry(), return_exceptions=True)
            elif job_id is not None:
                cost = min(number, shard.estimates.pop(job_id)) if step != "cancel" else 0
                if step == "cancel":
                    shard.estimates.pop(job_id, None)
                    await shard.store.cancel(job_id)
                else:
                    await shard.run(job_id, cost)
                spent += cost
            used, held = await shard.meter()
            assert used <= spent <= used + held, "what is spent is held until it is counted"
            assert used + held < LIMIT + MOST
        await shard.carrier.carry_all()
        assert await shard.meter() == (spent, sum(shard.estimates.values()))
        assert sum(cost for _, cost in await shard.ledger()) == spent
    finally:
        await shard.guard.aclose()
        await money.aclose()
        await other.aclose()


@settings(max_examples=20, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["submit", "submit", "run", "run", "carry", "die", "cancel"]), st.integers(0, MOST)),
        max_size=25,
    )
)
def test_no_budget_is_overspent_in_any_order_of_jobs_carrying_and_deaths(
    real_store: EmbeddedStore, steps: list[tuple[str, int]]
) -> None:
    asyncio.run(_play(real_store.url, steps))


@pytest.fixture
def long_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """No lease ends because the machine is slow."""
    monkeypatch.setattr("shared.governance.bookings.loop.LEASE_MS", 600_000)
    monkeypatch.setattr("shared.governance.bookings.loop.LED_S", 300.0)


@pytest.mark.usefixtures("long_leases")
async def test_one_process_leads_and_another_takes_over_when_it_ends(shard: Shard) -> None:
    now = 0.0
    first, second = (
        BookingLoop(shard.shard, BookingCarrier(shard.shard, shard.money), name, monotonic=lambda: now)
        for name in ("first", "second")
    )
    assert await first.turn() == IDLE_S
    assert await second.turn() == LOOK_S
    await shard.submit(10)
    assert await first.turn() == BUSY_S
    now = 400.0
    assert await first.turn() == IDLE_S  # renewed
    await shard.shard.execute("DEL", CARRIER)
    assert await second.turn() == IDLE_S


@pytest.mark.usefixtures("long_leases")
async def test_the_loop_carries_until_it_is_cancelled_and_gives_its_lease_up(shard: Shard) -> None:
    job_id = str(await shard.submit(10))
    await shard.run(job_id, 5)
    task = asyncio.create_task(BookingLoop(shard.shard, shard.carrier, "w").run())

    async def carried() -> bool:
        return await waiting_bookings(shard.shard) == 0

    await wait_until(carried)
    task.cancel()
    await asyncio.wait([task])
    assert await shard.shard.execute("EXISTS", CARRIER) == 0
    assert await shard.ledger() == [(job_id, 5)]


async def test_the_loop_waits_an_outage_out(
    shard: Shard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("shared.governance.bookings.loop.RETRY_S", 0.0)
    away = Dying(shard.shard, "SET")
    loop = BookingLoop(away, shard.carrier, "w")  # type: ignore[arg-type] # what it uses
    task = asyncio.create_task(loop.run())
    await wait_until(lambda: "are not carried" in caplog.text)
    away._verb = "none"

    async def leads() -> bool:
        return bool(await shard.shard.execute("EXISTS", CARRIER))

    await wait_until(leads)
    task.cancel()
    await asyncio.wait([task])


def test_the_engine_finds_in_a_shard_every_accounting_function_that_it_calls() -> None:
    functions = {
        name
        for library in engine.ACCOUNTING_LIBRARIES
        for script in load_scripts(library).values()
        for name in _defined(script.source)
    }
    there = {name for script in load_scripts(*engine.SHARD_LIBRARIES).values() for name in _defined(script.source)}
    called: set[str] = set()
    for name, script in load_scripts("shared.jobs.lua", *engine.SHARD_LIBRARIES).items():
        if name != "overview":  # read in shard 0 only
            called |= {each for each in functions if f"{each}(" in script.source}
    assert called - there == set()


def _defined(source: str) -> set[str]:
    return {
        line.split("(")[0].removeprefix("local function ") for line in source.splitlines() if "local function" in line
    }
