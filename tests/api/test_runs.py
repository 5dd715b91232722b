"""Runs: calls, streams, jobs and batches under one id, capped together (contract 9 and 15)."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from simulator.serve import RunningSimulator
from tests.api.batch_work import work_off
from tests.api.conftest import ADMIN_KEY, CHAT, KEY_A, KEY_B, Gateway, Start

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
PRICES = {"sim/*": {"input": 1, "output": 10}, "openai/*": {"input": 1, "output": 10}}
BODY = {**CHAT, "max_tokens": 20}
ESTIMATE_USD = 0.0003  # 20 tokens of output at 10 USD per million, and a prompt of a few
SURFACES = {
    "openai": ("/openai/chat/completions", BODY),
    "responses": ("/v1/responses", {"model": "sim/gpt-4o", "input": "hello", "max_output_tokens": 20}),
    "anthropic": ("/anthropic/v1/messages", BODY),
    "azure": ("/openai/deployments/sim/gpt-4o/chat/completions?api-version=2024-10-21", BODY),
    "plain HTTP": ("/v1/async/chat/completions", BODY),
}


@pytest.fixture
async def shared(start: Start) -> Gateway:
    """A gateway with two keys of one team, and one of another."""
    return await start(
        auth={"admin_key": ADMIN_KEY, "require_virtual_key": False},
        prices=PRICES,
        virtual_keys={
            "first": {"value": KEY_A, "team": "agents"},
            "second": {"value": KEY_B, "team": "agents"},
            "third": {"value": "sk-bf-third-0123456789"},
        },
    )


def of_run(run_id: str = "agent-7", budget: str = "", key: str = KEY_A, **more: str) -> dict[str, str]:
    budgets = {"x-bf-run-budget-usd": budget} if budget else {}
    return {"x-bf-vk": key, "x-bf-run-id": run_id, **budgets, **more}


async def booked(gateway: Gateway) -> None:
    billing = gateway.services.inference._billing
    assert billing
    await billing.ledger.flush()


async def run_at(gateway: Gateway, run_id: str = "agent-7", key: str = KEY_A) -> dict[str, Any]:
    await booked(gateway)
    answer = await gateway.http.get(f"/v1/runs/{run_id}", headers={"x-bf-vk": key})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("surface", sorted(SURFACES))
async def test_a_run_counts_what_every_surface_spends_and_refuses_past_its_budget(
    shared: Gateway, surface: str
) -> None:
    path, body = SURFACES[surface]
    answer = await shared.post(path, body, headers=of_run(budget="0.000001"))
    assert answer.status_code in {200, 202}, answer.text
    await shared.worker.work_off()
    refused = await shared.post(path, body, headers=of_run())
    assert refused.status_code == 402, refused.text
    if surface != "anthropic":
        error = refused.json()["error"]
        assert error["code"] == "run_budget_exceeded"
        assert "run agent-7 is spent: of $0.000001" in error["message"]
    assert refused.headers["x-should-retry"] == "false"
    run = await run_at(shared)
    assert run["budget_usd"] == 0.000001
    assert run["spent_usd"] > 0
    assert run["reserved_usd"] == 0
    counted = (0, 1) if surface == "plain HTTP" else (1, 0)
    assert (run["calls"], run["jobs"]) == counted, "a refused request is not counted"
    assert run["created_at"].endswith("Z")
    assert run["created_at"] <= run["last_used_at"]


async def test_a_job_holds_its_estimate_until_it_ends(shared: Gateway) -> None:
    path, body = SURFACES["openai"]
    assert (await shared.post(path, body, headers=of_run(**{"x-bf-async": "true"}))).status_code == 200
    before = await run_at(shared)
    assert (before["budget_usd"], before["spent_usd"], before["jobs"]) == (None, 0, 1)
    assert 0 < before["reserved_usd"] <= ESTIMATE_USD
    await shared.worker.work_off()
    after = await run_at(shared)
    assert (after["reserved_usd"], after["spent_usd"] > 0) == (0, True)


async def test_the_first_budget_holds_and_later_ones_may_only_lower_it(shared: Gateway) -> None:
    path, body = SURFACES["openai"]
    for asked, held in (("", None), ("1", 1), ("2", 1), ("0.5", 0.5), ("", 0.5)):
        assert (await shared.post(path, body, headers=of_run(budget=asked))).status_code == 200
        assert (await run_at(shared))["budget_usd"] == held
    spent = (await run_at(shared))["spent_usd"]
    below = f"{spent / 2:.6f}"
    assert (await shared.post(path, body, headers=of_run(budget=below))).status_code == 402
    assert (await run_at(shared))["budget_usd"] == float(below)


@pytest.mark.parametrize(
    "budget",
    ["0", "-1", "nan", "inf", "1e999", "", "abc", "1_0", "0.0000001", "1e10", "\u0661", "0x1", "1,5", "5" * 5000],
)
async def test_an_unusable_budget_is_refused(shared: Gateway, sim: RunningSimulator, budget: str) -> None:
    path, body = SURFACES["openai"]
    headers = httpx.Headers({**of_run(), "x-bf-run-budget-usd": budget}, encoding="utf-8")
    refused = await shared.post(path, body, headers=headers)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "x-bf-run-budget-usd")
    assert len(refused.text) < 500
    assert sim.log.entries == []


@pytest.mark.parametrize("run_id", ["", "a b", "a/b", ".a", "x" * 129, "\u00e9", "a\tb"])
async def test_an_unusable_id_is_refused(shared: Gateway, run_id: str) -> None:
    path, body = SURFACES["openai"]
    refused = await shared.post(path, body, headers=httpx.Headers(of_run(run_id), encoding="utf-8"))
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "x-bf-run-id")


async def test_the_metadata_names_a_run_where_headers_cannot(shared: Gateway) -> None:
    path, body = SURFACES["openai"]
    mine = {"x-bf-vk": KEY_A}
    for metadata in ({"run_id": "from-body"}, {"run_id": "unused"}):
        headers = of_run("from-header") if metadata["run_id"] == "unused" else mine
        assert (await shared.post(path, {**body, "metadata": metadata}, headers=headers)).status_code == 200
    assert (await run_at(shared, "from-body"))["calls"] == 1
    assert (await run_at(shared, "from-header"))["calls"] == 1
    assert (await shared.http.get("/v1/runs/unused", headers=mine)).status_code == 404
    for unusable in (7, "a b", ["x"]):
        refused = await shared.post(path, {**body, "metadata": {"run_id": unusable}}, headers=mine)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "metadata.run_id")
    assert (await shared.post(path, {**body, "metadata": "text"}, headers=mine)).status_code in {200, 400}
    lonely = await shared.post(path, body, headers={**mine, "x-bf-run-budget-usd": "1"})
    assert (lonely.status_code, lonely.json()["error"]["param"]) == (400, "x-bf-run-id")


async def test_a_run_belongs_to_its_keys_team_else_to_its_key(shared: Gateway) -> None:
    path, body = SURFACES["openai"]
    third = "sk-bf-third-0123456789"
    for key in (KEY_A, KEY_B, third):
        assert (await shared.post(path, body, headers=of_run(key=key))).status_code == 200
    assert (await run_at(shared))["calls"] == 2
    assert (await run_at(shared, key=third))["calls"] == 1
    unknown = await shared.http.get("/v1/runs/other", headers={"x-bf-vk": KEY_A})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "run_not_found")


async def test_administrators_list_all_runs_the_last_used_first(shared: Gateway) -> None:
    path, body = SURFACES["openai"]
    for headers in (of_run("one"), of_run("two", key="sk-bf-third-0123456789"), {"x-bf-run-id": "three"}):
        assert (await shared.post(path, body, headers=headers)).status_code == 200
    first = (await shared.http.get("/api/runs?limit=2", headers=ADMIN)).json()
    assert [(run["id"], run["team"], run["key"]) for run in first["data"]] == [
        ("three", None, None),
        ("two", None, "third"),
    ]
    assert first["has_more"] is True
    rest = (await shared.http.get(f"/api/runs?limit=2&after={first['last_id']}", headers=ADMIN)).json()
    assert [(run["id"], run["team"], rest["has_more"]) for run in rest["data"]] == [("one", "agents", False)]
    assert (await shared.http.get("/api/runs?after=x", headers=ADMIN)).status_code == 400
    assert (await shared.http.get("/api/runs", headers={"x-bf-vk": KEY_A})).status_code == 401


async def test_an_empty_list_of_runs_has_no_cursor(shared: Gateway) -> None:
    page = (await shared.http.get("/api/runs", headers=ADMIN)).json()
    assert (page["data"], page["last_id"], page["has_more"]) == ([], None, False)


async def test_a_failed_job_runs_again_within_its_run(shared: Gateway, sim: RunningSimulator) -> None:
    sim.script(model="gpt-4o", times=1, status=500)
    path, body = SURFACES["openai"]
    submitted = await shared.post(path, body, headers=of_run(budget="0.000001", **{"x-bf-async": "true"}))
    await shared.worker.work_off()
    retry = f"/v1/async/jobs/{submitted.headers['x-bf-async-id']}/retry"
    assert (await shared.post(path, body, headers=of_run())).status_code == 200
    await booked(shared)
    refused = await shared.post(retry, headers={"x-bf-vk": KEY_A})
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "run_budget_exceeded")


async def test_lines_of_a_batch_are_jobs_of_its_run(shared: Gateway) -> None:
    mine = {"x-bf-vk": KEY_A, "x-bf-provider": "finops"}
    requests = [
        {"custom_id": str(at), "method": "POST", "url": "/v1/chat/completions", "body": BODY} for at in range(3)
    ]
    file = {"file": ("a.jsonl", "\n".join(map(json.dumps, requests)).encode())}
    uploaded = await shared.http.post("/v1/files", files=file, data={"purpose": "batch"}, headers=mine)
    batch = {"input_file_id": uploaded.json()["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    created = await shared.post("/v1/batches", {**batch, "metadata": {"run_id": "nightly"}}, headers=mine)
    assert created.status_code == 200, created.text
    await work_off(shared, created.json()["id"])
    run = await run_at(shared, "nightly")
    assert (run["jobs"], run["calls"], run["spent_usd"] > 0, run["reserved_usd"]) == (3, 0, True, 0)


async def test_what_is_forwarded_unread_is_a_call_of_its_run(shared: Gateway) -> None:
    await shared.post("/v1/files?provider=sim", headers=of_run())
    assert (await run_at(shared))["calls"] == 1


async def test_64_agents_on_4_processes_never_pass_their_runs_budget(start: Start) -> None:
    budget = 0.002
    gateways = [await start(prices=PRICES, virtual_keys={"a": {"value": KEY_A}}) for _ in range(4)]
    watched: list[float] = []
    ended = asyncio.Event()

    async def agent(number: int) -> int:
        gateway, made = gateways[number % 4], 0
        headers = of_run(budget=str(budget), **({"x-bf-async": "true"} if number % 8 > 3 else {}))
        while True:
            answer = await gateway.post("/v1/chat/completions", {**BODY, "stream": number % 8 < 2}, headers=headers)
            if answer.status_code == 402:
                assert answer.json()["error"]["code"] == "run_budget_exceeded"
                return made
            assert answer.status_code == 200, answer.text
            made += 1

    async def watch() -> None:
        while not ended.is_set():
            found = await gateways[0].http.get("/v1/runs/agent-7", headers={"x-bf-vk": KEY_A})
            if found.status_code == 200:
                watched.append(found.json()["spent_usd"] + found.json()["reserved_usd"])
            await asyncio.sleep(0)

    watcher = asyncio.create_task(watch())
    made = sum(await asyncio.gather(*(agent(number) for number in range(64))))
    ended.set()
    await watcher
    await gateways[0].worker.work_off()
    for gateway in gateways:
        run = await run_at(gateway)
    assert made == run["calls"] + run["jobs"]
    assert run["reserved_usd"] == 0
    assert max(*watched, run["spent_usd"]) <= budget + ESTIMATE_USD
