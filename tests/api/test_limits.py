"""Limits as callers meet them: on every surface, at once, streamed and as jobs (contract 5 and 6)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import orjson
import pytest

from shared.jobs.store import Finish
from simulator.serve import RunningSimulator
from tests.api.conftest import ADMIN_KEY, CHAT, KEY_A, KEY_B, Gateway

PRICES = {"sim/*": {"input": 1, "output": 10}, "openai/*": {"input": 1, "output": 10}}
MINUTE = {"requests": 3, "tokens": 1_000_000, "window": "1d"}
PLACES = {
    "openai": ("/openai/chat/completions", CHAT),
    "plain": ("/v1/responses", {"model": "sim/gpt-4o", "input": "hello"}),
    "anthropic": ("/anthropic/v1/messages", {**CHAT, "max_tokens": 50}),
    "azure": ("/openai/deployments/sim/gpt-4o/chat/completions?api-version=2024-10-21", CHAT),
}
WAYS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "whole": ({}, {}),
    "streamed": ({"stream": True}, {}),
    "job": ({}, {"x-bf-async": "true"}),
}
Start = Callable[..., Awaitable[Gateway]]
everywhere = pytest.mark.parametrize("place", sorted(PLACES))
in_every_way = pytest.mark.parametrize("way", sorted(WAYS))


async def ask(gateway: Gateway, place: str, way: str, key: str = KEY_A) -> httpx.Response:
    path, body = PLACES[place]
    more, headers = WAYS[way]
    return await gateway.post(path, {**body, **more}, headers={"x-bf-vk": key, **headers})


async def gateway_with(start: Start, **limits: Any) -> Gateway:
    return await start(prices=PRICES, virtual_keys={"team-a": {"value": KEY_A, **limits}, "team-b": {"value": KEY_B}})


@everywhere
@in_every_way
async def test_an_answer_says_what_is_left_and_a_refusal_when_to_come_back(start: Start, place: str, way: str) -> None:
    gateway = await gateway_with(start, rate_limit=MINUTE)
    for left in ("2", "1", "0"):
        answer = await ask(gateway, place, way)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-ratelimit-limit-requests"] == "3"
        assert answer.headers["x-ratelimit-remaining-requests"] == left
        assert answer.headers["x-ratelimit-limit-tokens"] == "1000000"
        assert answer.headers["x-ratelimit-reset-requests"].endswith("s")
    refused = await ask(gateway, place, way)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.headers["x-ratelimit-limit-requests"] == "3"
    if place != "anthropic":
        assert refused.json()["error"]["code"] == "request_limited"
    assert (await ask(gateway, place, way, KEY_B)).status_code == 200, "another key has limits of its own"


@in_every_way
async def test_tokens_run_out_too(start: Start, way: str) -> None:
    gateway = await gateway_with(start, rate_limit={"tokens": 1, "window": "1d"})
    assert (await ask(gateway, "openai", "whole")).status_code == 200
    refused = await ask(gateway, "openai", way)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "token_limited")
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-ratelimit-remaining-tokens"] == "0"


@everywhere
@in_every_way
async def test_a_spent_budget_is_refused_before_any_work(
    start: Start, sim: RunningSimulator, place: str, way: str
) -> None:
    gateway = await gateway_with(start, budget={"limit_usd": 0.000001})
    assert (await ask(gateway, place, "whole")).status_code == 200
    refused = await ask(gateway, place, way)
    assert (refused.status_code, refused.headers["x-should-retry"]) == (402, "false")
    assert "retry-after" not in refused.headers
    assert len(sim.log.entries) == 1
    listed = await gateway.http.get("/api/jobs", headers={"authorization": f"Bearer {ADMIN_KEY}"})
    assert listed.json()["data"] == []


@everywhere
async def test_a_calls_cost_is_a_header_and_is_repeated_with_a_jobs_result(start: Start, place: str) -> None:
    gateway = await gateway_with(start)
    cost = (await ask(gateway, place, "whole")).headers["x-bf-cost-usd"]
    assert float(cost) > 0
    submitted = await ask(gateway, place, "job")
    assert "x-bf-cost-usd" not in submitted.headers
    await gateway.worker.work_off()
    path, body = PLACES[place]
    named = {"x-bf-vk": KEY_A, "x-bf-async-id": submitted.headers["x-bf-async-id"]}
    polled = await gateway.post(path, body, headers=named)
    assert polled.headers["x-bf-cost-usd"] == cost
    envelope = await gateway.http.get(f"/v1/async/jobs/{named['x-bf-async-id']}", headers=named)
    assert envelope.headers["x-bf-cost-usd"] == cost


async def test_a_failed_job_that_runs_again_needs_room_in_the_budget(start: Start, sim: RunningSimulator) -> None:
    gateway = await gateway_with(start, budget={"limit_usd": 0.000001})
    sim.script(model="gpt-4o", times=1, status=500)
    job_id = (await ask(gateway, "openai", "job")).headers["x-bf-async-id"]
    await gateway.worker.work_off()
    path, mine = f"/v1/async/jobs/{job_id}/retry", {"x-bf-vk": KEY_A}
    assert (await gateway.post(path, headers=mine)).status_code == 202
    assert (await gateway.post(path, headers=mine)).status_code == 409
    sim.script(model="gpt-4o", times=1, status=500)
    await gateway.worker.work_off()
    assert (await ask(gateway, "openai", "whole")).status_code == 200
    refused = await gateway.post(path, headers=mine)
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget_exceeded")
    overruled = await gateway.post(path.replace("/v1/async", "/api"), headers={"x-bf-admin-key": ADMIN_KEY})
    assert overruled.status_code == 202


async def test_administrators_list_budget_alerts(start: Start) -> None:
    gateway = await gateway_with(start, budget={"limit_usd": 0.000001})
    await ask(gateway, "openai", "whole")
    await gateway.services.inference._billing.ledger.flush()  # type: ignore[union-attr]
    admin = {"authorization": f"Bearer {ADMIN_KEY}"}
    page = (await gateway.http.get("/api/alerts?limit=2", headers=admin)).json()
    assert [alert["percent"] for alert in page["data"]] == [100, 80]
    assert page["has_more"] is True
    rest = (await gateway.http.get(f"/api/alerts?after={page['last_id']}", headers=admin)).json()
    assert [(alert["percent"], alert["scope"]) for alert in rest["data"]] == [(50, "key:team-a")]
    none = (await gateway.http.get("/api/alerts?type=spend.anomaly&scope=key:x", headers=admin)).json()
    assert (none["data"], none["last_id"], none["has_more"]) == ([], None, False)
    for query in ("type=other", "after=x", "limit=0"):
        assert (await gateway.http.get(f"/api/alerts?{query}", headers=admin)).status_code == 400
    assert (await gateway.http.get("/api/alerts", headers={"x-bf-vk": KEY_A})).status_code == 401


async def booked(gateway: Gateway) -> list[dict[str, Any]]:
    await gateway.services.inference._billing.ledger.flush()  # type: ignore[union-attr]
    found = await gateway.services.commands.execute("XRANGE", "finops:ledger", "-", "+")
    return [orjson.loads(fields[1]) for _, fields in found]


@everywhere
async def test_a_stream_that_was_read_to_its_end_is_booked_as_an_answer(start: Start, place: str) -> None:
    gateway = await gateway_with(start)
    assert (await ask(gateway, place, "streamed")).status_code == 200
    (entry,) = await booked(gateway)
    assert (entry["status"], entry["cost"] > 0, entry["first_ms"] > 0) == (200, True, True)


async def test_what_is_forwarded_unread_counts_and_is_booked(start: Start, sim: RunningSimulator) -> None:
    gateway = await gateway_with(start, rate_limit={"requests": 3, "window": "1d"})
    mine = {"x-bf-vk": KEY_A, "x-bf-provider": "sim"}

    async def upload() -> httpx.Response:
        sent = {"file": ("a.jsonl", b'{"custom_id": "a", "body": {"model": "gpt-4o"}}')}
        return await gateway.http.post("/v1/files", files=sent, data={"purpose": "batch"}, headers=mine)

    file_id = (first := await upload()).json()["id"]
    assert first.headers["x-ratelimit-remaining-requests"] == "2"
    assert (await gateway.http.get(f"/v1/files/{file_id}", headers=mine)).status_code == 200
    batch = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    assert (await gateway.post("/v1/batches", batch, headers=mine)).status_code in {200, 400}
    asked = len(sim.log.entries)
    refused = await upload()
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "request_limited")
    assert (await gateway.http.delete(f"/v1/files/{file_id}", headers=mine)).status_code == 429
    assert len(sim.log.entries) == asked
    assert (await gateway.post("/v1/batches?provider=nobody", batch, headers={"x-bf-vk": KEY_A})).status_code == 400
    entries = await booked(gateway)
    assert [entry["type"] for entry in entries] == ["passthrough"] * 5
    assert [entry["asked"] for entry in entries] == [
        "sim/files",
        f"sim/files/{file_id}",
        "sim/batches",
        "sim/files",
        f"sim/files/{file_id}",
    ]
    assert [entry["status"] for entry in entries][::3] == [200, 429]
    assert entries[0]["priced"] is True


async def test_what_is_forwarded_unread_needs_room_in_the_budget(start: Start, sim: RunningSimulator) -> None:
    gateway = await gateway_with(start, budget={"limit_usd": 0.000001})
    await ask(gateway, "openai", "whole")
    mine = {"x-bf-vk": KEY_A, "x-bf-provider": "sim"}
    assert (await gateway.post("/v1/threads/runs", {}, headers=mine)).status_code == 402
    assert (await gateway.http.get("/v1/files", headers=mine)).status_code == 200
    assert [entry.path for entry in sim.log.entries] == ["/v1/chat/completions", "/v1/files"]


SPENT = {
    "requests": ({"rate_limit": {"requests": 1, "window": "1d"}}, 429),
    "tokens": ({"rate_limit": {"tokens": 1, "window": "1d"}}, 429),
    "budget": ({"budget": {"limit_usd": 0.000001}}, 402),
}
NAMED = {"x-bf-vk": KEY_A, "x-bf-async": "true", "Idempotency-Key": "order-1"}
BLIND = {"x-bf-vk": KEY_A, "x-bf-async": "true", "x-stainless-retry-count": "1"}
once_spent = pytest.mark.parametrize("limit", sorted(SPENT))


@everywhere
@once_spent
async def test_a_repeat_finds_its_job_though_the_limit_is_spent(start: Start, place: str, limit: str) -> None:
    limits, status = SPENT[limit]
    gateway = await gateway_with(start, **limits)
    path, body = PLACES[place]
    first = await gateway.post(path, body, headers=NAMED)
    assert first.status_code == 200, first.text
    for headers in (NAMED, BLIND):
        again = await gateway.post(path, body, headers=headers)
        assert (again.status_code, again.headers["x-bf-async-id"]) == (200, first.headers["x-bf-async-id"])
    other = await gateway.post(path, {**body, "temperature": 0.5}, headers=NAMED)
    assert other.status_code == 409
    assert (await gateway.post(path, body, headers={**NAMED, "Idempotency-Key": "order-2"})).status_code == status
    fresh = await gateway.post(path, {**body, "temperature": 0.5}, headers=BLIND)
    assert fresh.status_code == status, "a retry whose first try was never accepted is a new request"


@once_spent
async def test_repeats_at_the_same_time_are_one_job_whichever_takes_what_is_left(start: Start, limit: str) -> None:
    gateway = await gateway_with(start, **SPENT[limit][0])
    path, body = PLACES["openai"]
    await gateway.post(path, body, headers={**NAMED, "x-bf-vk": KEY_B})  # the store knows the scripts from now on
    answers = await asyncio.gather(*(gateway.post(path, body, headers=NAMED) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["x-bf-async-id"] for answer in answers}) == 1


async def test_a_repeat_is_not_counted(start: Start) -> None:
    gateway = await gateway_with(start, rate_limit=MINUTE)
    path, body = PLACES["openai"]
    for headers in (NAMED, NAMED, BLIND):
        await gateway.post(path, body, headers=headers)
    assert (await ask(gateway, "openai", "job")).headers["x-ratelimit-remaining-requests"] == "1"


@everywhere
async def test_a_run_that_is_cancelled_is_charged_what_was_reserved_for_it(start: Start, place: str) -> None:
    gateway = await gateway_with(start, budget={"limit_usd": 0.000001})
    job_id = (await ask(gateway, place, "job")).headers["x-bf-async-id"]
    (claim,) = await gateway.worker.claim()
    await gateway.services.store.finish_many([Finish(claim, None, [("delta", b'{"delta":"a"}')] * 5, flushed=0)])
    mine = {"x-bf-vk": KEY_A}
    for _ in range(2):
        assert (await gateway.post(f"/v1/async/jobs/{job_id}/cancel", headers=mine)).status_code == 200
    (entry,) = await booked(gateway)
    most = 50 if place == "anthropic" else 16_384  # its body says so; else the model's maximum
    assert (entry["code"], entry["priced"], entry["estimated"], entry["output"]) == ("job_cancelled", True, True, most)
    assert entry["cost"] == entry["list"] == entry["input"] + 10 * most
    assert (await ask(gateway, place, "job")).status_code == 402, "what it was charged has spent the budget"


async def test_metrics_show_what_limits_have_left(start: Start) -> None:
    gateway = await start(
        prices=PRICES,
        teams={"red": {"budget": {"limit_usd": 1.0}}},
        models={"sim/*": {"rate_limit": {"requests": 10, "window": "1d"}}},
        virtual_keys={"team-a": {"value": KEY_A, "team": "red", "rate_limit": {"requests": 4, "window": "1d"}}},
        auth={"admin_key": ADMIN_KEY},
    )
    admin = {"authorization": f"Bearer {ADMIN_KEY}"}
    made = (await gateway.post("/api/keys", {"name": "m", "budget": {"limit_usd": 2.0}}, headers=admin)).json()
    path, body = PLACES["openai"]
    for key in (KEY_A, made["value"]):
        answer = await gateway.post(path, body, headers={"x-bf-vk": key, "x-bf-run-id": "nightly"})
        assert answer.status_code == 200
    text = (await gateway.http.get("/metrics", headers=admin)).text
    found = dict(
        line.removeprefix("finops_limit_headroom_ratio").rsplit(" ", 1)
        for line in text.splitlines()
        if line.startswith("finops_limit_headroom_ratio")
    )
    assert found['{kind="requests",scope="key:team-a",window="1d"}'] == "0.75"
    assert found['{kind="requests",scope="model:sim/*",window="1d"}'] == "0.8"
    assert {"finops_limit_runs 2.0", "finops_limit_provider_batches 0.0"} <= set(text.splitlines())  # a key's own runs
    for scope in ("team:red", f"key:{made['id']}"):
        assert 0.9 < float(found[f'{{kind="budget",scope="{scope}",window="1d"}}']) < 1, found
