"""Many processes, one store: not one call over a limit, not one outcome without its record, whoever dies."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from simulator.serve import running
from tests.journeys.fleet import BODY, ESTIMATE, PATH, TOKENS, Fleet, Hammer, fleet
from tests.waiting import wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

REQUESTS, MONEY, MANY_TOKENS, RUN = 60, 5_000, 1_500, 8_000
KEYS = {
    "counted": f'rate_limit = {{ requests = {REQUESTS}, tokens = 9_000_000, window = "rolling:1d" }}',
    "paid": f'budget = {{ limit_usd = {MONEY / 1e6}, window = "1M" }}\nrate_limit = {{ requests = 9_000 }}',
    "weighed": f'rate_limit = {{ tokens = {MANY_TOKENS}, window = "rolling:1d" }}\nbudget = {{ limit_usd = 9 }}',
    "survivor": 'rate_limit = { requests = 9_000, window = "1M" }\nbudget = { limit_usd = 9, window = "1M" }',
    "nobody": "rate_limit = { requests = 9_000 }",
}


async def test_eight_processes_keep_one_set_of_books(tmp_path: Path, redis_url: str) -> None:
    async with running() as sim, fleet(tmp_path, redis_url, sim.base_url, KEYS, count=4) as processes:
        hammer = Hammer(processes, ("counted", "paid", "weighed"))
        await hammer.strike(rounds=25, callers=32)
        await everything_is_booked(hammer)
        assert hammer.seen.passed("counted") == REQUESTS
        assert (await processes.meter("requests", "counted")) == (REQUESTS, 0)
        assert 0 < hammer.seen.passed("paid") < 100
        assert hammer.most["cost:paid"] < MONEY + ESTIMATE
        assert hammer.most["tokens:weighed"] < MANY_TOKENS + TOKENS
        await the_books_agree(processes, hammer.keys)

        await one_run_of_64_agents(processes)

        survivor = Hammer(processes, ("survivor",))
        await survivor.strike(rounds=40, callers=32, midway=processes.kill_one_of_each)
        await everything_is_booked(survivor, killed=0)
        await the_books_agree(processes, survivor.keys)


async def one_run_of_64_agents(processes: Fleet) -> None:
    """64 agents on four APIs spend one run's budget, and never pass it by more than one estimate."""
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, sum(await processes.run("key~3Anobody", "agents")))

    async def agent(number: int) -> None:
        client = processes.apis[number % len(processes.apis)][1]
        budget = {"x-bf-run-id": "agents", "x-bf-run-budget-usd": f"{RUN / 1e6:f}"}
        while True:
            answer = await client.post(PATH, json=BODY, headers={"x-bf-vk": "nobody", **budget})
            if answer.status_code != 200:
                assert answer.json()["error"]["code"] == "run_budget_exceeded", answer.text
                return

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(agent(number) for number in range(64)))

    async def settled() -> bool:
        return (await processes.run("key~3Anobody", "agents"))[1] == 0

    await wait_until(settled, 60)
    watching.cancel()
    await asyncio.wait([watching])
    assert 0 < most < RUN + ESTIMATE
    assert 0 < (await processes.run("key~3Anobody", "agents"))[0] < RUN + ESTIMATE


async def everything_is_booked(hammer: Hammer, killed: int | None = None) -> None:
    """Every outcome that a caller knows of has exactly one record, with its status; jobs too.

    What a killed API answered last it may not have booked any more; the jobs that it accepted are there all the same.
    """
    seen, processes = hammer.seen, hammer.fleet
    known = {name for name, status in seen.statuses.items() if status and seen.apis[name] != killed}
    known |= set(seen.jobs.values())

    async def all_booked() -> bool:
        return known <= {entry["request_id"] for entry in await processes.ledger()}

    await wait_until(all_booked, 60)
    booked = Counter(entry["request_id"] for entry in await processes.ledger())
    assert {name: count for name, count in booked.items() if count != 1} == {}
    for entry in await processes.ledger():
        status = seen.statuses.get(entry["request_id"], 0)
        if status == 499:
            assert entry["status"] in {200, 499}  # it may have been over when its caller left
        elif status:
            assert entry["status"] == status, entry
    jobs = {entry["job"]: entry["request_id"] for entry in await processes.ledger() if "job" in entry}
    assert seen.jobs.items() <= jobs.items()


async def the_books_agree(processes: Fleet, keys: tuple[str, ...]) -> None:
    """Nothing is held any more, and ledger, meters and roll-ups have the same sums."""

    async def nothing_held() -> bool:
        # Whoever is admitted sweeps up after the dead.
        passed = await processes.apis[1][1].post(PATH, json=BODY, headers={"x-bf-vk": "nobody"})
        assert passed.status_code == 200
        return await processes.store.execute("ZCARD", "finops:holds") == 0

    await wait_until(nothing_held, 60)
    ledger: Counter[str] = Counter()
    for entry in await processes.ledger():
        ledger[entry.get("key", "")] += entry.get("cost", 0)
    hours, days = await processes.rollups("h"), await processes.rollups("d")
    for key in keys:
        assert ledger[key] == hours[key] == days[key]
        if key != "counted":
            assert await processes.meter("cost", key) == (ledger[key], 0)
        assert (await processes.meter("tokens", key))[1] == 0
