"""Lines that a provider's batch leaves are run by the gateway: one result and one charge a line (contract 9 and 15)."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared.governance.ledger.followed_batches import BatchTurn, BatchTurnLost, FollowedBatches
from tests.api.batch_work import loop_of, take_turn_now, work_off
from tests.api.conftest import KEY_B, Gateway, Start
from tests.api.provider_batch_work import (
    MINE,
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

SOON = {"rescue": True, "rescue_before_s": 86_400}
"""A day before the end of a window of a day: at the first look."""
NOT_YET = {"rescue": True, "rescue_before_s": 60}


async def begin(gateway: Gateway, faults: str, *lines: Any, **more: Any) -> str:
    file_id = await upload(gateway, *(lines or (line("a"), line("b"), line("c"))))
    answer = await create(gateway, file_id, metadata={"simulator": faults}, **more)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def shown(gateway: Gateway, batch_id: str) -> dict[str, Any]:
    answer = await gateway.http.get(f"/v1/batches/{batch_id}", headers=MINE)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def own_batch(gateway: Gateway) -> str:
    """The gateway's batch of a rescue."""
    commands = gateway.services.commands
    (followed,) = await commands.execute("ZRANGE", "finops:provider-batches", 0, -1)
    found = await commands.execute("HGET", f"finops:provider-batch:{followed.decode()}", "rescue_batch")
    return "" if found is None else found.decode()


async def look_until_it_runs(gateway: Gateway) -> str:
    """Follow a batch until the gateway runs its lines."""
    for _ in range(50):
        if own := await own_batch(gateway):
            return own
        assert await look(gateway)
    pytest.fail("the gateway does not run the lines")


async def rescue(gateway: Gateway) -> None:
    """Follow the only batch to its end, and run what the gateway is to run."""
    await work_off(gateway, await look_until_it_runs(gateway))
    await follow_to_the_end(gateway)


async def results(gateway: Gateway, batch: dict[str, Any]) -> dict[str, int]:
    """The status of each line of a batch's files; a line without an answer has 0."""
    found: dict[str, int] = {}
    for name in ("output_file_id", "error_file_id"):
        if batch[name]:
            answer = await gateway.http.get(f"/v1/files/{batch[name]}/content", headers=MINE)
            assert answer.status_code == 200, answer.text
            for row in map(json.loads, answer.text.splitlines()):
                assert row["custom_id"] not in found, "one result a line"
                found[row["custom_id"]] = (row["response"] or {}).get("status_code", 0)
    return found


async def charged(gateway: Gateway) -> list[int]:
    return [entry.get("cost", 0) for entry in await entries(gateway)]


async def test_lines_that_expire_at_the_provider_are_run_here(start: Start) -> None:
    gateway = await gateway_with(start, batches=NOT_YET)
    batch_id = await begin(gateway, "answered=1,end=expired", line("a"), line("b", "gpt-4o-mini"), line("c"))
    seen = []
    while not (own := await own_batch(gateway)):
        seen.append((await shown(gateway, batch_id))["status"])
        assert await look(gateway)
    assert (await shown(gateway, batch_id))["status"] == "finalizing"
    assert (await gateway.http.get("/v1/batches", headers=MINE)).json()["data"][0]["status"] == "finalizing"
    assert set(seen) <= {"validating", "in_progress", "finalizing"}
    await work_off(gateway, own)
    await follow_to_the_end(gateway)
    batch = await shown(gateway, batch_id)
    assert (batch["status"], batch["request_counts"]) == ("completed", {"total": 3, "completed": 3, "failed": 0})
    assert batch["expired_at"] is None and batch["completed_at"]
    assert await results(gateway, batch) == {"a": 200, "b": 200, "c": 200}
    booked = await entries(gateway)
    assert sorted(entry["status"] for entry in booked) == [200] * 3, "one charge a line"
    at_batch_rate = [entry for entry in booked if entry["cost"] == (entry["input"] + entry["output"]) * 500]
    assert len(at_batch_rate) == 1, "the others at the price of a call"
    assert await budget_of(gateway) == (sum(entry["cost"] for entry in booked) / 1e6, 0)
    listed = (await gateway.http.get("/v1/batches", headers=MINE)).json()["data"]
    assert [each["id"] for each in listed] == [batch_id], "the gateway's own batch is not listed"
    left = await gateway.services.commands.execute("KEYS", "finops:file:*")
    assert len({name.split(b":")[2] for name in left}) == 1, "only the results are kept"


async def test_results_are_their_callers_alone(start: Start) -> None:
    gateway = await gateway_with(start, batches=NOT_YET, virtual_keys={"b": {"value": KEY_B}})
    batch_id = await begin(gateway, "answered=0,end=expired")
    await rescue(gateway)
    file_id = (await shown(gateway, batch_id))["output_file_id"]
    stranger = {"x-bf-vk": KEY_B}
    assert (await gateway.http.get(f"/v1/files/{file_id}/content", headers=stranger)).status_code == 404


async def test_lines_of_a_batch_that_failed_at_the_provider_are_run_here(start: Start) -> None:
    gateway = await gateway_with(start, batches=NOT_YET)
    batch_id = await begin(gateway, "end=failed")
    await rescue(gateway)
    batch = await shown(gateway, batch_id)
    assert (batch["status"], batch["errors"], batch["failed_at"]) == ("completed", None, None)
    assert await results(gateway, batch) == {"a": 200, "b": 200, "c": 200}
    assert len(await charged(gateway)) == 3


async def test_only_failures_of_the_provider_are_repeated(start: Start) -> None:
    gateway = await gateway_with(start, batches=NOT_YET)
    lines = (line("fine"), line("policy", "gpt-4o@status=400"), line("broken", "gpt-4o@status=500,times=1"))
    batch_id = await begin(gateway, "", *lines)
    await rescue(gateway)
    batch = await shown(gateway, batch_id)
    assert await results(gateway, batch) == {"fine": 200, "broken": 200, "policy": 400}
    assert batch["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert sorted(entry["status"] for entry in await entries(gateway)) == [200, 200, 400]


async def test_a_line_that_fails_here_too_has_one_error(start: Start) -> None:
    gateway = await gateway_with(start, batches=NOT_YET)
    batch_id = await begin(gateway, "", line("a"), line("b", "gpt-4o@status=500"))
    await rescue(gateway)
    batch = await shown(gateway, batch_id)
    assert batch["status"] == "completed"
    assert await results(gateway, batch) == {"a": 200, "b": 500}
    assert sorted(entry["status"] for entry in await entries(gateway)) == [200, 500]
    assert (await budget_of(gateway))[1] == 0


async def test_a_batch_without_open_lines_is_shown_as_its_provider_has_it(start: Start) -> None:
    gateway = await gateway_with(start, batches=NOT_YET)
    batch_id = await begin(gateway, "")
    while (await shown(gateway, batch_id))["status"] != "finalizing":
        pass
    hidden = await shown(gateway, batch_id)
    assert (hidden["output_file_id"], hidden["completed_at"]) == (None, None)
    await follow_to_the_end(gateway)
    batch = await shown(gateway, batch_id)
    assert (batch["status"], batch["request_counts"]["completed"]) == ("completed", 3)
    assert await results(gateway, batch) == {"a": 200, "b": 200, "c": 200}
    assert await gateway.services.commands.execute("KEYS", "finops:batch-view:*") == []


async def test_shortly_before_its_window_ends_a_batch_is_cancelled_at_the_provider(start: Start) -> None:
    gateway = await gateway_with(start, batches=SOON)
    batch_id = await begin(gateway, "answered=1,looks=3")
    await rescue(gateway)
    batch = await shown(gateway, batch_id)
    assert (batch["status"], batch["cancelled_at"], batch["cancelling_at"]) == ("completed", None, None)
    assert await results(gateway, batch) == {"a": 200, "b": 200, "c": 200}
    assert len(await charged(gateway)) == 3
    assert (await budget_of(gateway))[1] == 0


async def test_a_cancel_that_comes_too_late_leaves_the_providers_results(start: Start) -> None:
    gateway = await gateway_with(start, batches=SOON)
    batch_id = await begin(gateway, "complete=1,looks=2")
    await follow_to_the_end(gateway)
    batch = await shown(gateway, batch_id)
    assert (batch["status"], batch["cancelling_at"]) == ("completed", None)
    assert await results(gateway, batch) == {"a": 200, "b": 200, "c": 200}
    assert len(await charged(gateway)) == 3


async def stuck(start: Start, monkeypatch: pytest.MonkeyPatch, looks: int) -> tuple[Gateway, str]:
    """A batch that its provider does not end, near the end of its window."""
    monkeypatch.setattr("simulator.openai.batches.LIFE_S", 40_000)
    gateway = await gateway_with(start, batches=SOON)
    return gateway, await begin(gateway, f"complete=1,looks={looks}")


async def test_a_late_duplicate_is_discarded_and_booked_as_one(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway, batch_id = await stuck(start, monkeypatch, looks=8)
    own = await look_until_it_runs(gateway)
    await work_off(gateway, own)
    while (batch := await shown(gateway, batch_id))["status"] != "completed":
        assert await look(gateway)
    assert (await gateway.http.get(f"/v1/batches/{batch_id}?provider=sim", headers=MINE)).json() == batch
    before = await results(gateway, batch)
    assert before == {"a": 200, "b": 200, "c": 200}
    await follow_to_the_end(gateway)
    assert await results(gateway, await shown(gateway, batch_id)) == before
    booked = await entries(gateway)
    late = [entry for entry in booked if entry.get("code") == "late_duplicate"]
    assert (len(booked), len(late)) == (6, 3)
    assert all(entry["cost"] == (entry["input"] + entry["output"]) * 500 for entry in late), "at batch rates"
    assert await budget_of(gateway) == (sum(entry["cost"] for entry in booked) / 1e6, 0)


async def test_an_answer_of_the_provider_counts_where_the_run_here_failed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, batch_id = await stuck(start, monkeypatch, looks=4)
    own = await look_until_it_runs(gateway)
    await gateway.post(f"/v1/batches/{own}/cancel", headers=MINE)
    await work_off(gateway, own)
    for _ in range(8):  # the provider ends it before its results are published
        await shown(gateway, batch_id)
    await follow_to_the_end(gateway)
    batch = await shown(gateway, batch_id)
    assert batch["status"] == "completed"
    assert await results(gateway, batch) == {"a": 200, "b": 200, "c": 200}


@pytest.mark.parametrize("running", [False, True])
async def test_a_batch_that_its_caller_cancels_is_not_rescued(start: Start, running: bool) -> None:
    gateway = await gateway_with(start, batches=NOT_YET)
    batch_id = await begin(gateway, "answered=1,looks=1" + (",end=expired" if running else ""))
    if running:
        own = await look_until_it_runs(gateway)
    answer = await gateway.post(f"/v1/batches/{batch_id}/cancel", headers=MINE)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelling")
    if running:
        assert await look(gateway)
        await work_off(gateway, own)
    await follow_to_the_end(gateway)
    batch = await shown(gateway, batch_id)
    assert batch["status"] == "cancelled"
    found = await results(gateway, batch)
    assert (found["a"], found.get("b", 0)) == (200, 0)
    assert len(await charged(gateway)) <= 3
    assert (await budget_of(gateway))[1] == 0
    again = await gateway.post(f"/v1/batches/{batch_id}/cancel", headers=MINE)
    assert again.status_code == 409


async def test_a_cancel_is_shown_until_it_is_settled(start: Start) -> None:
    gateway = await gateway_with(start, batches=NOT_YET)
    batch_id = await begin(gateway, "answered=1")
    await gateway.post(f"/v1/batches/{batch_id}/cancel", headers=MINE)
    assert (await shown(gateway, batch_id))["status"] == "cancelling"
    await follow_to_the_end(gateway)
    assert (await shown(gateway, batch_id))["status"] == "cancelled"


async def test_a_batch_cancelled_at_its_provider_is_not_rescued(start: Start, sim: Any) -> None:
    gateway = await gateway_with(start, batches=NOT_YET)
    batch_id = await begin(gateway, "answered=1,looks=1")
    async with gateway.http.__class__(base_url=sim.base_url) as provider:
        assert (await provider.post(f"/batches/{batch_id}/cancel")).status_code == 200
    await follow_to_the_end(gateway)
    assert (await shown(gateway, batch_id))["status"] == "cancelled"
    assert len(await charged(gateway)) == 1


async def test_without_its_input_file_a_batch_is_not_rescued(start: Start) -> None:
    gateway = await gateway_with(start, batches=NOT_YET)
    batch_id = await begin(gateway, "answered=1,end=expired")
    while not await ended(gateway):
        assert await look(gateway)
    file_id = (await shown(gateway, batch_id))["input_file_id"]
    assert (await gateway.http.delete(f"/v1/files/{file_id}", headers=MINE)).status_code == 200
    await follow_to_the_end(gateway)
    batch = await shown(gateway, batch_id)
    assert (batch["status"], batch["request_counts"]["failed"]) == ("expired", 2)


async def ended(gateway: Gateway) -> bool:
    commands = gateway.services.commands
    (followed,) = await commands.execute("ZRANGE", "finops:provider-batches", 0, -1)
    return bool(await commands.execute("HGET", f"finops:provider-batch:{followed.decode()}", "ended"))


async def test_a_line_that_does_not_fit_a_budget_has_that_error(start: Start) -> None:
    gateway = await gateway_with(start, limit_usd=0.22, batches=NOT_YET)
    batch_id = await begin(gateway, "answered=0,end=expired")
    own = await look_until_it_runs(gateway)
    await take_turn_now(gateway, loop_of(gateway), own)  # all lines are submitted before one of them has ended
    await work_off(gateway, own)
    await follow_to_the_end(gateway)
    found = await results(gateway, await shown(gateway, batch_id))
    assert sorted(found.values()) == [200, 200, 402], "a call reserves twice what a line of a batch does"
    assert (await budget_of(gateway))[1] == 0


class Killed(BaseException):
    """The end of a worker in the middle of a step."""


async def test_every_step_may_be_repeated_after_a_kill(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = await gateway_with(start, batches=NOT_YET)
    batch_id = await begin(gateway, "answered=1,end=expired")
    kills = await follow_under_kills(gateway, monkeypatch)
    assert kills >= 5
    batch = await shown(gateway, batch_id)
    assert batch["status"] == "completed"
    assert await results(gateway, batch) == {"a": 200, "b": 200, "c": 200}
    booked = await entries(gateway)
    assert len(booked) == 3
    assert await budget_of(gateway) == (sum(entry["cost"] for entry in booked) / 1e6, 0)


async def follow_under_kills(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> int:
    """Follow the batch to its end; every second time that a worker would write, it is killed instead."""
    writes = 0

    def mortal(write: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def dies(*args: Any, **more: Any) -> None:
            nonlocal writes
            writes += 1
            if writes % 2:
                raise Killed
            await write(*args, **more)

        return dies

    for name in ("note", "book"):
        monkeypatch.setattr(FollowedBatches, name, mortal(getattr(FollowedBatches, name)))
    kills = 0
    for _ in range(100):
        try:
            if not await look(gateway):
                return kills
        except Killed:
            kills += 1
        await run_what_is_rescued(gateway)
    pytest.fail("the batch is followed for ever")


async def run_what_is_rescued(gateway: Gateway) -> None:
    commands = gateway.services.commands
    own = await own_batch(gateway) if await commands.execute("ZCARD", "finops:provider-batches") else ""
    found = await gateway.services.batches.get(own) if own else None
    if found is not None and not found.status.terminal:
        await work_off(gateway, own)


async def test_another_worker_goes_on_when_a_turn_is_lost(start: Start) -> None:
    gateway = await gateway_with(start, batches=NOT_YET)
    await begin(gateway, "answered=1,end=expired")
    loop = follower(gateway)
    stale = await turn_of(gateway)
    await look_until_it_runs(gateway)
    with pytest.raises(BatchTurnLost):
        await loop._step(stale)
    with pytest.raises(BatchTurnLost):
        await loop._followed.note(stale.batch, state="", look_ms=0, rescue="published")


async def turn_of(gateway: Gateway) -> BatchTurn:
    commands = gateway.services.commands
    (followed,) = await commands.execute("ZRANGE", "finops:provider-batches", 0, -1)
    await commands.execute("ZADD", "finops:provider-batches", 0, followed)
    turn = await follower(gateway)._followed.take()
    assert turn
    return turn
