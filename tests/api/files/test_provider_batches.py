"""Batches that a provider runs are reserved before they are sent, and booked line by line (contract 9 and 15)."""

from typing import Any

import pytest

from shared.governance.ledger.followed_batches import BatchTurn, BatchTurnLost, FollowedBatch, FollowedBatches
from simulator.serve import RunningSimulator
from tests.api.conftest import KEY_A, Gateway, Start
from tests.api.provider_batch_work import (
    MINE,
    PRICES,
    budget_of,
    create,
    entries,
    follow_to_the_end,
    follower,
    gateway_with,
    line,
    look,
    upload,
)
from worker import provider_batches


def created_at(sim: RunningSimulator) -> int:
    return sum(entry.path == "/v1/batches" and entry.method == "POST" for entry in sim.log.entries)


async def test_a_batch_is_reserved_at_its_creation_and_booked_line_by_line(start: Start, sim: RunningSimulator) -> None:
    gateway = await gateway_with(start)
    file_id = await upload(gateway, line("a"), line("b"), line("c", "gpt@status=500"))
    answer = await create(gateway, file_id, {**MINE, "x-bf-dim-app": "nightly", "x-bf-run-id": "night"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["object"] == "batch"
    used, reserved = await budget_of(gateway)
    assert used == 0
    assert reserved >= 3 * 100 * 1000 / 2 / 1e6, "100 tokens of output a line, at half price"
    await follow_to_the_end(gateway)
    booked = await entries(gateway)
    assert sorted(entry["status"] for entry in booked) == [200, 200, 500]
    fine = [entry for entry in booked if entry["status"] == 200]
    assert all(entry["cost"] == (entry["input"] + entry["output"]) * 500 for entry in fine), (
        "half of 1000 USD a million"
    )
    assert {(entry["dims"]["app"], entry["run"]) for entry in booked} == {("nightly", "night")}
    assert all(entry["saved_batch"] == entry["cost"] == entry["list"] / 2 for entry in fine)
    used, reserved = await budget_of(gateway)
    assert (used, reserved) == (sum(entry["cost"] for entry in fine) / 1e6, 0)
    run = (await gateway.http.get("/v1/runs/night", headers=MINE)).json()
    assert (run["spent_usd"], run["reserved_usd"]) == (used, 0)
    assert not await look(gateway)
    assert await gateway.services.commands.execute("KEYS", "finops:provider-batch*") == []


async def test_what_does_not_fit_is_refused_and_not_sent(start: Start, sim: RunningSimulator) -> None:
    gateway = await gateway_with(start, limit_usd=0.1)
    refused = await create(gateway, await upload(gateway, line("a"), line("b")))
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (402, "budget_exceeded")
    assert "The batch may cost $0.1" in error["message"]
    assert created_at(sim) == 0
    assert await budget_of(gateway) == (0, 0)
    assert not await look(gateway)
    assert (await create(gateway, await upload(gateway, line("a")))).status_code == 200


@pytest.mark.parametrize(
    ("lines", "status", "code"),
    [
        ([line("a"), line("b", "mystery")], 402, "price_unknown"),
        ([line("a"), "{no json"], 400, None),
        ([line("a", model=7)], 400, None),
        ([{"custom_id": "a"}], 400, None),
        (["[]"], 400, None),
    ],
)
async def test_a_file_whose_cost_is_not_known_is_refused(
    start: Start, sim: RunningSimulator, lines: list[Any], status: int, code: str | None
) -> None:
    gateway = await gateway_with(start)
    refused = await create(gateway, await upload(gateway, *lines))
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    assert created_at(sim) == 0
    assert await budget_of(gateway) == (0, 0)


async def test_a_file_or_an_endpoint_that_cannot_be_estimated_is_refused(start: Start, sim: RunningSimulator) -> None:
    gateway = await gateway_with(start)
    assert (await create(gateway, "file-nobody")).status_code == 404
    refused = await create(gateway, await upload(gateway, line("a")), endpoint="/v1/videos")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "endpoint")
    assert created_at(sim) == 0


async def test_a_creation_that_the_provider_refuses_gives_its_reservation_back(start: Start) -> None:
    gateway = await gateway_with(start)
    refused = await create(gateway, await upload(gateway, line("a")), completion_window="1h")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "completion_window")
    await entries(gateway)
    assert await budget_of(gateway) == (0, 0)
    assert not await look(gateway)


async def test_a_cancelled_batch_gives_its_reservation_back(start: Start) -> None:
    gateway = await gateway_with(start)
    batch_id = (await create(gateway, await upload(gateway, line("a")))).json()["id"]
    assert (await gateway.post(f"/v1/batches/{batch_id}/cancel", headers=MINE)).status_code == 200
    await follow_to_the_end(gateway)
    assert await budget_of(gateway) == (0, 0)
    assert await entries(gateway) == []


async def test_a_worker_that_lost_its_turn_books_nothing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.inference.provider_batches.LINES_AT_ONCE", 2)
    gateway = await gateway_with(start)
    await create(gateway, await upload(gateway, *(line(str(number)) for number in range(5))))
    loop = follower(gateway)
    stale = await due(gateway, FollowedBatches(gateway.services.commands))
    await follow_to_the_end(gateway)
    assert len(await entries(gateway)) == 5
    with pytest.raises(BatchTurnLost):
        await loop._step(stale)
    assert len(await entries(gateway)) == 5


async def test_booking_goes_on_where_a_killed_worker_stopped(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.inference.provider_batches.LINES_AT_ONCE", 2)
    gateway = await gateway_with(start)
    bad = [line(f"bad {number}", "gpt@status=500") for number in range(3)]
    await create(gateway, await upload(gateway, *(line(str(number)) for number in range(3)), *bad))
    commands = gateway.services.commands
    followed, loop = FollowedBatches(commands), follower(gateway)
    while not (await loop._batches.look((await due(gateway, followed)).batch)).get("output_file_id"):
        pass
    turn = await due(gateway, followed)
    found = await loop._batches.look(turn.batch)
    owner = await gateway.services.governance.owner("a")
    async for count, lines in loop._batches.booked_lines(turn.batch, found["output_file_id"], owner, 0):
        await followed.book(turn.batch, count, booked=lines, before=0, then=1)
        break
    await follow_to_the_end(gateway)
    booked = await entries(gateway)
    assert sorted(entry["status"] for entry in booked) == [200] * 3 + [500] * 3
    assert len({entry["request_id"] for entry in booked}) == 6
    assert (await budget_of(gateway))[0] == sum(entry.get("cost", 0) for entry in booked) / 1e6


async def due(gateway: Gateway, followed: FollowedBatches) -> BatchTurn:
    (batch_id,) = await gateway.services.commands.execute("ZRANGE", "finops:provider-batches", 0, -1)
    await gateway.services.commands.execute("ZADD", "finops:provider-batches", 0, batch_id)
    turn = await followed.take()
    assert turn
    return turn


async def test_results_that_are_gone_are_charged_what_was_reserved(start: Start) -> None:
    gateway = await gateway_with(start)
    batch_id = (await create(gateway, await upload(gateway, line("a")))).json()["id"]
    _, reserved = await budget_of(gateway)
    while not (found := (await gateway.http.get(f"/v1/batches/{batch_id}", headers=MINE)).json())["output_file_id"]:
        pass
    assert (await gateway.http.delete(f"/v1/files/{found['output_file_id']}", headers=MINE)).status_code == 200
    await follow_to_the_end(gateway)
    assert await budget_of(gateway) == (reserved, 0)


async def test_a_creation_that_was_cut_off_stays_reserved_for_as_long_as_it_could_run(start: Start) -> None:
    gateway = await gateway_with(start)
    commands = gateway.services.commands
    await FollowedBatches(commands).add(FollowedBatch(id="b1", provider="sim", owner="a"), look_ms=0)
    assert await look(gateway)
    assert await commands.execute("EXISTS", "finops:provider-batch:b1") == 1
    day_ago = (
        int(await commands.execute("HGET", "finops:provider-batch:b1", "created_ms")) - provider_batches.UNCONFIRMED_MS
    )
    await commands.execute("HSET", "finops:provider-batch:b1", "created_ms", day_ago)
    assert await look(gateway)
    assert not await look(gateway)


async def test_a_provider_that_does_not_answer_is_asked_again(start: Start, sim: RunningSimulator) -> None:
    gateway = await gateway_with(start)
    batch = FollowedBatch(id="b1", provider="gone", owner="a")
    await FollowedBatches(gateway.services.commands).add(batch, look_ms=0)
    await FollowedBatches(gateway.services.commands).confirm(batch, "batch_1")
    assert await look(gateway)
    assert await gateway.services.commands.execute("EXISTS", "finops:provider-batch:b1") == 1


async def test_without_limits_the_file_is_not_read_and_the_lines_are_booked(
    start: Start, sim: RunningSimulator
) -> None:
    gateway = await start(prices=PRICES, virtual_keys={"a": {"value": KEY_A}})
    file_id = await upload(gateway, line("a"))
    before = len(sim.log.entries)
    assert (await create(gateway, file_id)).status_code == 200
    assert len(sim.log.entries) == before + 1
    await follow_to_the_end(gateway)
    (entry,) = await entries(gateway)
    assert entry["cost"] > 0


async def test_a_body_that_names_no_file_is_the_providers_to_refuse(start: Start) -> None:
    gateway = await start()
    for content in (b"{}", b"[1]", b"{no json", b'{"input_file_id": 7, "endpoint": 1}'):
        answer = await gateway.http.post("/v1/batches", content=content, headers={"x-bf-provider": "sim"})
        assert answer.status_code == 400, answer.text
