"""Videos are settled when they are done: one that its provider fails costs nothing (contract 9)."""

from collections.abc import Mapping
from typing import Any

import httpx
import orjson
import pytest

from simulator.serve import RunningSimulator
from tests.api import provider_batch_work as work
from tests.api.conftest import KEY_A, Gateway, Start

PRICES = {"sim/videos": {"second": 0.1}, "sim/videos/*": {"request": 0.5}}
MINE = work.MINE


@pytest.fixture
async def gateway(start: Start) -> Gateway:
    key = {"value": KEY_A, "budget": {"limit_usd": 1}}
    return await start(prices=PRICES, virtual_keys={"a": key}, batches={"rescue": True})


async def create(gateway: Gateway, prompt: str = "a cat", path: str = "/v1/videos", **more: Any) -> httpx.Response:
    return await gateway.post(path, {"model": "sora-2", "prompt": prompt, "seconds": "8", **more}, headers=MINE)


async def booked(gateway: Gateway) -> list[Mapping[str, Any]]:
    billing = gateway.services.inference._billing
    assert billing
    await billing.ledger.flush()
    found = [
        orjson.loads(f[1]) for _, f in await gateway.services.commands.execute("XRANGE", "finops:ledger", "-", "+")
    ]
    return [entry for entry in found if entry["asked"] == "sim/videos"]


async def looks(gateway: Gateway, count: int) -> None:
    for _ in range(count):
        assert await work.look(gateway)


async def test_a_video_is_reserved_until_it_is_done_and_then_booked(gateway: Gateway) -> None:
    created = await create(gateway)
    assert created.status_code == 200, created.text
    assert await work.budget_of(gateway) == (0, 0.8)
    await looks(gateway, 1)
    assert await work.budget_of(gateway) == (0, 0.8), "it is in progress"
    assert (await create(gateway)).status_code == 200, "the last may exceed the budget by its own estimate"
    assert (await create(gateway)).status_code == 402
    await work.follow_to_the_end(gateway)
    assert await work.budget_of(gateway) == (1.6, 0)
    costs = [(entry["status"], entry.get("cost", 0), entry.get("model")) for entry in await booked(gateway)]
    assert sorted(costs, key=str) == sorted(
        [(200, 0, None), (200, 0, None), (402, 0, None), (200, 800_000, "sora-2"), (200, 800_000, "sora-2")], key=str
    )
    assert not await work.look(gateway), "nothing is followed any more"


@pytest.mark.parametrize("end", ["failed", "expired"])
async def test_what_a_failed_video_reserved_is_given_back(gateway: Gateway, end: str) -> None:
    assert (await create(gateway, f"a cat, end={end}")).status_code == 200
    assert await work.budget_of(gateway) == (0, 0.8)
    await work.follow_to_the_end(gateway)
    assert await work.budget_of(gateway) == (0, 0)
    last = (await booked(gateway))[-1]
    assert (last["status"], last["code"], last.get("cost", 0)) == (500, "video_generation_failed", 0)


async def test_a_turn_that_another_worker_has_overtaken_books_nothing(gateway: Gateway) -> None:
    await create(gateway)
    await looks(gateway, 1)
    followed = work.follower(gateway)
    commands = gateway.services.commands
    (key,) = await commands.execute("KEYS", "finops:provider-batch:*")
    turn = await _take(gateway)
    await commands.execute("HINCRBY", key, "turn", 1)  # another worker, after this one was thought dead
    with pytest.raises(Exception, match=turn.batch.id):
        await followed._step(turn)
    await work.follow_to_the_end(gateway)
    assert await work.budget_of(gateway) == (0.8, 0)


async def _take(gateway: Gateway) -> Any:
    commands = gateway.services.commands
    for each in await commands.execute("ZRANGE", "finops:provider-batches", 0, -1):
        await commands.execute("ZADD", "finops:provider-batches", 0, each)
    return await work.follower(gateway)._followed.take()


async def test_a_video_that_is_deleted_before_it_is_done_is_charged(gateway: Gateway) -> None:
    video = (await create(gateway)).json()["id"]
    assert (await gateway.http.delete(f"/v1/videos/{video}", headers=MINE)).status_code == 200
    await work.follow_to_the_end(gateway)
    assert await work.budget_of(gateway) == (0.8, 0)


async def test_a_refused_creation_reserves_nothing(gateway: Gateway) -> None:
    refused = await gateway.post("/v1/videos", {"model": "sora-2", "seconds": "8"}, headers=MINE)
    assert refused.status_code == 400
    await booked(gateway)
    assert await work.budget_of(gateway) == (0, 0)
    assert not await work.look(gateway)


async def test_without_a_budget_a_video_is_booked_when_it_is_done(start: Start, sim: RunningSimulator) -> None:
    gateway = await start(prices=PRICES)
    answer = await gateway.post("/v1/videos", {"prompt": "a cat"}, headers={"x-bf-provider": "sim"})
    assert answer.status_code == 200, answer.text
    await work.follow_to_the_end(gateway)
    assert [entry.get("cost", 0) for entry in await booked(gateway)] == [0, 400_000]
