"""Pauses over HTTP: begin, list, resume; bad scopes and bodies are refused; jobs tell why they wait."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.api.conftest import ADMIN_KEY, CHAT, Gateway

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
PAUSES = "/api/queue/pauses"


async def pause(gateway: Gateway, scope: str, **body: Any) -> Any:
    return await gateway.http.put(f"{PAUSES}/{quote(scope, safe='')}", json=body, headers=ADMIN)


async def test_a_paused_model_waits_until_it_is_resumed(gateway: Gateway) -> None:
    answer = await pause(gateway, "model:sim/gpt-4*", reason="maintenance", until=4_000_000_000)
    assert answer.json()["until"] == "2096-10-02T07:06:40.000Z"
    answer = await pause(gateway, "model:sim/gpt-4*", reason="maintenance")
    assert answer.status_code == 200
    assert answer.json()["scope"] == "model:sim/gpt-4*"
    waiting, other = await gateway.submit(), await gateway.submit({**CHAT, "model": "sim/o1"})
    assert await gateway.worker.work_off() == 1
    shown = (await gateway.http.get(f"/v1/async/jobs/{waiting}")).json()
    assert (shown["status"], shown["paused_by"]) == (
        "pending", [{"scope": "model:sim/gpt-4*", "reason": "maintenance", "until": None}],
    )  # fmt: skip
    listed = (await gateway.http.get("/v1/async/jobs", params={"status": "pending"})).json()["data"]
    assert listed[0]["paused_by"] == shown["paused_by"]
    assert "paused_by" not in (await gateway.http.get(f"/v1/async/jobs/{other}")).json()
    metrics = (await gateway.http.get("/metrics", headers=ADMIN)).text
    assert "finops_queue_pauses 1.0" in metrics
    (stored,) = (await gateway.http.get(PAUSES, headers=ADMIN)).json()["data"]
    assert (stored["reason"], stored["until"]) == ("maintenance", None)
    answer = await gateway.http.delete(f"{PAUSES}/{quote('model:sim/gpt-4*', safe='')}", headers=ADMIN)
    assert (answer.status_code, answer.json()["deleted"]) == (200, True)
    assert await gateway.worker.work_off() == 1
    again = await gateway.http.delete(f"{PAUSES}/all", headers=ADMIN)
    assert again.status_code == 404


@pytest.mark.parametrize(
    ("scope", "body", "param"),
    [
        ("everything", {"reason": "r"}, "scope"), ("key:", {"reason": "r"}, "scope"),
        ("all", {}, "reason"), ("all", {"reason": ""}, "reason"), ("all", {"reason": "x" * 501}, "reason"),
        ("all", {"reason": "r", "until": "2020-01-01T00:00:00Z"}, "until"),
        ("all", {"reason": "r", "until": "soon"}, "until"),
        ("all", {"reason": "r", "for": "ever"}, "for"),
    ],
)  # fmt: skip
async def test_bad_pauses_are_refused(gateway: Gateway, scope: str, body: dict[str, Any], param: str) -> None:
    answer = await pause(gateway, scope, **body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_only_administrators_pause(gateway: Gateway) -> None:
    for method, path in (("GET", PAUSES), ("PUT", f"{PAUSES}/all"), ("DELETE", f"{PAUSES}/all")):
        answer = await gateway.http.request(method, path, json={"reason": "r"} if method == "PUT" else None)
        assert answer.status_code in {401, 403}
