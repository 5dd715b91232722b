"""Jobs that meet a spent window wait for the next one (contract 9 and 15)."""

import re
from datetime import datetime
from typing import Any

import httpx
import pytest

from shared.inference.call import RetryLater
from shared.inference.submission import PARKED
from shared.jobs.model import Claim, Deferral, Priority
from simulator.serve import RunningSimulator
from tests.api.conftest import CHAT, KEY_A, Gateway, Start
from worker.retry import MAX_AGE_S, deferral_after

PATH = "/v1/async/chat/completions"
LIMITS: dict[str, dict[str, Any]] = {
    "budget": {"budget": {"limit_usd": 0.000001, "on_exhausted": "park"}},
    "requests": {"rate_limit": {"requests": 1, "window": "1d", "on_exhausted": "park"}},
    "rolling": {"budget": {"limit_usd": 0.000001, "window": "rolling:1d", "on_exhausted": "park"}},
}
IDS = {"budget": "budget:key:a:1d", "requests": "requests:key:a:1d", "rolling": "budget:key:a:rolling:1d"}
NONE_PARKED = {"budget": 0.0, "requests": 0.0, "tokens": 0.0}
everywhere = pytest.mark.parametrize("limit", sorted(LIMITS))


async def gateway_with(start: Start, limits: dict[str, Any]) -> Gateway:
    return await start(prices={"sim/*": {"input": 1, "output": 10}}, virtual_keys={"a": {"value": KEY_A, **limits}})


async def submit(gateway: Gateway, path: str = PATH, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await gateway.post(path, CHAT, headers={"x-bf-vk": KEY_A, **named})


async def spend(gateway: Gateway) -> None:
    assert (await gateway.post("/v1/chat/completions", CHAT, headers={"x-bf-vk": KEY_A})).status_code == 200
    await booked(gateway)


async def booked(gateway: Gateway) -> None:
    billing = gateway.services.inference._billing
    assert billing
    await billing.ledger.flush()


async def fall_due(gateway: Gateway, *, with_room: bool) -> None:
    """The window's end, as the store sees it."""
    commands = gateway.services.commands
    if with_room:
        for meter in await commands.execute("KEYS", "finops:meter:*"):
            await commands.execute("DEL", meter)
    for job_id in await commands.execute("ZRANGE", "finops:jobs:deferred", 0, -1):
        await commands.execute("ZADD", "finops:jobs:deferred", 1, job_id)


async def envelope_of(gateway: Gateway, submitted: httpx.Response) -> dict[str, Any]:
    answer = await gateway.http.get(f"{PATH}/{submitted.json()['id']}", headers={"x-bf-vk": KEY_A})
    return dict(answer.json())


async def parked_jobs(gateway: Gateway) -> dict[str, float]:
    """The metric, by the kind of the limit."""
    lines = (await gateway.http.get("/metrics")).text.splitlines()
    found = (re.fullmatch(r'finops_queue_parked{limit="(\w+)"} (\S+)', line) for line in lines)
    return {match[1]: float(match[2]) for match in found if match}


@everywhere
async def test_a_job_waits_for_the_next_window_and_then_runs(start: Start, sim: RunningSimulator, limit: str) -> None:
    gateway = await gateway_with(start, LIMITS[limit])
    await spend(gateway)
    parked = await submit(gateway)
    assert parked.status_code == 202, parked.text
    envelope = await envelope_of(gateway, parked)
    assert envelope == {**parked.json(), **envelope}
    assert (envelope["status"], envelope["waiting_for"]) == ("pending", IDS[limit])
    assert datetime.fromisoformat(envelope["eta"]) > datetime.fromisoformat(envelope["created_at"])
    kind = IDS[limit].partition(":")[0]
    assert await parked_jobs(gateway) == {**NONE_PARKED, kind: 1.0}
    assert await gateway.worker.work_off() == 0
    await fall_due(gateway, with_room=False)
    assert await gateway.worker.work_off() == 1, "it looks, and finds no room"
    assert (await envelope_of(gateway, parked))["waiting_for"] == IDS[limit]
    assert len(sim.log.entries) == 1
    assert await parked_jobs(gateway) == {**NONE_PARKED, kind: 1.0}
    await fall_due(gateway, with_room=True)
    assert await gateway.worker.work_off() == 1
    ended = await envelope_of(gateway, parked)
    assert (ended["status"], ended["status_code"]) == ("completed", 200)
    assert "waiting_for" not in ended
    assert await parked_jobs(gateway) == NONE_PARKED
    assert "eta" not in ended
    assert await gateway.services.commands.execute("ZCARD", "finops:holds") == 0
    again = await submit(gateway)
    assert again.json()["waiting_for"] == IDS[limit], "its cost is charged to the window in which it ran"


async def test_a_parked_job_that_is_cancelled_is_not_counted(start: Start) -> None:
    gateway = await gateway_with(start, LIMITS["budget"])
    await spend(gateway)
    jobs = [(await submit(gateway)).json()["id"] for _ in range(2)]
    await gateway.post(f"/v1/async/jobs/{jobs[0]}/cancel", headers={"x-bf-vk": KEY_A})
    assert await parked_jobs(gateway) == {**NONE_PARKED, "budget": 1.0}


@everywhere
async def test_a_deadline_before_the_next_window_is_refused_at_submit(start: Start, limit: str) -> None:
    gateway = await gateway_with(start, LIMITS[limit])
    await spend(gateway)
    refused = await submit(gateway, x_bf_async_deadline="1")
    assert refused.status_code == (429 if limit == "requests" else 402)
    listed = await gateway.http.get("/v1/async/jobs", headers={"x-bf-vk": KEY_A})
    assert listed.json()["data"] == []


async def test_synchronous_calls_are_refused_all_the_same(start: Start) -> None:
    gateway = await gateway_with(start, LIMITS["budget"])
    await spend(gateway)
    refused = await gateway.post("/v1/chat/completions", CHAT, headers={"x-bf-vk": KEY_A})
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget_exceeded")
    assert "$0 is left" in refused.json()["error"]["message"]


async def test_a_parked_job_ends_with_the_refusal_of_a_limit_that_does_not_park(start: Start) -> None:
    limits = {"budgets": [LIMITS["budget"]["budget"], {"limit_usd": 0.000001, "window": "1M"}]}
    gateway = await gateway_with(start, limits)
    await spend(gateway)
    parked = await submit(gateway)
    assert parked.json()["waiting_for"] == IDS["budget"]
    commands = gateway.services.commands
    (day,) = await commands.execute("KEYS", "finops:meter:cost:key:a:1d:*")
    await commands.execute("DEL", day)
    await fall_due(gateway, with_room=False)
    await gateway.worker.work_off()
    ended = await envelope_of(gateway, parked)
    assert (ended["status"], ended["status_code"], ended["error"]["code"]) == ("failed", 402, "budget_exceeded")


async def test_a_repeated_submit_finds_its_parked_job(start: Start) -> None:
    gateway = await gateway_with(start, LIMITS["budget"])
    await spend(gateway)
    first, again = [await submit(gateway, idempotency_key="order-1") for _ in range(2)]
    assert first.json()["id"] == again.json()["id"]
    pending = await submit(gateway, "/openai/chat/completions", x_bf_async="true", idempotency_key="order-2")
    assert (pending.status_code, pending.json()["status"]) == (200, "queued")


def test_a_parked_job_waits_longer_than_one_that_a_provider_sent_away() -> None:
    claim = Claim(
        id="j", token="t", attempt=1, priority=Priority.NORMAL, owner="a", request_type="chat.completions", model="m",
        request_id="r", content_type="application/json", context={}, ttl_s=1, created_ms=0, due_ms=0,
        started_ms=round(MAX_AGE_S * 1000), deadline_ms=0, webhook="", payload=b"{}",
    )  # fmt: skip
    error = ValueError()
    week = RetryLater(7 * 86_400, PARKED, error)  # type: ignore[arg-type]
    assert deferral_after(week, claim) == Deferral(delay_s=7 * 86_400, reason=PARKED)
    assert deferral_after(RetryLater(7 * 86_400, "retry_after", error), claim) is None  # type: ignore[arg-type]
