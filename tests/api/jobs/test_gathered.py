"""Single jobs that can wait become one batch of their provider, and stay single jobs for everybody else."""

import asyncio
from typing import Any

import orjson
import pytest

from shared.errors import StoreUnavailable
from shared.patience.lanes import Lane
from shared.patience.times import LATE
from simulator.serve import RunningSimulator
from tests.api.conftest import KEY_A, Start
from tests.api.gathered_work import ADMIN, ASYNC, BODY, MINE, PATIENCE, PRICES, Gathered, gathered_on
from worker.lane_batches import LaneBatches


def posted(sim: RunningSimulator, path: str) -> int:
    return sum(entry.method == "POST" and entry.path.endswith(path) for entry in sim.log.entries)


async def statuses(gathered: Gathered, ids: list[str]) -> list[tuple[str, str]]:
    jobs = [await gathered.job(job_id) for job_id in ids]
    return [(job["status"], job["lane"]) for job in jobs]


async def test_single_jobs_become_one_batch_and_are_billed_alone(
    start: Start, sim: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.lane_batches.LINES_AT_ONCE", 2)
    gathered = await gathered_on(start)
    ids = [await gathered.submit(messages=[{"role": "user", "content": "hello " * n}]) for n in range(1, 6)]
    assert await statuses(gathered, ids) == [("pending", "batch")] * 5
    assert (await gathered.budget())[1] > 0
    await gathered.follow_to_the_end()
    assert (posted(sim, "/batches"), posted(sim, "/chat/completions")) == (1, 0)
    assert await statuses(gathered, ids) == [("completed", "batch")] * 5
    booked = await gathered.entries()
    assert sorted(entry["job"] for entry in booked) == sorted(ids), "each job is booked once"
    for entry in booked:
        usage = (await gathered.job(entry["job"]))["result"]["usage"]
        assert entry["cost"] == usage["total_tokens"] * 500, "its own tokens, at batch rates"
        assert (entry["lane"], entry["saved_batch"]) == ("batch", entry["cost"])
        (attempt,) = (await gathered.job(entry["job"]))["history"]
        assert (attempt["lane"], attempt["model"], attempt["cost_usd"]) == ("batch", "gpt-5", entry["cost"] / 1e6)
    assert await gathered.budget() == (sum(entry["cost"] for entry in booked) / 1e6, 0)
    costs = sorted(entry["cost"] for entry in booked)
    assert gathered.counted == [("batch", "answered", 5)]
    assert sorted(gathered.ended) == [("batch", True, cost, 2 * cost) for cost in costs]
    assert (await gathered.times.of("openai/gpt-5"))[Lane.BATCH].total == 5
    left = await gathered.gateway.services.commands.execute("KEYS", "finops:gather*")
    assert left == []


async def test_jobs_are_gathered_by_key_model_and_endpoint(start: Start, sim: RunningSimulator) -> None:
    gathered = await gathered_on(start)
    await gathered.submit()
    await gathered.submit(model="openai/gpt-5-mini")
    await gathered.submit(path="/v1/async/embeddings", input="hi")
    await gathered.gateway.post(ASYNC, {"model": "openai/gpt-5", "messages": [{"role": "user", "content": "x"}]},
        headers={"x-bf-async-patience": "3600"})  # fmt: skip
    await gathered.follow_to_the_end()
    assert posted(sim, "/batches") == 4


async def test_a_full_batch_is_sent_at_once_and_others_when_they_are_old_enough(start: Start) -> None:
    gathered = await gathered_on(start, gather_jobs=2)
    await gathered.submit()
    assert await gathered.worker.take_turn() > 1, "it is young"
    await gathered.submit()
    await gathered.submit()
    assert await gathered.worker.take_turn() == 0.0
    assert (await gathered.gateway.services.commands.execute("ZCARD", "finops:gathering")) == 2


async def test_a_cancelled_job_is_dropped_before_the_upload(start: Start, sim: RunningSimulator) -> None:
    gathered = await gathered_on(start)
    kept, cancelled = await gathered.submit(), await gathered.submit()
    await gathered.gateway.post(f"/v1/async/jobs/{cancelled}/cancel", headers=MINE)
    await gathered.look()
    (upload,) = sim.app.store.files.newest_first()
    assert (kept.encode() in upload.content, cancelled.encode() in upload.content) == (True, False)
    await gathered.follow_to_the_end()
    assert [(await gathered.job(each))["status"] for each in (kept, cancelled)] == ["completed", "cancelled"]
    assert sim.app.store.files.newest_first() == [], "nothing of them stays at the provider"


async def test_the_answer_of_a_job_that_was_cancelled_meanwhile_is_discarded_and_booked(start: Start) -> None:
    gathered = await gathered_on(start)
    job_id = await gathered.submit()
    while (await gathered.fields())["state"] != "running":
        await gathered.look()
    await gathered.gateway.post(f"/v1/async/jobs/{job_id}/cancel", headers=MINE)
    await gathered.follow_to_the_end()
    assert (await gathered.job(job_id))["status"] == "cancelled"
    assert [(entry["code"], entry.get("cost", 0) > 0) for entry in await gathered.entries()] == [
        ("job_cancelled", False),
        ("late_duplicate", True),
    ]
    assert gathered.counted == [("batch", "late", 1)]


async def test_lines_that_the_provider_leaves_run_now(start: Start, sim: RunningSimulator) -> None:
    gathered = await gathered_on(start)
    model = "openai/gpt-5@batch_answered=1,batch_end=expired"
    ids = [await gathered.submit(model=model) for _ in range(3)]
    await gathered.follow_to_the_end()
    await gathered.gateway.worker.work_off()
    assert sorted(await statuses(gathered, ids)) == [
        ("completed", "batch"),
        ("completed", "now"),
        ("completed", "now"),
    ]
    assert (posted(sim, "/batches"), posted(sim, "/chat/completions")) == (1, 2)
    assert len(await gathered.entries()) == 3


async def test_a_batch_that_is_stuck_loses_its_jobs_in_time_and_is_stopped(start: Start, sim: RunningSimulator) -> None:
    gathered = await gathered_on(start)
    job_id = await gathered.submit(model="openai/gpt-5@batch_end=stuck")
    while (await gathered.fields())["state"] != "running":
        await gathered.look()
    await make_due(gathered, job_id)
    await gathered.gateway.worker.work_off()
    assert await statuses(gathered, [job_id]) == [("completed", "now")]
    (batch_id,) = await gathered.gateway.services.commands.execute("ZRANGE", "finops:gathering", 0, -1)
    await gathered.gateway.services.commands.execute("HSET", f"finops:gathered:{batch_id.decode()}", "promote_ms", 1)
    await gathered.follow_to_the_end()
    assert posted(sim, "/cancel") == 1
    assert len(await gathered.entries()) == 1


async def make_due(gathered: Gathered, job_id: str) -> None:
    """Let the time pass at which a job is promoted."""
    commands = gathered.gateway.services.commands
    for key in ("finops:jobs:deferred", "arq:queue"):
        await commands.execute("ZADD", key, 1, job_id)


async def test_the_first_answer_wins_and_the_other_is_booked(start: Start) -> None:
    gathered = await gathered_on(start)
    first, running = await gathered.submit(), await gathered.submit()
    while (await gathered.fields())["state"] != "running":
        await gathered.look()
    for job_id in (first, running):
        await make_due(gathered, job_id)
    claims = await gathered.gateway.worker.claim(2)
    assert {claim.id for claim in claims} == {first, running}
    await gathered.gateway.worker.run(next(claim for claim in claims if claim.id == first))
    await gathered.follow_to_the_end()
    assert await statuses(gathered, [first, running]) == [("completed", "now"), ("completed", "batch")]
    codes = sorted((entry["job"] == first, entry.get("code", "")) for entry in await gathered.entries())
    assert codes == [(False, ""), (False, "late_duplicate"), (True, ""), (True, "late_duplicate")]
    history = (await gathered.job(running))["history"]
    assert [(each["code"], each.get("lane")) for each in history] == [("late_duplicate", None), (None, "batch")]
    await gathered.gateway.worker.run(next(claim for claim in claims if claim.id == running))
    assert len(await gathered.entries()) == 4, "a run that lost its job books nothing"
    counts = (await gathered.times.of("openai/gpt-5"))[Lane.BATCH].counts
    assert (sum(counts.values()), counts[LATE]) == (2, 1)


@pytest.mark.parametrize("state", ["closed", "uploaded", "creating", "running"])
async def test_a_worker_that_dies_at_any_step_loses_and_doubles_nothing(
    start: Start, sim: RunningSimulator, state: str
) -> None:
    gathered = await gathered_on(start)
    ids = [await gathered.submit() for _ in range(2)]
    commands = gathered.gateway.services.commands
    (batch_id,) = await commands.execute("ZRANGE", "finops:gathering", 0, -1)
    key = f"finops:gathered:{batch_id.decode()}"
    while (await gathered.fields())["state"] in {"open", "closed", "uploaded"}:
        await gathered.look()
    created = posted(sim, "/batches")
    await commands.execute("HSET", key, "state", state)  # the step was done, and its worker died before it was noted
    await gathered.follow_to_the_end()
    assert await statuses(gathered, ids) == [("completed", "batch")] * 2
    assert sorted(entry["job"] for entry in await gathered.entries() if not entry.get("code")) == sorted(ids)
    assert created == 1
    if state in {"creating", "running"}:
        assert posted(sim, "/batches") == 1, "the provider had it already"


async def test_lines_that_are_answered_twice_end_their_jobs_once(start: Start) -> None:
    gathered = await gathered_on(start)
    job_id = await gathered.submit()
    while (await gathered.fields())["state"] != "running":
        await gathered.look()
    turn: Any = None
    while turn is None or turn.batch.state != "running":
        await gathered.gateway.services.commands.execute("ZADD", "finops:gathering", 0, await only(gathered))
        turn = await gathered.gateway.services.gathered.take()
    body = {"model": "gpt-5", "choices": [], "usage": {"prompt_tokens": 3}}
    row = orjson.dumps({"custom_id": job_id, "response": {"status_code": 200, "body": body}})
    worker = gathered.worker
    assert [(await worker._answer_lines(turn, [row])).answered for _ in range(2)] == [1, 0]
    assert len(await gathered.entries()) == 1


async def only(gathered: Gathered) -> str:
    (batch_id,) = await gathered.gateway.services.commands.execute("ZRANGE", "finops:gathering", 0, -1)
    return str(batch_id.decode())


@pytest.mark.parametrize(("path", "status"), [("/files", 400), ("/batches", 403)])
async def test_a_provider_that_refuses_the_batch_promotes_its_jobs(
    start: Start, sim: RunningSimulator, path: str, status: int
) -> None:
    gathered = await gathered_on(start)
    job_id = await gathered.submit()
    sim.script(path=path, status=status)
    await gathered.follow_to_the_end()
    await gathered.gateway.worker.work_off()
    assert await statuses(gathered, [job_id]) == [("completed", "now")]


async def test_a_provider_that_is_away_is_asked_again(start: Start, sim: RunningSimulator) -> None:
    gathered = await gathered_on(start)
    job_id = await gathered.submit()
    sim.script(path="/files", status=500, times=1)
    sim.script(path="/batches", status=503, times=1)
    await gathered.follow_to_the_end()
    assert await statuses(gathered, [job_id]) == [("completed", "batch")]


async def test_embeddings_that_can_wait_share_calls_and_pay_for_themselves(start: Start, sim: RunningSimulator) -> None:
    gathered = await gathered_on(start, lanes=[])
    path, model = "/v1/async/embeddings", "openai/text-embedding-3-small"
    for n in range(40):
        body = {"model": model, "input": "word " * (n % 5 + 1)}
        answer = await gathered.gateway.post(path, body, headers={**MINE, "x-bf-async-patience": "60"})
        assert answer.json()["lane"] == "now"
    claims = await gathered.gateway.worker.claim(40)
    worker = gathered.gateway.worker
    await asyncio.gather(*(worker.run(claim) for claim in claims))
    assert 1 <= posted(sim, "/embeddings") <= 20
    booked = await gathered.entries()
    assert len(booked) == 40
    for entry in booked:
        usage = (await gathered.job(entry["job"], path))["result"]["usage"]
        assert entry["input"] == usage["prompt_tokens"] > 0
        assert entry["cost"] == entry["input"] * 1000


async def until_running(gathered: Gathered) -> None:
    while (await gathered.fields())["state"] != "running":
        await gathered.look()


async def test_a_batch_that_its_provider_has_lost_promotes_its_jobs(start: Start, sim: RunningSimulator) -> None:
    gathered = await gathered_on(start)
    job_id = await gathered.submit()
    await until_running(gathered)
    sim.script(path="/batches/*", status=503, times=1)
    assert await gathered.look(), "it is asked again"
    sim.app.store.batches.drop((await gathered.fields())["batch"])
    await gathered.follow_to_the_end()
    await gathered.gateway.worker.work_off()
    assert await statuses(gathered, [job_id]) == [("completed", "now")]


async def test_a_batch_whose_jobs_have_all_been_promoted_is_not_sent(start: Start, sim: RunningSimulator) -> None:
    gathered = await gathered_on(start)
    await gathered.submit()
    commands = gathered.gateway.services.commands
    await commands.execute("HSET", f"finops:gathered:{await only(gathered)}", "promote_ms", 1)
    await gathered.follow_to_the_end()
    assert (posted(sim, "/files"), posted(sim, "/batches")) == (0, 0)


async def test_a_job_that_its_owner_may_not_run_any_more_says_so(start: Start, sim: RunningSimulator) -> None:
    gathered = await gathered_on(start)
    http = gathered.gateway.http
    made = (await http.post("/api/keys", json={"name": "soon"}, headers=ADMIN)).json()
    own = {"x-bf-vk": made["value"]}
    answer = await http.post(ASYNC, json=BODY, headers={**own, "x-bf-async-patience": "3600"})
    assert answer.json()["lane"] == "batch", answer.text
    assert (await http.post(f"/api/keys/{made['id']}/revoke", headers=ADMIN)).status_code == 200
    await gathered.follow_to_the_end()
    assert posted(sim, "/files") == 0
    await gathered.gateway.worker.work_off()
    job = await gathered.gateway.services.store.get(answer.json()["id"])
    assert job is not None
    assert (job.state, job.error is not None) == ("failed", True)


async def test_the_answer_of_a_job_that_is_gone_is_booked_to_its_key(start: Start) -> None:
    gathered = await gathered_on(start)
    job_id = await gathered.submit()
    await until_running(gathered)
    await gathered.gateway.post(f"/v1/async/jobs/{job_id}/cancel", headers=MINE)
    await gathered.gateway.http.delete(f"/v1/async/jobs/{job_id}", headers=MINE)
    await gathered.follow_to_the_end()
    (late,) = [entry for entry in await gathered.entries() if entry.get("code") == "late_duplicate"]
    assert (late["key"], late["job"], late["cost"] > 0) == ("a", job_id, True)


async def test_a_line_without_usage_is_estimated_and_a_route_is_listed_by_its_provider(start: Start) -> None:
    key = {"value": KEY_A, "budget": {"limit_usd": 100_000}}
    routes = {"smart": {"targets": [{"model": "openai/gpt-5"}]}}
    settings: Any = {"prices": PRICES, "virtual_keys": {"a": key}, "routes": routes, "jobs": {"patience": PATIENCE}}
    gathered = Gathered(await start(**settings))
    job_id = await gathered.submit(model="smart")
    await until_running(gathered)
    commands = gathered.gateway.services.commands
    await commands.execute("ZADD", "finops:gathering", 0, await only(gathered))
    turn: Any = await gathered.gateway.services.gathered.take()
    body = {"model": "gpt-5", "choices": [{"message": {"role": "assistant", "content": "hello there"}}]}
    row = orjson.dumps({"custom_id": job_id, "response": {"status_code": 200, "body": body}})
    assert (await gathered.worker._answer_lines(turn, [row])).answered == 1
    (entry,) = await gathered.entries()
    assert (entry["estimated"], entry["cost"] > 0) == (True, True)
    found = await gathered.gateway.http.get("/v1/async/jobs?provider=openai", headers=MINE)
    assert [job["id"] for job in found.json()["data"]] == [job_id]


async def test_a_fault_of_the_gateway_leaves_the_batch_to_the_next_turn(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gathered = await gathered_on(start)
    job_id = await gathered.submit()
    await until_running(gathered)
    with monkeypatch.context() as patch:
        patch.setattr(LaneBatches, "_follow", lambda *_: 1 / 0)
        await gathered.look()
        assert "a gathered batch failed" in caplog.text
        patch.setattr(LaneBatches, "_follow", away)
        with pytest.raises(StoreUnavailable):
            await gathered.look()
    await gathered.follow_to_the_end()
    assert await statuses(gathered, [job_id]) == [("completed", "batch")]


async def away(*_: Any, **__: Any) -> None:
    raise StoreUnavailable


async def test_a_worker_looks_as_often_as_batches_fall_due(start: Start) -> None:
    assert (await gathered_on(start)).worker.poll_s == 5.0
    assert (await gathered_on(start, gather_s=0)).worker.poll_s == 0.05


async def test_a_store_that_is_away_at_the_submit_costs_only_the_saving(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathered = await gathered_on(start)
    monkeypatch.setattr(type(gathered.gateway.services.gathered), "add", away)
    job_id = await gathered.submit()
    await make_due(gathered, job_id)
    await gathered.gateway.worker.work_off()
    assert await statuses(gathered, [job_id]) == [("completed", "now")]


async def test_a_repeated_submit_is_gathered_once(start: Start) -> None:
    gathered = await gathered_on(start)
    headers = {**MINE, "x-bf-async-patience": "3600", "idempotency-key": "one"}
    ids = {(await gathered.gateway.post(ASYNC, BODY, headers=headers)).json()["id"] for _ in range(2)}
    assert len(ids) == 1
    assert (await gathered.fields())["jobs"] == "1"


@pytest.mark.parametrize("state", ["closed", "uploaded", "running"])
async def test_a_turn_that_was_lost_changes_nothing(start: Start, sim: RunningSimulator, state: str) -> None:
    gathered = await gathered_on(start)
    job_id = await gathered.submit()
    await until_running(gathered)
    commands, store = gathered.gateway.services.commands, gathered.gateway.services.gathered
    key = f"finops:gathered:{await only(gathered)}"
    await commands.execute("HSET", key, "state", state, "promote_ms", 1)
    turns: list[Any] = []
    for _ in range(2):
        await commands.execute("ZADD", "finops:gathering", 0, await only(gathered))
        turns.append(await store.take())
    before = len(sim.requests)
    await gathered.worker._step(turns[0])
    assert [entry.method for entry in sim.requests[before:]] == (["GET"] if state == "running" else [])
    assert (await gathered.fields())["state"] == state
    assert (await gathered.job(job_id))["lane"] == "batch"
