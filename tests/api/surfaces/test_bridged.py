"""The Responses API before providers that only chat: at once, streamed, as a job, and from turn to turn."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest

from simulator.serve import RunningSimulator
from tests.api.conftest import KEY_A, KEY_B, Gateway
from worker.leased_worker import LeasedWorker, WorkerOptions

SCOPE_KEY = {"keys": [{"value": "sk-upstream-key-0123456789"}], "retry": {"max_attempts": 1}}
TOOL = {
    "type": "function",
    "name": "weather",
    "description": "The weather.",
    "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
MODELS = ["anthropic/claude-sonnet-4-5", "deepseek/deepseek-chat"]
ECHO = "anthropic/sim-echo"


def providers(sim: RunningSimulator) -> dict[str, Any]:
    openai_like = {"base_url": sim.base_url, **SCOPE_KEY}
    return {
        "anthropic": {"base_url": f"{sim.origin}/anthropic", **SCOPE_KEY},
        "deepseek": openai_like,
        "openai": openai_like,
    }


@pytest.fixture
async def bridged(start: Callable[..., Awaitable[Gateway]], sim: RunningSimulator) -> Gateway:
    return await start(providers=providers(sim))


@pytest.fixture
async def two(start: Callable[..., Awaitable[Gateway]], sim: RunningSimulator) -> Gateway:
    keys = {"team-a": {"value": KEY_A}, "team-b": {"value": KEY_B}}
    return await start(providers=providers(sim), virtual_keys=keys)


def strict(gateway: Gateway, key: str = "sk-any") -> openai.AsyncOpenAI:
    return gateway.sdk(key, _strict_response_validation=True)


@pytest.mark.parametrize("model", MODELS)
async def test_a_response_is_made_of_a_chat(bridged: Gateway, model: str):
    response = await strict(bridged).responses.create(model=model, input="hello", instructions="Be brief.")
    assert response.status == "completed"
    assert response.output_text
    assert response.model == model
    assert response.id.startswith("resp_")
    assert response.usage is not None
    assert response.usage.output_tokens > 0


@pytest.mark.parametrize("model", MODELS)
async def test_its_stream_says_the_same_in_order(bridged: Gateway, model: str):
    sdk = strict(bridged)
    whole = await sdk.responses.create(model=model, input="hello")
    stream = await sdk.responses.create(model=model, input="hello", stream=True)
    events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert events[-1].response.output_text == whole.output_text
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    kept = await sdk.responses.retrieve(events[0].response.id)
    assert kept == events[-1].response


async def test_a_tool_is_called_and_its_result_goes_back(bridged: Gateway):
    sdk = strict(bridged)
    first = await sdk.responses.create(model=MODELS[0], input="hello", tools=[TOOL], tool_choice="required")
    [call] = [item for item in first.output if item.type == "function_call"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    second = await sdk.responses.create(model=MODELS[0], input=[result], tools=[TOOL], previous_response_id=first.id)
    assert second.output_text
    assert second.previous_response_id == first.id


async def test_a_conversation_goes_on_and_moves_between_providers(bridged: Gateway, sim: RunningSimulator):
    sdk = strict(bridged)
    first = await sdk.responses.create(model=ECHO, input="one")
    second = await sdk.responses.create(model=MODELS[1], input="two", previous_response_id=first.id)
    assert texts(sim.log.entries[-1].body["messages"]) == ["one", "one", "two"]
    await sdk.responses.create(model="openai/gpt-4o", input="three", previous_response_id=second.id)
    sent = sim.log.entries[-1].body
    assert sim.log.entries[-1].path == "/v1/responses"
    assert "previous_response_id" not in sent
    assert texts(sent["input"]) == ["one", "one", "two", second.output_text, "three"]
    assert not any("id" in item for item in sent["input"])


def texts(messages: list[dict[str, Any]]) -> list[str]:
    contents = [message["content"] for message in messages]
    return [content if isinstance(content, str) else content[0]["text"] for content in contents]


async def test_a_kept_response_is_served_by_its_id(bridged: Gateway):
    sdk = strict(bridged)
    first = await sdk.responses.create(model=ECHO, input="one")
    second = await sdk.responses.create(model=ECHO, input="two", previous_response_id=first.id)
    assert await sdk.responses.retrieve(second.id) == second
    items = [item async for item in sdk.responses.input_items.list(second.id, order="asc")]
    assert [item.content[0].text for item in items] == ["one", "one", "two"]
    with pytest.raises(openai.BadRequestError, match="synchronous"):
        await sdk.responses.cancel(second.id)
    with pytest.raises(openai.BadRequestError, match="stream"):
        await sdk.responses.retrieve(second.id, stream=True)
    await sdk.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.retrieve(second.id)


async def test_what_is_not_to_be_stored_is_not(bridged: Gateway):
    sdk = strict(bridged)
    response = await sdk.responses.create(model=ECHO, input="one", store=False)
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.retrieve(response.id)
    with pytest.raises(openai.BadRequestError) as refusal:
        await sdk.responses.create(model=ECHO, input="two", previous_response_id=response.id)
    assert refusal.value.code == "previous_response_not_found"


async def test_a_response_of_another_caller_is_none(two: Gateway):
    mine, theirs = strict(two, KEY_A), strict(two, KEY_B)
    response = await mine.responses.create(model=ECHO, input="one")
    assert await mine.responses.retrieve(response.id) == response
    for refused in (
        lambda: theirs.responses.retrieve(response.id),
        lambda: theirs.responses.delete(response.id),
        lambda: theirs.responses.input_items.list(response.id),
    ):
        with pytest.raises(openai.NotFoundError):
            await refused()
    with pytest.raises(openai.BadRequestError) as refusal:
        await theirs.responses.create(model=ECHO, input="two", previous_response_id=response.id)
    assert refusal.value.code == "previous_response_not_found"


async def test_a_response_that_only_openai_knows_cannot_go_on_elsewhere(bridged: Gateway, sim: RunningSimulator):
    sdk = strict(bridged)
    native = await sdk.responses.create(model="openai/gpt-4o", input="one")
    with pytest.raises(openai.BadRequestError) as refusal:
        await sdk.responses.create(model=ECHO, input="two", previous_response_id=native.id)
    assert refusal.value.code == "previous_response_not_found"
    await sdk.responses.create(model="openai/gpt-4o", input="two", previous_response_id=native.id)
    assert sim.log.entries[-1].body["previous_response_id"] == native.id


@pytest.mark.parametrize("model", [*MODELS, "openai/gpt-4o"])
async def test_a_background_response_is_a_job_and_is_gone_on_with(bridged: Gateway, sim: RunningSimulator, model: str):
    sdk = strict(bridged)
    queued = await sdk.responses.create(model=model, input="one", background=True)
    assert queued.status == "queued"
    await bridged.worker.work_off()
    done = await sdk.responses.retrieve(queued.id)
    assert (done.status, done.id, done.background) == ("completed", queued.id, True)
    await sdk.responses.create(model=ECHO, input="two", previous_response_id=queued.id)
    assert texts(sim.log.entries[-1].body["messages"]) == ["one", done.output_text, "two"]
    await sdk.responses.delete(queued.id)
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.retrieve(queued.id)


async def test_a_background_stream_is_whole(bridged: Gateway, redis_url: str):
    worker = LeasedWorker.connect(redis_url, bridged.worker.runners[0].run, WorkerOptions(concurrency=2, grace_s=0.1))
    serving = asyncio.create_task(worker.serve())
    await worker.ready.wait()
    sdk = strict(bridged)
    stream = await sdk.responses.create(model=MODELS[0], input="one", background=True, stream=True)
    events = [event async for event in stream]
    worker.stop()
    await serving
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert events[-1].type == "response.completed"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    kept = await sdk.responses.retrieve(events[0].response.id)
    assert text == kept.output_text == events[-1].response.output_text


async def test_a_response_by_header_keeps_its_jobs_id(bridged: Gateway):
    sdk = strict(bridged)
    job_id = (await sdk.responses.create(model=ECHO, input="one", extra_headers={"x-bf-async": "true"})).id
    await bridged.worker.work_off()
    done = await sdk.responses.create(model=ECHO, input="one", extra_headers={"x-bf-async-id": job_id})
    assert (done.id, done.output_text) == (job_id, "one")
    again = await sdk.responses.create(model=ECHO, input="two", previous_response_id=job_id)
    assert again.output_text == "two"


async def test_what_chat_cannot_express_is_refused_by_name(bridged: Gateway, sim: RunningSimulator):
    sdk = strict(bridged)
    for more in ({}, {"background": True}):
        with pytest.raises(openai.BadRequestError) as refusal:
            await sdk.responses.create(model=ECHO, input="one", tools=[{"type": "web_search"}], **more)
        assert refusal.value.param == "tools[0].type"
    assert not sim.log.entries


@pytest.mark.parametrize("fault", ["cut=3", "error_event=3"])
async def test_a_stream_that_breaks_off_fails_and_is_not_kept(bridged: Gateway, fault: str):
    sdk = strict(bridged)
    stream = await sdk.responses.create(model=f"{MODELS[0]}@{fault}", input="hello", stream=True)
    events = [event async for event in stream]
    assert events[-1].type == "response.failed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.retrieve(events[0].response.id)


async def test_an_upstreams_refusal_is_passed_on(bridged: Gateway):
    with pytest.raises(openai.RateLimitError):
        await strict(bridged).responses.create(model=f"{MODELS[0]}@status=429", input="hello")


async def test_an_item_that_is_only_named_is_found(bridged: Gateway, sim: RunningSimulator):
    sdk = strict(bridged)
    first = await sdk.responses.create(model=ECHO, input="one")
    named = {"type": "item_reference", "id": first.output[0].id}
    await sdk.responses.create(
        model=ECHO, input=[{"role": "user", "content": "zero"}, named, {"role": "user", "content": "two"}]
    )
    assert texts(sim.log.entries[-1].body["messages"]) == ["zero", "one", "two"]
