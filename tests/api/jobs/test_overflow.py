"""``x-bf-async: overflow``: an answer where there is room, a job where there is none, the error everywhere else."""

from typing import Any

import pytest

from simulator.serve import RunningSimulator
from tests.api.conftest import CHAT, Gateway

OVERFLOW = {"x-bf-async": "overflow"}


async def ask(gateway: Gateway, model: str = "sim/gpt-4o", path: str = "/openai/chat/completions", **body: Any) -> Any:
    return await gateway.post(path, {**CHAT, "model": model, **body}, headers=OVERFLOW)


async def test_a_call_is_answered_where_there_is_room(gateway: Gateway) -> None:
    answer = await ask(gateway)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"]
    assert "x-bf-async-id" not in answer.headers
    translated = await gateway.post(
        "/anthropic/v1/messages", {**CHAT, "model": "sim/gpt-4o", "max_tokens": 9}, headers=OVERFLOW
    )
    assert translated.json()["content"]


@pytest.mark.parametrize("fault", ["status=429&retry_after=30", "status=429", "status=503"])
async def test_a_call_becomes_a_job_where_the_provider_has_none(
    gateway: Gateway, sim: RunningSimulator, fault: str
) -> None:
    sim.script(model="gpt-4o", times=3, status=int(fault[7:10]))
    answer = await ask(gateway)
    assert (answer.status_code, answer.json()["choices"], answer.json()["status"]) == (200, [], "queued")
    job_id = answer.headers["x-bf-async-id"]
    assert (await gateway.poll(job_id)).json()["status"] == "queued"
    metrics = (await gateway.http.get("/metrics")).text
    assert "finops_jobs_overflowed_total" in metrics


async def test_anthropic_calls_become_jobs_as_well(gateway: Gateway, sim: RunningSimulator) -> None:
    sim.script(model="gpt-4o", times=3, status=429)
    answer = await gateway.post(
        "/anthropic/v1/messages", {**CHAT, "model": "sim/gpt-4o", "max_tokens": 9}, headers=OVERFLOW
    )
    assert answer.status_code == 200
    assert answer.headers["x-bf-async-status"] == "queued"


async def test_a_full_provider_and_an_open_circuit_make_jobs(gateway: Gateway, sim: RunningSimulator) -> None:
    health = gateway.services.inference._board["sim"]
    health.gate.set_limit(0)
    assert (await ask(gateway)).json()["status"] == "queued"
    health.gate.set_limit(10)
    sim.script(model="gpt-4o", times=10, status=500)
    answers = [await ask(gateway) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [*[500] * 5, 200]
    assert answers[-1].json()["status"] == "queued"


@pytest.mark.parametrize("status", [400, 401, 418])
async def test_other_failures_stay_failures(gateway: Gateway, sim: RunningSimulator, status: int) -> None:
    sim.script(model="gpt-4o", times=1, status=status)
    answer = await ask(gateway)
    assert answer.status_code == status
    assert "x-bf-async-id" not in answer.headers


async def test_streams_and_bad_job_headers_are_refused(gateway: Gateway) -> None:
    assert (await ask(gateway, stream=True)).json()["error"]["param"] == "stream"
    headers = {**OVERFLOW, "x-bf-async-priority": "urgent"}
    answer = await gateway.post("/openai/chat/completions", CHAT, headers=headers)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "x-bf-async-priority")


async def test_background_responses_and_plain_submits_are_jobs_anyway(gateway: Gateway) -> None:
    body = {"model": "sim/gpt-4o", "input": "hello", "background": True}
    assert (await gateway.post("/openai/responses", body, headers=OVERFLOW)).json()["status"] == "queued"
    assert (await gateway.post("/v1/async/chat/completions", CHAT, headers=OVERFLOW)).status_code == 202
