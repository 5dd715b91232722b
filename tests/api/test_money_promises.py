"""Promises about money on every surface (contract 9 and 15); ``tests/architecture`` has a table of all of them."""

import csv
import io
import re
from typing import Any

import httpx
import orjson
import pytest

from simulator.serve import RunningSimulator
from tests.api.conftest import ADMIN_KEY, CHAT, KEY_A, KEY_B, Gateway, Start
from tests.api.provider_batch_work import FIELDS, create, entries, follow_to_the_end, gateway_with, line, upload
from tests.rogue import rogue_upstream
from worker.batch_rescue import LOOK_MS

CHAT_FIELDS = {"messages": CHAT["messages"]}
GENERATE = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
MODEL = "sim/gpt-4o"
SURFACES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"model": MODEL, **CHAT_FIELDS}),
    "streams": ("/v1/chat/completions", {"model": MODEL, **CHAT_FIELDS, "stream": True}),
    "jobs": ("/v1/async/chat/completions", {"model": MODEL, **CHAT_FIELDS}),
    "completions": ("/v1/completions", {"model": MODEL, "prompt": "hello"}),
    "responses": ("/v1/responses", {"model": MODEL, "input": "hello"}),
    "embeddings": ("/v1/embeddings", {"model": MODEL, "input": "hello"}),
    "images": ("/v1/images/generations", {"model": MODEL, "prompt": "hello"}),
    "speech": ("/v1/audio/speech", {"model": MODEL, "input": "hello", "voice": "alloy"}),
    "messages": ("/anthropic/v1/messages", {"model": MODEL, **CHAT_FIELDS, "max_tokens": 20}),
    "generate": (f"/genai/v1beta/models/{MODEL}:generateContent", GENERATE),
    "azure": (f"/openai/deployments/{MODEL}/chat/completions?api-version=2024-10-21", CHAT_FIELDS),
}
everywhere = pytest.mark.parametrize("surface", sorted(SURFACES))
PRICES = {"sim/*": {"input": 1, "output": 10, "image": 0.01, "million_characters": 15}}


async def booked(gateway: Gateway) -> None:
    billing = gateway.services.inference._billing
    assert billing
    await billing.ledger.flush()


async def ask(gateway: Gateway, surface: str, key: str = KEY_A, **headers: str) -> httpx.Response:
    path, body = SURFACES[surface]
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await gateway.post(path, body, headers={"x-bf-vk": key, **named})


@everywhere
async def test_every_surface_refuses_what_has_no_price(start: Start, sim: RunningSimulator, surface: str) -> None:
    gateway = await start(virtual_keys={"a": {"value": KEY_A, "budget": {"limit_usd": 1}}, "b": {"value": KEY_B}})
    refused = await ask(gateway, surface)
    assert refused.status_code == 402, refused.text
    assert refused.headers["x-should-retry"] == "false"
    assert '[prices.\\"sim/gpt-4o\\"]' in refused.text
    if surface not in {"messages", "generate"}:
        assert refused.json()["error"]["code"] == "price_unknown"
    capped = await ask(gateway, surface, KEY_B, x_bf_run_id="r", x_bf_run_budget_usd="1")
    assert capped.status_code == 402, "the cap of a run is a budget too"
    assert sim.log.entries == []
    assert (await ask(gateway, surface, KEY_B)).status_code in {200, 202}, "without a budget it passes"


@everywhere
@pytest.mark.parametrize("kind", ["budget", "requests"])
async def test_every_surface_names_the_limit_that_binds(start: Start, surface: str, kind: str) -> None:
    limits = {
        "budget": {"budget": {"limit_usd": 0.000001, "window": "1M"}},
        "requests": {"rate_limit": {"requests": 1, "window": "1M"}},
    }
    gateway = await start(prices=PRICES, virtual_keys={"a": {"value": KEY_A, **limits[kind]}})
    assert (await ask(gateway, "chat")).status_code == 200
    await booked(gateway)
    refused = await ask(gateway, surface)
    assert refused.status_code == (402 if kind == "budget" else 429), refused.text
    name = "udget" if kind == "budget" else "imit of requests"
    assert f"{name} of key:a for this month (UTC) is" in refused.text
    left = r"\$0 is left" if kind == "budget" else "1, of which 0 are left"
    assert re.search(left, refused.text)
    assert re.search(r"until \d{4}-\d\d-01T00:00:00", refused.text), "when the month turns"


@everywhere
async def test_every_surface_keeps_the_dimensions_that_a_key_fixes(
    start: Start, sim: RunningSimulator, surface: str
) -> None:
    gateway = await start(virtual_keys={"a": {"value": KEY_A, "dimensions": {"customer": "acme"}}})
    refused = await ask(gateway, surface, x_bf_dim_customer="globex")
    assert refused.status_code == 400, refused.text
    assert "x-bf-dim-customer" in refused.text
    if surface not in {"messages", "generate"}:
        assert refused.json()["error"]["code"] == "dimension_fixed"
    assert sim.log.entries == []


async def test_a_batchs_dimensions_are_checked_too(start: Start, sim: RunningSimulator) -> None:
    gateway = await start(virtual_keys={"a": {"value": KEY_A, "dimensions": {"customer": "acme"}}})
    for provider in ("sim", "finops"):
        mine = {"x-bf-vk": KEY_A, "x-bf-dim-customer": "globex", "x-bf-provider": provider}
        refused = await gateway.post("/v1/batches", {"input_file_id": "file_1", **FIELDS}, headers=mine)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "dimension_fixed"), provider
    assert sim.log.entries == []


async def test_a_runs_cap_binds_a_providers_batch(start: Start, sim: RunningSimulator) -> None:
    gateway = await gateway_with(start, virtual_keys={"b": {"value": KEY_B}})
    file_id = await upload(gateway, line("a"), line("b"))
    sent = len(sim.log.entries)
    mine = {"x-bf-vk": KEY_A, "x-bf-provider": "sim", "x-bf-run-id": "night"}
    refused = await create(gateway, file_id, {**mine, "x-bf-run-budget-usd": "0.01"})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (402, "run_budget_exceeded"), refused.text
    assert "run night" in error["message"]
    assert not [entry for entry in sim.log.entries[sent:] if entry.path == "/v1/batches"]
    run = (await gateway.http.get("/v1/runs/night", headers={"x-bf-vk": KEY_A})).json()
    assert "spent_usd" not in run or (run["spent_usd"], run["reserved_usd"]) == (0, 0)


async def test_a_runs_cap_binds_what_is_forwarded(start: Start, sim: RunningSimulator) -> None:
    prices = {**PRICES, "sim/threads/runs": {"request": 0.5}}
    gateway = await start(prices=prices, virtual_keys={"a": {"value": KEY_A}})
    run = {"x_bf_run_id": "r", "x_bf_run_budget_usd": "0.000001"}
    assert (await ask(gateway, "chat", **run)).status_code == 200
    await booked(gateway)
    sent = len(sim.log.entries)
    mine = {"x-bf-vk": KEY_A, "x-bf-provider": "sim", "x-bf-run-id": "r"}
    refused = await gateway.post("/v1/threads/runs", {}, headers=mine)
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "run_budget_exceeded"), refused.text
    unpriced = await gateway.post("/v1/vector_stores", {}, headers=mine)
    assert unpriced.status_code == 402, "the cap is known to the store alone"
    assert len(sim.log.entries) == sent
    assert (await gateway.post("/v1/threads/runs", {}, headers={**mine, "x-bf-run-id": "other"})).status_code == 404


async def test_naming_the_provider_passes_no_limit(start: Start, sim: RunningSimulator) -> None:
    gateway = await start(prices=PRICES, virtual_keys={"a": {"value": KEY_A, "budget": {"limit_usd": 0.000001}}})
    assert (await ask(gateway, "chat", x_bf_provider="sim")).status_code == 200
    await booked(gateway)
    sent = len(sim.log.entries)
    for surface in SURFACES:
        assert (await ask(gateway, surface, x_bf_provider="sim")).status_code == 402, surface
    assert len(sim.log.entries) == sent


async def test_a_batch_is_looked_at_often_enough_to_be_booked_within_a_minute(start: Start) -> None:
    gateway = await gateway_with(start)
    answer = await create(gateway, await upload(gateway, line("a")))
    assert answer.status_code == 200, answer.text
    commands = gateway.services.commands
    _, due_ms = await commands.execute("ZRANGE", "finops:provider-batches", 0, -1, "WITHSCORES")
    seconds, micro = await commands.execute("TIME")
    now_ms = int(seconds) * 1000 + int(micro) // 1000
    assert float(due_ms) - now_ms <= LOOK_MS == 15_000, "three quarters of a minute are left for the rest"


async def savings_of(gateway: Gateway) -> tuple[dict[str, float], dict[str, float]]:
    """What the usage and the FOCUS export say was saved, USD by batch, tier and cache."""
    admin = {"authorization": f"Bearer {ADMIN_KEY}"}
    total = (await gateway.http.get("/api/usage?per=total", headers=admin)).json()["total"]
    exported = await gateway.http.get("/api/usage/export?format=focus", headers=admin)
    assert exported.status_code == 200, exported.text
    rows = list(csv.DictReader(io.StringIO(exported.text)))
    assert rows
    parts = ("batch", "tier", "cache")
    in_focus = {part: sum(float(row[f"x_SavedBy{part.title()}Cost"]) for row in rows) for part in parts}
    listed = sum(float(row["ListCost"]) - float(row["EffectiveCost"]) for row in rows)
    assert listed == pytest.approx(sum(in_focus.values())), "list cost less effective cost, but for discounts"
    return {part: total[f"saved_by_{part}_usd"] for part in parts}, in_focus


async def test_savings_by_tier_and_prompt_cache_are_in_usage_and_focus(start: Start) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 300, "prompt_tokens_details": {"cached_tokens": 400}}
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-5", "choices": [choice]}
    async with rogue_upstream() as upstream:
        upstream.answer("200 OK", orjson.dumps({**answer, "service_tier": "flex", "usage": usage}))
        openai = {"base_url": upstream.url, "keys": [{"value": "sk-upstream-0123456789"}]}
        gateway = await start(providers={"openai": openai}, virtual_keys={"a": {"value": KEY_A}})
        body = {"model": "openai/gpt-5", **CHAT_FIELDS, "service_tier": "flex"}
        called = await gateway.post("/v1/chat/completions", body, headers={"x-bf-vk": KEY_A})
        assert called.status_code == 200, called.text
        await booked(gateway)
    # 600 * 0.625 + 400 * 0.0625 + 300 * 5 a million are paid; without the cache 2,125, and at the standard tier 4,250.
    expected = {"batch": 0, "tier": 0.002125, "cache": 0.000225}
    for found in await savings_of(gateway):
        assert found == pytest.approx(expected)


async def test_savings_by_a_providers_batch_are_in_usage_and_focus(start: Start) -> None:
    gateway = await gateway_with(start)
    assert (await create(gateway, await upload(gateway, line("a"), line("b")))).status_code == 200
    await follow_to_the_end(gateway)
    paid = sum(entry["cost"] for entry in await entries(gateway)) / 1e6
    assert paid > 0
    for found in await savings_of(gateway):
        assert found == pytest.approx({"batch": paid, "tier": 0, "cache": 0}), "half price"
