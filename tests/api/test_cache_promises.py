"""What the cache promises besides: for every SDK, on every replica, to the micro-USD, and when its store dies."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anthropic
import pytest
from google import genai
from google.genai import types

from bench.redis_servers import Server
from shared.cache import keyspace
from simulator.serve import RunningSimulator
from tests.api.conftest import CHAT, KEY_A, KEY_B, Gateway
from tests.api.test_cache import ADMIN, CHATS, ask, cached_gateway, status
from tests.waiting import wait_until

Start = Callable[..., Awaitable[Gateway]]


@pytest.fixture
def own_store(tmp_path: Path) -> Any:
    server = Server(tmp_path / "own", "--save", "", "--appendonly", "no")
    yield server.start()
    server.kill()


def without_id(answer: Any) -> dict[str, Any]:
    """An answer as its SDK shows it, without what names the HTTP exchange."""
    found: dict[str, Any] = answer.model_dump(exclude={"sdk_http_response", "create_time"})
    return found


async def stored(gateway: Gateway) -> None:
    await gateway.services.inference.cache.store.flush()


@pytest.mark.parametrize("tools", [False, True])
async def test_anthropics_sdk_sees_no_difference_between_a_hit_and_a_call(
    start: Start, sim: RunningSimulator, tools: bool
) -> None:
    gateway = await cached_gateway(start)
    asked: dict[str, Any] = {"model": "sim/gpt-4o", "max_tokens": 50, "messages": CHAT["messages"]}
    if tools:
        weather = {"name": "weather", "description": "The weather.", "input_schema": {"type": "object"}}
        asked |= {"tools": [weather], "tool_choice": {"type": "any"}}
    async with anthropic.AsyncAnthropic(base_url=f"{gateway.url}/anthropic", api_key=KEY_A, max_retries=0) as sdk:
        first = await sdk.messages.create(**asked)
        await stored(gateway)
        again = await sdk.messages.with_raw_response.create(**asked)
        assert again.headers["cache-status"].startswith("finops; hit")
        assert without_id(await again.parse()) == without_id(first)
        async with sdk.messages.stream(**asked) as stream:
            events = [event.type async for event in stream]
            streamed = await stream.get_final_message()
        assert events[0] == "message_start" and events[-1] == "message_stop"
        assert without_id(streamed)["content"] == without_id(first)["content"]
        assert (streamed.stop_reason, streamed.usage.output_tokens) == (first.stop_reason, first.usage.output_tokens)
    assert len(sim.requests) == 1


@pytest.fixture
async def google(start: Start) -> AsyncIterator[tuple[Gateway, genai.Client]]:
    gateway = await cached_gateway(start)
    client = genai.Client(api_key=KEY_A, http_options=types.HttpOptions(base_url=f"{gateway.url}/genai"))
    yield gateway, client
    await client.aio.aclose()
    client.close()


@pytest.mark.parametrize("tools", [False, True])
async def test_googles_sdk_sees_no_difference_between_a_hit_and_a_call(
    google: tuple[Gateway, genai.Client], sim: RunningSimulator, tools: bool
) -> None:
    gateway, sdk = google
    weather = types.FunctionDeclaration(name="weather", parameters=types.Schema(type="OBJECT", properties={}))
    config = types.GenerateContentConfig(
        temperature=0.5,
        tools=[types.Tool(function_declarations=[weather])] if tools else None,
        tool_config=types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="ANY"))
        if tools
        else None,
    )
    asked: dict[str, Any] = {"model": "sim/gpt-4o", "contents": "hello", "config": config}
    first = await sdk.aio.models.generate_content(**asked)
    await stored(gateway)
    again = await sdk.aio.models.generate_content(**asked)
    assert without_id(again) == without_id(first)
    assert again.sdk_http_response.headers["cache-status"].startswith("finops; hit")
    pieces = [piece async for piece in await sdk.aio.models.generate_content_stream(**asked)]
    parts = [part for piece in pieces for part in piece.candidates[0].content.parts or ()]
    if tools:
        assert [part.function_call.name for part in parts if part.function_call] == ["weather"]
    else:
        assert "".join(part.text or "" for part in parts) == first.text
    assert pieces[-1].candidates[0].finish_reason == first.candidates[0].finish_reason
    assert len(sim.requests) == 1


async def test_a_purge_holds_on_every_replica_and_removes_the_texts(start: Start, sim: RunningSimulator) -> None:
    one, other = await cached_gateway(start), await cached_gateway(start)
    secret = {**CHAT, "messages": [{"role": "user", "content": "What is my Geheimnis about?"}]}
    await ask(one, secret)
    assert status(await ask(other, secret)).startswith("hit")
    store = one.services.commands
    assert await store.execute("KEYS", f"{keyspace.ENTRIES}*")
    await one.http.post("/api/cache/purge", json={"scope": "key:team-a"}, headers=ADMIN)
    assert await store.execute("KEYS", f"{keyspace.ENTRIES}*") == []
    assert status(await ask(other, secret)) == "fwd=miss; stored"
    key = (await one.http.post("/api/keys", json={"name": "passing"}, headers=ADMIN)).json()
    await ask(one, secret, key=key["value"])
    assert len(await store.execute("KEYS", f"{keyspace.ENTRIES}*")) == 2
    gone = await one.http.delete(f"/api/keys/{key['id']}", headers=ADMIN)
    assert gone.status_code == 200, gone.text
    assert len(await store.execute("KEYS", f"{keyspace.ENTRIES}*")) == 1
    assert len(sim.requests) == 3


async def test_what_was_saved_is_the_price_of_the_calls_that_were_not_made(start: Start) -> None:
    gateway = await cached_gateway(start)
    prices, saved = {}, 0
    for number in range(24):
        asked = {**CHAT, "seed": number % 5, "max_tokens": 3 + number % 5, "stream": number % 3 == 1}
        answer = await ask(gateway, asked, key=(KEY_A, KEY_B)[number % 2])
        name = (number % 2, number % 5)
        if name in prices:
            assert status(answer).startswith("hit")
            assert answer.headers["x-bf-cost-usd"] == "0.000000"
            saved += prices[name]
        else:
            prices[name] = micro(await cost_of(gateway, answer))

    async def all_booked() -> Any:
        found = (await gateway.http.get("/api/usage", headers=ADMIN)).json()["total"]
        return found if found["calls"] == 24 else None

    total = await wait_until(all_booked)
    assert micro(total["saved_usd"]) == saved > 0
    assert micro(total["cost_usd"]) == sum(prices.values())
    metrics = (await gateway.http.get("/metrics")).text
    [line] = [line for line in metrics.splitlines() if line.startswith("finops_cache_saved_usd_total{")]
    assert micro(line.rpartition(" ")[2]) == saved


def micro(usd: Any) -> int:
    return round(float(usd) * 1_000_000)


async def cost_of(gateway: Gateway, answer: Any) -> Any:
    """What the call of an answer cost, from the ledger: a stream's headers come before it is known."""
    request_id = answer.headers["x-request-id"]

    async def booked() -> Any:
        return (await gateway.http.get("/api/logs", params={"request_id": request_id}, headers=ADMIN)).json()["data"]

    return (await wait_until(booked))[0]["cost_usd"]


async def test_a_store_that_dies_fails_no_call_and_hits_return_with_it(
    start: Start, sim: RunningSimulator, own_store: Server
) -> None:
    gateway = await cached_gateway(start, cache={"url": own_store.url, "lookup_timeout_s": 0.5})
    await ask(gateway)

    async def hits() -> bool:
        return status(await ask(gateway)).startswith("hit")

    await wait_until(hits)
    own_store.kill()
    for number in range(20):
        answer = await gateway.post(CHATS, {**CHAT, "seed": number % 3}, headers={"x-bf-vk": KEY_A})
        assert (answer.status_code, status(answer)[:8]) == (200, "fwd=miss")
    own_store.start()
    await wait_until(hits)
