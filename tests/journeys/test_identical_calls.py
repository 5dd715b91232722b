"""1,000 identical calls at four API processes: one upstream call; two if the process that makes it is killed."""

import asyncio
from pathlib import Path

import httpx
import pytest

from shared.cache.store import cache_scripts
from simulator.serve import RunningSimulator, running
from tests.journeys.fleet import PATH, Fleet, fleet
from tests.waiting import wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

CACHE = """
[cache]
mode = "exact"
collapse = "all"
lookup_timeout_s = 30
"""
CALLS = 1_000
AT_ONCE = 60


async def test_identical_calls_at_four_processes_make_one_upstream_call(tmp_path: Path, redis_url: str) -> None:
    keys = {"caller": ""}
    async with (
        running() as sim,
        fleet(tmp_path, redis_url, sim.base_url, keys, count=4, workers=0, more=CACHE) as processes,
    ):
        answers = await asyncio.gather(*(call(processes, number, "How are you?") for number in range(CALLS)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert len(sim.requests) == 1

        await the_caller_is_killed(processes, sim)


async def the_caller_is_killed(processes: Fleet, sim: RunningSimulator) -> None:
    """The lock of a dead process ends by itself after 10 s; it is ended at once here."""
    sim.script(model="gpt-4o", times=1, hang=True)
    first = asyncio.create_task(call(processes, 0, "And now?"))
    await wait_until(lambda: len(sim.requests) == 2)
    lock = await wait_until(lambda: the_lock(processes), 60)
    token = await processes.store.execute("GET", lock)
    waiting = [asyncio.create_task(call(processes, 1 + number % 3, "And now?")) for number in range(AT_ONCE)]

    async def awaited() -> bool:
        return bool(await processes.store.execute("EXISTS", lock.replace(":l:", ":w:")))

    await wait_until(awaited, 60)
    processes.apis[0][0].kill()
    with pytest.raises(httpx.TransportError):
        await first
    await processes.store.script(cache_scripts()["lock"], (lock,), (token, 0))  # if it is still the dead one's
    answers = await asyncio.gather(*waiting)
    assert {answer.status_code for answer in answers} == {200}
    assert len(sim.requests) == 3  # of the two for this question one was the dead process's


async def the_lock(processes: Fleet) -> str:
    """The only lock there is; those of the calls before are released soon."""
    locks = await processes.store.execute("KEYS", "finops:cache:l:*")
    return str(locks[0].decode()) if len(locks) == 1 else ""


async def call(processes: Fleet, number: int, text: str) -> httpx.Response:
    client = processes.apis[number % len(processes.apis)][1]
    body = {"model": "sim/gpt-4o", "messages": [{"role": "user", "content": text}]}
    return await client.post(PATH, json=body, headers={"x-bf-vk": "caller"})
