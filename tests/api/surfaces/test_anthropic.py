"""Anthropic's own SDK, with only its base URL changed, before providers of two wires: at once, streamed, as jobs."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anthropic
import pytest

from simulator.serve import RunningSimulator
from tests.api.conftest import KEY_A, KEY_B, Gateway

SCOPE_KEY = {"keys": [{"value": "sk-upstream-key-0123456789"}], "retry": {"max_attempts": 1}}
MODELS = ["claude-haiku-4-5", "openai/gpt-4o"]
ASK: dict[str, Any] = {"max_tokens": 5000, "messages": [{"role": "user", "content": "hello"}]}
TOOL: dict[str, Any] = {
    "name": "weather",
    "description": "The weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
Sdk = Callable[..., anthropic.AsyncAnthropic]


@pytest.fixture
async def gateway(start: Callable[..., Awaitable[Gateway]], sim: RunningSimulator) -> Gateway:
    keys = {"team-a": {"value": KEY_A}, "team-b": {"value": KEY_B, "models": ["openai/*"]}}
    providers = {
        "anthropic": {"base_url": f"{sim.origin}/anthropic", **SCOPE_KEY},
        "openai": {"base_url": sim.base_url, **SCOPE_KEY},
    }
    return await start(providers=providers, virtual_keys=keys)


@pytest.fixture
async def sdk(gateway: Gateway) -> AsyncIterator[Sdk]:
    made: list[anthropic.AsyncAnthropic] = []

    def make(key: str = KEY_A, **more: Any) -> anthropic.AsyncAnthropic:
        options = {"api_key": key, "max_retries": 0, "_strict_response_validation": True, **more}
        made.append(anthropic.AsyncAnthropic(base_url=f"{gateway.url}/anthropic", **options))
        return made[-1]

    yield make
    for client in made:
        await client.close()


@pytest.mark.parametrize("model", MODELS)
async def test_a_message_is_answered(sdk: Sdk, model: str):
    message = await sdk().messages.create(model=model, system="Be brief.", **ASK)
    assert message.content[0].text
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0
    assert message._request_id


@pytest.mark.parametrize("model", MODELS)
async def test_its_stream_says_the_same(sdk: Sdk, model: str):
    whole = await sdk().messages.create(model=model, **ASK)
    async with sdk().messages.stream(model=model, **ASK) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert final.content[0].text == whole.content[0].text
    assert (final.stop_reason, final.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)


@pytest.mark.parametrize("model", MODELS)
async def test_a_tool_is_called_and_its_result_goes_back(sdk: Sdk, model: str):
    ask = {**ASK, "model": model, "tools": [TOOL]}
    first = await sdk().messages.create(**ask, tool_choice={"type": "any"})
    [use] = [block for block in first.content if block.type == "tool_use"]
    assert first.stop_reason == "tool_use"
    async with sdk().messages.stream(**ask, tool_choice={"type": "any"}) as stream:
        assert [block.type for block in (await stream.get_final_message()).content] == ["tool_use"]
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}
    turns = [*ASK["messages"], {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = await sdk().messages.create(**{**ask, "messages": turns})
    assert second.content[0].text


async def test_thinking_keeps_its_signature_where_it_is_understood(sdk: Sdk, sim: RunningSimulator):
    thinking = {"type": "enabled", "budget_tokens": 2048}
    ask = {**ASK, "model": "claude-haiku-4-5", "thinking": thinking}
    message = await sdk().messages.create(**ask)
    assert message.content[0].type == "thinking"
    assert message.content[0].signature
    turns = [*ASK["messages"], {"role": "assistant", "content": message.content}, {"role": "user", "content": "more"}]
    await sdk().messages.create(**{**ask, "messages": turns})
    assert sim.log.entries[-1].body["thinking"] == thinking
    assert sim.log.entries[-1].body["messages"][1]["content"][0]["signature"] == message.content[0].signature
    await sdk().messages.create(**{**ask, "messages": turns, "model": "openai/gpt-4o"})
    sent = sim.log.entries[-1].body
    assert "thinking" not in sent
    assert sent["reasoning_effort"] == "low"
    assert "thinking_blocks" not in sent["messages"][1]


async def test_extensions_that_change_nothing_stay_at_home_when_a_fallback_answers(sdk: Sdk, sim: RunningSimulator):
    more = {"fallbacks": ["openai/gpt-4o"], "cache_control": {"type": "ephemeral"}}
    assert (await sdk().messages.create(**ASK, model="claude-haiku-4-5@status=503", extra_body=more)).content[0].text
    first, second = [entry.body for entry in sim.log.entries]
    assert first["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" not in second


async def test_what_would_be_missed_is_refused_and_a_fallback_that_cannot_say_it_is_passed_over(
    sdk: Sdk, sim: RunningSimulator
):
    with pytest.raises(anthropic.BadRequestError, match="top_k"):
        await sdk().messages.create(**ASK, model="openai/gpt-4o", extra_body={"top_k": 3})
    assert not sim.log.entries
    more = {"fallbacks": ["openai/gpt-4o"], "top_k": 3}
    with pytest.raises(anthropic.APIStatusError) as failure:
        await sdk().messages.create(**ASK, model="claude-haiku-4-5@status=503", extra_body=more)
    assert failure.value.status_code == 503
    pending = await sdk().messages.create(
        **ASK, model="claude-haiku-4-5", extra_body=more, extra_headers={"x-bf-async": "true"}
    )
    assert pending.status == "queued"
    with pytest.raises(anthropic.BadRequestError, match="top_k"):
        await sdk().messages.create(
            **ASK, model="openai/gpt-4o", extra_body={"top_k": 3}, extra_headers={"x-bf-async": "true"}
        )


async def test_names_of_the_configuration_are_no_models_of_anthropics(start: Any, sim: RunningSimulator):
    gateway = await start(aliases={"quick": "openai/gpt-4o"})
    body = {**ASK, "model": "quick"}
    assert (await gateway.post("/anthropic/v1/messages", body)).json()["content"]
    assert sim.log.entries[-1].body["model"] == "gpt-4o"


@pytest.mark.parametrize("model", MODELS)
async def test_a_message_is_a_job_by_header(sdk: Sdk, gateway: Gateway, model: str):
    ask = {**ASK, "model": model, "extra_body": {"top_k": 3}} if model == MODELS[0] else {**ASK, "model": model}
    raw = await sdk().messages.with_raw_response.create(**ask, extra_headers={"x-bf-async": "true"})
    pending = await raw.parse()
    assert raw.headers["x-bf-async-status"] == "queued"
    assert not pending.content
    assert pending.stop_reason is None
    assert (pending.id, pending.status) == (raw.headers["x-bf-async-id"], "queued")
    poll = {"x-bf-async-id": pending.id}
    assert not (await sdk().messages.create(**ask, extra_headers=poll)).content
    await gateway.worker.work_off()
    done = await sdk().messages.with_raw_response.create(**ask, extra_headers=poll)
    assert done.headers["x-bf-async-status"] == "completed"
    at_once = await sdk().messages.create(**ask)
    assert (await done.parse()).content == at_once.content
    with pytest.raises(anthropic.NotFoundError):
        await sdk(KEY_B).messages.create(**ask, extra_headers=poll)


async def test_a_job_with_thoughts_of_anthropics_runs_elsewhere_without_them(
    sdk: Sdk, gateway: Gateway, sim: RunningSimulator
):
    ask = {**ASK, "model": "openai/gpt-4o", "thinking": {"type": "enabled", "budget_tokens": 2048}}
    pending = await sdk().messages.create(**ask, extra_headers={"x-bf-async": "true"})
    await gateway.worker.work_off()
    assert "thinking" not in sim.log.entries[-1].body
    done = await sdk().messages.create(**ask, extra_headers={"x-bf-async-id": pending.id})
    assert done.content


async def test_a_failed_or_cancelled_job_is_the_sdks_own_error(sdk: Sdk, gateway: Gateway):
    ask = {**ASK, "model": "claude-haiku-4-5@status=429"}
    failed = await sdk().messages.create(**ask, extra_headers={"x-bf-async": "true"})
    await gateway.worker.work_off()
    with pytest.raises(anthropic.RateLimitError) as failure:
        await sdk(max_retries=2).messages.create(**ask, extra_headers={"x-bf-async-id": failed.id})
    assert failure.value.response.headers["x-should-retry"] == "false"
    cancelled = await sdk().messages.create(**ask, extra_headers={"x-bf-async": "true"})
    await gateway.services.store.cancel(cancelled.id)
    with pytest.raises(anthropic.ConflictError, match="job_cancelled"):
        await sdk().messages.create(**ask, extra_headers={"x-bf-async-id": cancelled.id})


@pytest.mark.parametrize(
    ("change", "error", "kind"),
    [
        ({"model": "nobody/x"}, anthropic.BadRequestError, "invalid_request_error"),
        ({"extra_body": {"max_tokens": "many"}}, anthropic.BadRequestError, "invalid_request_error"),
        ({"messages": []}, anthropic.BadRequestError, "invalid_request_error"),
        ({"extra_body": {"container": "c"}}, anthropic.BadRequestError, "invalid_request_error"),
        ({"model": "x@status=404"}, anthropic.NotFoundError, "not_found_error"),
        ({"model": "openai/x@status=429"}, anthropic.RateLimitError, "rate_limit_error"),
        ({"extra_headers": {"x-bf-async": "perhaps"}}, anthropic.BadRequestError, "invalid_request_error"),
        ({"extra_headers": {"x-bf-async-id": "nothing"}}, anthropic.NotFoundError, "not_found_error"),
        ({"stream": True, "extra_headers": {"x-bf-async": "1"}}, anthropic.BadRequestError, "invalid_request_error"),
    ],
)
async def test_errors_use_the_surfaces_own_envelope(sdk: Sdk, change: dict[str, Any], error: Any, kind: str):
    with pytest.raises(error) as failure:
        await sdk().messages.create(**{**ASK, "model": "claude-haiku-4-5", **change})
    body = failure.value.body
    assert (body["type"], body["error"]["type"]) == ("error", kind)
    assert body["request_id"] == failure.value.response.headers["request-id"]


async def test_keys_are_read_as_its_sdk_sends_them(sdk: Sdk, gateway: Gateway):
    ask = {**ASK, "model": "openai/gpt-4o"}
    assert await sdk(KEY_B).messages.create(**ask)
    assert await sdk(None, auth_token=KEY_B).messages.create(**ask)
    with pytest.raises(anthropic.AuthenticationError) as failure:
        await sdk("sk-bf-nobody-0123456789").messages.create(**ask)
    assert failure.value.body["error"]["type"] == "authentication_error"
    with pytest.raises(anthropic.PermissionDeniedError):
        await sdk(KEY_B).messages.create(**{**ask, "model": "claude-haiku-4-5"})
    with pytest.raises(anthropic.AuthenticationError) as failure:
        await sdk("sk-bf-nobody-0123456789").models.list()
    assert failure.value.body["type"] == "error"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("fault", ["cut=3", "error_event=3"])
async def test_a_stream_that_breaks_off_raises(sdk: Sdk, model: str, fault: str):
    stream = await sdk().messages.create(**ASK, model=f"{model}@{fault}", stream=True)
    with pytest.raises(anthropic.APIStatusError):
        [event async for event in stream]


async def test_anthropic_counts_its_own_tokens(sdk: Sdk, sim: RunningSimulator):
    ask = {"messages": ASK["messages"], "tools": [TOOL]}
    counted = await sdk().messages.count_tokens(model=MODELS[0], **ask)
    assert sim.log.entries[-1].path == "/anthropic/v1/messages/count_tokens"
    assert "max_tokens" not in sim.log.entries[-1].body
    answered = await sdk().messages.create(**ask, model=MODELS[0], max_tokens=100)
    assert counted.input_tokens == answered.usage.input_tokens


@pytest.mark.parametrize("model", ["openai/gpt-4o", f"{MODELS[0]}@status=404"])
async def test_tokens_are_estimated_where_nobody_counts(sdk: Sdk, model: str):
    few = await sdk().messages.count_tokens(model=model, messages=ASK["messages"])
    many = await sdk().messages.count_tokens(model=model, messages=ASK["messages"], system="word " * 400)
    assert few.input_tokens > 0
    assert many.input_tokens - few.input_tokens == pytest.approx(500, abs=2)


async def test_a_count_that_is_refused_is_an_error(sdk: Sdk):
    with pytest.raises(anthropic.RateLimitError):
        await sdk().messages.count_tokens(model=f"{MODELS[0]}@status=429", messages=ASK["messages"])
    with pytest.raises(anthropic.BadRequestError):
        await sdk().messages.count_tokens(model="nobody/x", messages=ASK["messages"])


async def test_models_are_listed_with_their_providers(sdk: Sdk):
    ids = [model.id async for model in sdk().models.list(limit=2)]
    assert "anthropic/claude-sonnet-4-6" in ids
    assert any(name.startswith("openai/") for name in ids)
    assert len(ids) == len(set(ids))
    assert (await sdk().models.retrieve("claude-sonnet-4-6")).display_name
    assert {name.split("/")[0] async for name in named(sdk(KEY_B))} == {"openai"}
    with pytest.raises(anthropic.NotFoundError):
        await sdk().models.retrieve("nothing")
    with pytest.raises(anthropic.BadRequestError) as failure:
        await sdk().models.list(limit=5000)
    assert failure.value.body["type"] == "error"


async def named(client: anthropic.AsyncAnthropic) -> AsyncIterator[str]:
    async for model in client.models.list():
        yield model.id


async def test_not_found_uses_the_surfaces_own_envelope(gateway: Gateway):
    for method, path in (("GET", "/anthropic/v1/nothing"), ("GET", "/anthropic/v1/messages")):
        answer = await gateway.http.request(method, path)
        assert answer.json()["type"] == "error", path
    refused = await gateway.post("/anthropic/v1/messages", ASK, headers={"content-encoding": "gzip"})
    assert refused.json()["error"]["param"] == "content-encoding"
