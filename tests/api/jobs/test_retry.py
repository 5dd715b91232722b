"""Retries with changes, and the history of all attempts."""

from typing import Any

import pytest

from simulator.serve import RunningSimulator
from tests.api.conftest import ADMIN_KEY, CHAT, KEY_A, KEY_B, Gateway

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
FAILING = {**CHAT, "model": "sim/gpt-4o@status=418"}


async def envelope(gateway: Gateway, job_id: str, **headers: str) -> dict[str, Any]:
    document: dict[str, Any] = (await gateway.http.get(f"/v1/async/jobs/{job_id}", headers=headers)).json()
    return document


async def test_history_shows_every_attempt_over_a_retry_with_another_model(gateway: Gateway) -> None:
    job_id = await gateway.submit(FAILING)
    assert "history" not in await envelope(gateway, job_id)
    await gateway.worker.work_off()
    (first,) = (await envelope(gateway, job_id))["history"]
    assert (first["run"], first["worker"], first["provider"], first["status"]) == (1, "w", "sim", 418)
    assert first["code"]
    changes = {"model": "openai/gpt-4o-mini", "priority": "high", "deadline_s": 600, "fallbacks": ["sim/gpt-4o"]}
    answer = await gateway.post(f"/v1/async/jobs/{job_id}/retry", changes)
    assert (answer.status_code, answer.json()["model"]) == (202, "openai/gpt-4o-mini")
    high = await gateway.http.get(
        "/api/jobs", params={"priority": "high", "model": "openai/gpt-4o-mini"}, headers=ADMIN
    )
    assert [job["id"] for job in high.json()["data"]] == [job_id]
    await gateway.worker.work_off()
    ended = await envelope(gateway, job_id)
    assert ended["status"] == "completed"
    again, last = ended["history"]
    assert again == first
    assert (last["run"], last["provider"], last["model"], last["status"]) == (2, "openai", "gpt-4o-mini", 200)
    assert last["code"] is None
    assert last["input_tokens"] > 0
    assert last["output_tokens"] > 0
    assert last["cost_usd"] > 0
    assert last["started_at"].endswith("Z")
    assert (await gateway.http.get(f"/api/jobs/{job_id}", headers=ADMIN)).json()["history"] == ended["history"]


async def test_attempts_at_fallbacks_are_entries_of_one_run(gateway: Gateway, sim: RunningSimulator) -> None:
    job_id = await gateway.submit({**CHAT, "model": "sim/gpt-4o@status=500", "fallbacks": ["openai/gpt-4o"]})
    await gateway.worker.work_off()
    entries = (await envelope(gateway, job_id))["history"]
    assert [(entry["run"], entry["provider"], entry["status"]) for entry in entries] == [
        (1, "sim", 500), (1, "openai", 200),
    ]  # fmt: skip


async def test_a_retry_with_other_fallbacks_uses_them(gateway: Gateway) -> None:
    job_id = await gateway.submit({**CHAT, "model": "sim/gpt-4o@status=500"})
    await gateway.worker.work_off()
    answer = await gateway.post(f"/api/jobs/{job_id}/retry", {"fallbacks": ["openai/gpt-4o"]}, headers=ADMIN)
    assert answer.status_code == 202
    await gateway.worker.work_off()
    assert [entry["provider"] for entry in (await envelope(gateway, job_id))["history"]] == ["sim", "sim", "openai"]


async def test_a_cancelled_run_is_in_the_history(gateway: Gateway) -> None:
    job_id = await gateway.submit()
    await gateway.worker.claim()
    await gateway.post(f"/v1/async/jobs/{job_id}/cancel")
    (entry,) = (await envelope(gateway, job_id))["history"]
    assert (entry["run"], entry["worker"], entry["status"], entry["code"]) == (1, "w", 409, "job_cancelled")
    assert entry["provider"] is entry["cost_usd"] is None


async def test_a_retry_may_use_what_the_owner_may_use(tenants: Gateway) -> None:
    job_id = await tenants.submit({**CHAT, "model": "openai/gpt-4o@status=418"}, x_bf_vk=KEY_B)
    await tenants.worker.work_off()
    for path, headers in ((f"/v1/async/jobs/{job_id}/retry", {"x-bf-vk": KEY_B}), (f"/api/jobs/{job_id}/retry", ADMIN)):
        answer = await tenants.post(path, {"model": "sim/gpt-4o"}, headers=headers)
        assert answer.status_code == 403
        answer = await tenants.post(path, {"model": "nobody/gpt-4o"}, headers=headers)
        assert answer.status_code == 400
    assert (await tenants.post(f"/v1/async/jobs/{job_id}/retry", {}, headers={"x-bf-vk": KEY_A})).status_code == 404
    answer = await tenants.post(f"/v1/async/jobs/{job_id}/retry", {"priority": "low"}, headers={"x-bf-vk": KEY_B})
    assert answer.status_code == 202
    assert (await tenants.post(f"/api/jobs/{job_id}/retry", {"priority": "low"}, headers=ADMIN)).status_code == 409


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", ""), ("model", 7), ("model", "x" * 257), ("priority", "urgent"), ("priority", ["high"]),
        ("deadline_s", 0), ("deadline_s", True), ("deadline_s", "soon"), ("fallbacks", "openai/gpt-4o"),
        ("fallbacks", ["x"] * 17), ("max_tokens", 1),
    ],
)  # fmt: skip
async def test_invalid_changes_are_named(gateway: Gateway, name: str, value: object) -> None:
    job_id = await gateway.submit()
    for path, headers in (("/v1/async/jobs", {}), ("/api/jobs", ADMIN)):
        answer = await gateway.post(f"{path}/{job_id}/retry", {name: value}, headers=headers)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


async def test_fallbacks_of_a_form_cannot_change(gateway: Gateway, sim: RunningSimulator) -> None:
    files = {"file": ("a.wav", b"RIFF", "audio/wav")}
    data = {"model": "sim/whisper-1@status=418"}
    answer = await gateway.http.post("/v1/async/audio/transcriptions", files=files, data=data)
    job_id = answer.json()["id"]
    await gateway.worker.work_off()
    answer = await gateway.post(f"/v1/async/jobs/{job_id}/retry", {"fallbacks": ["openai/whisper-1"]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "fallbacks")
    answer = await gateway.post(f"/v1/async/jobs/{job_id}/retry", {"model": "openai/whisper-1"})
    assert answer.status_code == 202
