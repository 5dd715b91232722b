"""The wire against the simulated provider, which checks requests and signatures as the real one does."""

from collections.abc import AsyncIterator

import httpx
import orjson
import pytest

from shared.providers.wires.anthropic import AnthropicWire
from simulator.serve import RunningSimulator, running
from tests.providers.wires.anthropic.request_cases import BUDGET, HI, MIDDLE, NEWEST, OLD, request_of
from tests.providers.wires.anthropic.stream_events import assemble, chunks_of

WIRE = AnthropicWire()
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SHAPE = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
SHAPED = {"type": "json_schema", "json_schema": {"name": "shape", "schema": SHAPE, "strict": True}}


@pytest.fixture
async def sim() -> AsyncIterator[RunningSimulator]:
    async with running() as simulator:
        yield simulator


@pytest.fixture
async def http(sim) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{sim.origin}/anthropic", trust_env=False) as client:
        yield client


async def complete(http, fields, model):
    """The whole answer, which the streamed one must equal but for ids of its own."""
    request = request_of({"messages": HI} | fields, model)
    reply = await _send(http, request)
    assert reply.status_code == 200, reply.text
    whole = orjson.loads(WIRE.answer(request, reply.content, reply.headers["content-type"]).body)
    asked = request_of(request.fields | {"stream": True, "stream_options": {"include_usage": True}}, model)
    stream = WIRE.stream(asked)
    streamed = assemble(chunks_of(stream.feed((await _send(http, asked)).content)))
    assert stream.complete
    assert _without_ids(streamed) == _without_ids(whole)
    return whole


async def _send(http, request):
    sent = WIRE.request(request)
    headers = {"content-type": sent.content_type, "x-api-key": "sk-simulated-1234", **sent.headers}
    return await http.post(sent.path, content=sent.body, headers=headers)


def _without_ids(completion):
    choice = completion["choices"][0]
    calls = [{**call, "id": None} for call in choice["message"].get("tool_calls", [])]
    message = {**choice["message"], "tool_calls": calls}
    return completion | {"id": None, "choices": [choice | {"message": message}]}


@pytest.mark.parametrize("model", [MIDDLE, NEWEST, BUDGET, OLD])
async def test_text_with_everything_that_steers_it(http, model):
    steering = {"temperature": 1.5, "top_p": 0.5, "stop": ["zzz"], "user": "u", "seed": 1}
    completion = await complete(http, steering, model)
    assert completion["choices"][0]["message"]["content"]
    assert completion["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("model", [MIDDLE, NEWEST, BUDGET])
async def test_a_tool_loop_with_signed_thoughts(http, model):
    asked = {"tools": [WEATHER], "reasoning_effort": "high"}
    first = (await complete(http, asked, model))["choices"][0]
    message = first["message"]
    assert first["finish_reason"] == "tool_calls"
    assert message["thinking_blocks"][0]["thinking"] == message["reasoning_content"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "12 C"}
    last = await complete(http, asked | {"messages": [*HI, message, result]}, model)
    assert last["choices"][0]["finish_reason"] == "stop"
    message["thinking_blocks"][0]["thinking"] = "forged"
    refused = await _send(http, request_of(asked | {"messages": [*HI, message, result]}, model))
    status, error = WIRE.error(refused.status_code, refused.content)
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert "signature" in error["message"]


@pytest.mark.parametrize("model", [MIDDLE, OLD])
async def test_structured_output_with_and_without_formats(http, model):
    completion = await complete(http, {"response_format": SHAPED}, model)
    assert orjson.loads(completion["choices"][0]["message"]["content"]).keys() == {"n"}
    assert completion["choices"][0]["finish_reason"] == "stop"


async def test_pictures_and_documents(http):
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
    ]
    completion = await complete(http, {"messages": [{"role": "user", "content": parts}]}, MIDDLE)
    assert completion["usage"]["prompt_tokens"] > 3000


@pytest.mark.parametrize(("status", "passed_on"), [(529, 503), (429, 429), (500, 500)])
async def test_failures(http, status, passed_on):
    reply = await _send(http, request_of({"messages": HI}, f"claude@status={status}"))
    assert WIRE.error(reply.status_code, reply.content)[0] == passed_on


@pytest.mark.parametrize(("fault", "failed"), [("error_event=4", True), ("no_done", False)])
async def test_broken_streams_are_not_complete(http, fault, failed):
    request = request_of({"messages": HI, "stream": True}, f"claude@{fault}")
    stream = WIRE.stream(request)
    stream.feed((await _send(http, request)).content)
    assert not stream.complete
    assert (stream.error is not None) is failed
