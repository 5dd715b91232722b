"""The cache as callers meet it: on every surface, whole, streamed and as jobs, with its costs (contract 10)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import orjson
import pytest

from simulator.serve import RunningSimulator
from tests.api.conftest import ADMIN_KEY, CHAT, KEY_A, KEY_B, Gateway
from tests.waiting import wait_until

Start = Callable[..., Awaitable[Gateway]]
PRICES = {"sim/*": {"input": 1_000, "output": 10_000}, "openai/*": {"input": 1_000, "output": 10_000}}
CHATS = "/openai/chat/completions"
EXACT = {"mode": "exact", "lookup_timeout_s": 20}
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}


async def cached_gateway(start: Start, **more: Any) -> Gateway:
    cache = {**EXACT, **more.pop("cache", {})}
    keys = {"team-a": {"value": KEY_A, "team": "red"}, "team-b": {"value": KEY_B, "team": "red"}}
    return await start(cache=cache, prices=PRICES, **{"virtual_keys": keys, **more})


async def ask(
    gateway: Gateway, json: Any = CHAT, path: str = CHATS, key: str = KEY_A, **headers: str
) -> httpx.Response:
    """Send a request, then wait until its answer is stored."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await gateway.post(path, json, headers={"x-bf-vk": key, **named})
    cache = gateway.services.inference.cache
    if cache is not None:
        await cache.store.flush()
    return answer


def status(answer: httpx.Response) -> str:
    return answer.headers["cache-status"].removeprefix("finops; ")


async def test_a_repeat_is_served_from_the_cache_costs_nothing_and_says_what_it_saved(
    start: Start, sim: RunningSimulator
) -> None:
    gateway = await cached_gateway(start)
    first = await ask(gateway)
    assert status(first) == "fwd=miss; stored"
    again = await ask(gateway)
    assert (again.status_code, again.content) == (200, first.content)
    assert status(again).startswith("hit; ttl=3") and status(again).endswith("; detail=exact")
    assert again.headers["x-bf-cache-id"] == first.headers["x-bf-cache-id"]
    assert again.headers["x-bf-cache-hit-type"] == "direct"
    assert int(again.headers["age"]) >= 0
    assert again.headers["x-bf-cost-usd"] == "0.000000"
    assert again.headers["x-bf-saved-usd"] == first.headers["x-bf-cost-usd"]
    assert "x-bf-saved-usd" not in first.headers
    assert len(sim.requests) == 1

    await gateway.services.inference._billing.ledger.flush()
    usage = (await gateway.http.get("/api/usage?group_by=key", headers=ADMIN)).json()["total"]
    assert (usage["calls"], usage["cache_hits"], usage["upstream_attempts"]) == (2, 1, 1)
    assert usage["saved_usd"] == pytest.approx(float(first.headers["x-bf-cost-usd"]))
    assert usage["cost_usd"] == usage["saved_usd"]
    (hit, _) = (await gateway.http.get("/api/logs", headers=ADMIN)).json()["data"]
    assert (hit["cache"], hit["saved_usd"], hit["cost_usd"]) == ("hit", usage["saved_usd"], 0)
    metrics = (await gateway.http.get("/metrics")).text
    assert 'finops_cache_lookups_total{kind="exact",request_type="chat.completions",result="hit"} 1' in metrics
    assert 'finops_cache_saved_usd_total{model="gpt-4o",provider="sim",team="red"}' in metrics


async def test_streams_and_whole_answers_share_an_entry(start: Start, sim: RunningSimulator) -> None:
    gateway = await cached_gateway(start)
    streamed = await ask(gateway, {**CHAT, "stream": True})
    assert status(streamed) == "fwd=miss; stored"
    whole = await ask(gateway)
    assert status(whole).startswith("hit")
    replayed = await ask(gateway, {**CHAT, "stream": True, "stream_options": {"include_usage": True}})
    assert status(replayed).startswith("hit")
    assert replayed.headers["content-type"].startswith("text/event-stream")
    assert replayed.text.endswith("data: [DONE]\n\n")
    chunks = [orjson.loads(line[6:]) for line in replayed.text.splitlines() if line.startswith("data: {")]
    text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
    assert text == whole.json()["choices"][0]["message"]["content"] == _text_of(streamed.text)
    assert chunks[-1]["usage"] == whole.json()["usage"]
    assert len(sim.requests) == 1


def _text_of(events: str) -> str:
    chunks = [orjson.loads(line[6:]) for line in events.splitlines() if line.startswith("data: {")]
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


async def test_the_sdk_sees_no_difference_between_a_hit_and_a_call(start: Start, sim: RunningSimulator) -> None:
    gateway = await cached_gateway(start)
    sdk = gateway.sdk(KEY_A)
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
    for more in ({}, {"tools": tools, "tool_choice": "required"}):
        answers = []
        for _ in range(2):
            answers.append(await sdk.chat.completions.create(**CHAT, **more))
            await gateway.services.inference.cache.store.flush()
            events = [event async for event in await sdk.chat.completions.create(**CHAT, **more, stream=True)]
            calls = [c for e in events if e.choices for c in e.choices[0].delta.tool_calls or ()]
            assert bool(calls) == bool(more)
            assert events[-1].choices[0].finish_reason == answers[0].choices[0].finish_reason
        assert answers[0].model_dump() == answers[1].model_dump()
    assert len(sim.requests) == 2


async def test_other_surfaces_are_served_the_same_entries(start: Start, sim: RunningSimulator) -> None:
    gateway = await cached_gateway(start)
    anthropic = {**CHAT, "max_tokens": 50}
    first = await ask(gateway, anthropic, "/anthropic/v1/messages")
    again = await ask(gateway, anthropic, "/anthropic/v1/messages")
    streamed = await ask(gateway, {**anthropic, "stream": True}, "/anthropic/v1/messages")
    assert status(again).startswith("hit") and "age" in again.headers
    assert status(streamed).startswith("hit") and "event: message_stop" in streamed.text
    assert again.json()["content"] == first.json()["content"]
    genai = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
    path = "/genai/v1beta/models/sim/gpt-4o:generateContent"
    await ask(gateway, genai, path)
    assert status(await ask(gateway, genai, path)).startswith("hit")
    assert status(await ask(gateway, genai, path.replace("generate", "streamGenerate"))).startswith("hit")
    assert len(sim.requests) == 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "sim/embed", "input": "hello"}),
        ("/v1/moderations", {"model": "sim/omni", "input": "hello"}),
        ("/v1/completions", {"model": "sim/gpt", "prompt": "hello"}),
    ],
)
async def test_other_types_are_cached_too(start: Start, sim: RunningSimulator, path: str, body: Any) -> None:
    gateway = await cached_gateway(start)
    first = await ask(gateway, body, path)
    again = await ask(gateway, body, path)
    assert again.content == first.content
    assert status(again).startswith("hit")
    assert len(sim.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cached_response_has_an_id_of_its_own_under_which_it_is_stored(
    start: Start, sim: RunningSimulator, stream: bool
) -> None:
    gateway = await cached_gateway(start)
    body = {"model": "sim/gpt-4o", "input": "hello", "stream": stream}
    first, again = await ask(gateway, body, "/v1/responses"), await ask(gateway, body, "/v1/responses")
    assert status(again).startswith("hit")
    ids = [_response_of(answer, stream)["id"] for answer in (first, again)]
    assert ids[0] != ids[1] and ids[0] not in again.text
    found = await gateway.http.get(f"/v1/responses/{ids[1]}", headers={"x-bf-vk": KEY_A})
    assert (found.status_code, found.json()["id"]) == (200, ids[1])
    assert found.json()["output"] == _response_of(again, stream)["output"]
    assert len([request for request in sim.requests if request.method == "POST"]) == 1
    assert (await gateway.http.get(f"/v1/responses/{ids[1]}", headers={"x-bf-vk": KEY_B})).status_code == 404
    goes_on = await ask(gateway, {**body, "previous_response_id": ids[1]}, "/v1/responses")
    assert goes_on.status_code == 200
    assert status(goes_on) == "fwd=bypass; detail=conversation"


def _response_of(answer: httpx.Response, stream: bool) -> Any:
    if not stream:
        return answer.json()
    last = [line for line in answer.text.splitlines() if line.startswith("data: {")][-1]
    return orjson.loads(last[6:])["response"]


async def test_a_submit_is_answered_at_once_by_a_stored_answer(start: Start, sim: RunningSimulator) -> None:
    gateway = await cached_gateway(start)
    job = {"x_bf_async": "true"}
    missing = await ask(gateway, **job, cache_control="only-if-cached")
    assert (missing.status_code, missing.json()["error"]["code"]) == (504, "not_cached")
    first = await ask(gateway)
    hit = await ask(gateway, **job)
    assert (hit.status_code, hit.content) == (200, first.content)
    assert status(hit).startswith("hit")
    assert hit.headers["x-bf-cost-usd"] == "0.000000"
    assert "x-bf-async-id" not in hit.headers
    for more in ({"idempotency_key": "k1"}, {"x_bf_async_delay": "60"}, {"cache_control": "no-cache"}):
        queued = await ask(gateway, **job, **more)
        assert (queued.status_code, queued.json()["status"]) == (200, "queued"), more
    anthropic = {"model": "sim/gpt-4o", "max_tokens": 50, "messages": CHAT["messages"]}
    await ask(gateway, anthropic, "/anthropic/v1/messages")
    translated = await ask(gateway, anthropic, "/anthropic/v1/messages", **job)
    assert status(translated).startswith("hit") and translated.json()["content"][0]["text"]
    assert (await ask(gateway, {**CHAT, "stream": True}, **job)).status_code == 400
    assert (await ask(gateway, {"model": "sim/x", "prompt": "a"}, "/v1/images/generations", **job)).json()["status"]
    await gateway.services.inference._billing.ledger.flush()
    hits = [call for call in (await gateway.http.get("/api/logs", headers=ADMIN)).json()["data"] if call["cache"]]
    assert [call["job_id"] for call in hits] == ["", ""]


async def test_a_job_is_answered_from_the_cache_and_its_outcome_is_stored(start: Start, sim: RunningSimulator) -> None:
    gateway = await cached_gateway(start)
    bodies = []
    for _ in range(2):
        job_id = await gateway.submit(x_bf_vk=KEY_A, x_bf_async_delay="0.001")  # a job, whatever is stored
        await gateway.worker.work_off()
        await gateway.services.inference.cache.store.flush()
        bodies.append((await gateway.poll(job_id, x_bf_vk=KEY_A)).json())
    assert bodies[0]["choices"][0]["message"]["content"] == bodies[1]["choices"][0]["message"]["content"]
    assert len(sim.requests) == 1
    assert status(await ask(gateway)).startswith("hit")
    await gateway.services.inference._billing.ledger.flush()
    logs = (await gateway.http.get("/api/logs", headers=ADMIN)).json()["data"]
    assert [(call["job_id"], call["cache"], call["cost_usd"] > 0) for call in logs] == [
        ("", "hit", False),
        (job_id, "hit", False),
        (logs[2]["job_id"], "", True),
    ]


async def test_requests_choose_with_the_words_of_rfc_9111(start: Start, sim: RunningSimulator) -> None:
    gateway = await cached_gateway(start)

    async def asked(directives: str) -> str:
        return status(await ask(gateway, cache_control=directives))

    missing = await ask(gateway, cache_control="only-if-cached")
    assert (missing.status_code, missing.json()["error"]["code"]) == (504, "not_cached")
    assert missing.headers["x-should-retry"] == "false"
    assert await asked("no-store") == "fwd=bypass; detail=no-store"
    assert await asked("max-age=60") == "fwd=miss; stored"
    assert (await asked("Max-Age=60, only-if-cached")).startswith("hit")
    assert await asked("no-cache") == "fwd=request; stored"
    assert await asked("max-age=0") == "fwd=stale; stored"
    assert await asked("max-age=soon") == "fwd=stale; stored"
    assert (await asked("private, no-transform")).startswith("hit")
    assert len(sim.requests) == 5


async def test_bifrosts_headers_choose_a_partition_a_life_and_whether_to_store(
    start: Start, sim: RunningSimulator
) -> None:
    gateway = await cached_gateway(start)
    assert status(await ask(gateway, x_bf_cache_no_store="true")) == "fwd=miss"
    assert status(await ask(gateway, x_bf_cache_key="session-1", x_bf_cache_ttl="5m")) == "fwd=miss; stored"
    assert status(await ask(gateway, x_bf_cache_key="session-2")) == "fwd=miss; stored"
    hit = await ask(gateway, x_bf_cache_key="session-1", x_bf_cache_type="direct", x_bf_cache_debug="true")
    assert 200 < int(status(hit).split("ttl=")[1].split(";")[0]) <= 300
    debug = hit.json()["extra_fields"]["cache_debug"]
    assert debug["cache_hit"] is True
    assert (debug["hit_type"], debug["provider_used"], debug["model_used"]) == ("direct", "sim", "gpt-4o")
    missed = await ask(gateway, {**CHAT, "seed": 1}, x_bf_cache_debug="true")
    assert missed.json()["extra_fields"]["cache_debug"]["cache_hit"] is False
    events = await ask(gateway, {**CHAT, "stream": True}, x_bf_cache_key="session-1", x_bf_cache_debug="true")
    assert '"cache_debug":{"cache_hit":true' in events.text
    assert "extra_fields" not in (await ask(gateway, x_bf_cache_key="session-1")).text
    for name, value in (
        ("x_bf_cache_ttl", "soon"),
        ("x_bf_cache_ttl", "0"),
        ("x_bf_cache_key", "k" * 300),
        ("x_bf_cache_type", "fuzzy"),
        ("x_bf_cache_threshold", "2"),
        ("x_bf_cache_threshold", "high"),
        ("x_bf_cache_no_store", "maybe"),
    ):
        refused = await ask(gateway, **{name: value})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, name.replace("_", "-"))


def about(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "sim/gpt-4o", "messages": [{"role": "user", "content": text}], **more}


async def test_near_matches_serve_the_same_question_in_other_clothes(start: Start, sim: RunningSimulator) -> None:
    gateway = await cached_gateway(start, cache={"mode": "near"})
    first = await ask(gateway, about("How do I change the address of my account?"))
    assert status(first) == "fwd=miss; stored"
    question = "hi, how can i chnage the adress of my account? thanks"
    near = await ask(gateway, about(question), x_bf_cache_debug="true")
    assert status(near).startswith("hit; ttl=3") and status(near).endswith("; detail=near")
    assert near.json()["choices"] == first.json()["choices"]
    assert near.headers["x-bf-cache-hit-type"] == "near"
    assert 0.8 <= float(near.headers["x-bf-cache-similarity"]) < 1
    assert near.headers["x-bf-cache-threshold"] == "0.8000"
    assert near.headers["x-bf-saved-usd"] == first.headers["x-bf-cost-usd"]
    debug = near.json()["extra_fields"]["cache_debug"]
    assert (debug["hit_type"], debug["threshold"]) == ("near", 0.8)
    streamed = await ask(gateway, about(question, stream=True))
    assert status(streamed).endswith("detail=near")
    submitted = await ask(gateway, about(question), x_bf_async="true")
    assert status(submitted).endswith("detail=near")
    for more in ({"x_bf_cache_type": "direct"}, {"x_bf_cache_threshold": "0.99"}, {"key": KEY_B}):
        missing = await ask(gateway, about(question), cache_control="only-if-cached", **more)
        assert missing.status_code == 504, more
    assert len(sim.requests) == 1
    for other in ("How do I close the address of my account?", "How do I change the address of my other account?"):
        assert status(await ask(gateway, about(other))) == "fwd=miss; stored"
    metrics = (await gateway.http.get("/metrics")).text
    assert 'finops_cache_lookups_total{kind="near",request_type="chat.completions",result="hit"} 3' in metrics
    assert (await gateway.http.post("/api/cache/purge", headers=ADMIN)).json()["purged"] == 3
    assert status(await ask(gateway, about(question))) == "fwd=miss; stored"


async def test_keys_do_not_share_answers_unless_the_scope_says_so(start: Start, sim: RunningSimulator) -> None:
    gateway = await cached_gateway(start)
    await ask(gateway)
    assert status(await ask(gateway, key=KEY_B)) == "fwd=miss; stored"
    assert len(sim.requests) == 2
    shared = await cached_gateway(start, cache={"scope": "team"})
    await ask(shared, {**CHAT, "seed": 7})
    assert status(await ask(shared, {**CHAT, "seed": 7}, key=KEY_B)).startswith("hit")


async def test_callers_without_a_key_are_told_apart_by_their_bearer_tokens(start: Start, sim: RunningSimulator) -> None:
    gateway = await start(cache=EXACT)
    for token in ("sk-one", "sk-two"):
        answer = await gateway.post(CHATS, CHAT, headers={"Authorization": f"Bearer {token}"})
        await gateway.services.inference.cache.store.flush()
        assert status(answer) == "fwd=miss; stored"
    assert len(sim.requests) == 2


async def test_what_an_answer_depends_on_is_never_mixed_up(start: Start, sim: RunningSimulator) -> None:
    gateway = await cached_gateway(start)
    system = {"role": "system", "content": "Be brief."}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    variants: list[dict[str, Any]] = [
        {},
        {"model": "sim/gpt-4o-mini"},
        {"messages": [system, *CHAT["messages"]]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}, picture]}]},
        {"tools": [tool]},
        {"tools": [tool], "tool_choice": "none"},
        {"temperature": 0.5},
        {"response_format": {"type": "json_object"}},
        {"seed": 1},
        {"n": 2},
    ]
    for variant in variants:
        assert status(await ask(gateway, {**CHAT, **variant})) == "fwd=miss; stored", variant
    for variant in variants:
        assert status(await ask(gateway, {**CHAT, **variant})).startswith("hit"), variant
    for same in ({"user": "me"}, {"metadata": {"a": "b"}}, {"store": True}, {"service_tier": "auto"}):
        assert status(await ask(gateway, {**CHAT, **same})).startswith("hit"), same
    beta = await ask(gateway, openai_beta="new-answers=v1")
    assert status(beta) == "fwd=miss; stored"


async def test_some_requests_pass_the_cache_by(start: Start) -> None:
    gateway = await cached_gateway(start)
    searching = {**CHAT, "web_search_options": {}, "tools": [{"type": "web_search"}]}
    assert status(await ask(gateway, searching)) == "fwd=bypass; detail=tools"
    live = {**CHAT, "model": "sim/gpt-4o-search-preview"}
    assert status(await ask(gateway, live)) == "fwd=bypass; detail=live-model"
    streamed = {"model": "sim/gpt", "prompt": "hello", "stream": True}
    assert status(await ask(gateway, streamed, "/v1/completions")) == "fwd=bypass; detail=stream"
    picture = await ask(gateway, {"model": "sim/gpt-image-1", "prompt": "a cat"}, "/v1/images/generations")
    assert "cache-status" not in picture.headers


async def test_answers_of_fallbacks_and_incomplete_ones_are_not_stored(start: Start, sim: RunningSimulator) -> None:
    gateway = await cached_gateway(start, fallbacks={"sim/gpt-4o": ["openai/gpt-4o"]})
    sim.script(model="gpt-4o", times=1, status=500)
    assert status(await ask(gateway)) == "fwd=miss"
    assert status(await ask(gateway)) == "fwd=miss; stored"


async def test_a_spent_budget_does_not_refuse_a_hit_and_a_request_limit_does(
    start: Start, sim: RunningSimulator
) -> None:
    limits = {"budget": {"limit_usd": 0.05}, "rate_limit": {"requests": 3, "window": "1d"}}
    gateway = await cached_gateway(start, virtual_keys={"team-a": {"value": KEY_A, **limits}})
    first = await ask(gateway, {**CHAT, "max_tokens": 5})
    assert first.status_code == 200, first.text
    await gateway.services.inference._billing.ledger.flush()
    refused = await ask(gateway, {**CHAT, "seed": 1})
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget_exceeded")
    hit = await ask(gateway, {**CHAT, "max_tokens": 5})
    assert (hit.status_code, status(hit).partition(";")[0]) == (200, "hit")
    await ask(gateway, {**CHAT, "max_tokens": 5})
    last = await ask(gateway, {**CHAT, "max_tokens": 5})
    assert (last.status_code, last.json()["error"]["code"]) == (429, "request_limited")


async def test_asked_only_caches_those_who_ask(start: Start) -> None:
    gateway = await cached_gateway(start, cache={"when": "asked"})
    assert "cache-status" not in (await ask(gateway)).headers
    assert "cache-status" not in (await ask(gateway, cache_control="no-cache")).headers
    assert status(await ask(gateway, cache_control="max-age=60")) == "fwd=miss; stored"
    assert status(await ask(gateway, cache_control="max-age=60")).startswith("hit")
    assert status(await ask(gateway, x_bf_cache_key="mine")) == "fwd=miss; stored"


async def test_no_header_turns_on_a_cache_that_is_off(start: Start, sim: RunningSimulator) -> None:
    gateway = await start()
    for _ in range(2):
        answer = await gateway.post(CHATS, CHAT, headers={"x-bf-cache-key": "k", "cache-control": "only-if-cached"})
        assert answer.status_code == 200
        assert "cache-status" not in answer.headers
    assert len(sim.requests) == 2


async def test_a_shared_call_ends_when_the_last_of_its_callers_has_hung_up(start: Start, sim: RunningSimulator) -> None:
    gateway = await cached_gateway(start)

    def asking(model: str, **more: Any) -> asyncio.Task[httpx.Response]:
        return asyncio.create_task(ask(gateway, {**CHAT, "model": model, **more}))

    for more in ({}, {"stream": True}):
        first = asking("sim/gpt-4o@latency=2", **more)
        await sim.wait_until(lambda log: log.open_count == 1)
        second = asking("sim/gpt-4o@latency=2", **more)
        await joined(gateway)
        first.cancel()
        assert status(await second) == "fwd=miss; collapsed"
        assert sim.requests[-1].outcome == "completed", more
        assert (await gateway.http.post("/api/cache/purge", headers=ADMIN)).status_code == 200
    hanging = [asking("sim/gpt-4o@hang")]
    await sim.wait_until(lambda log: log.open_count == 1)
    hanging.append(asking("sim/gpt-4o@hang"))
    await joined(gateway)
    for task in hanging:
        task.cancel()
    await sim.wait_until(lambda log: log.open_count == 0)
    assert sim.requests[-1].outcome == "client_disconnected"
    assert len(sim.requests) == 3


async def joined(gateway: Gateway) -> None:
    """Wait until a call waits for another one's answer."""
    flights = gateway.services.inference.cache._flights._flights._flights
    await wait_until(lambda: any(flight._waiting for flight in flights.values()))
