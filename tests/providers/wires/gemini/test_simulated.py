"""The wire over a real socket, against the simulated service, which refuses what the real one would."""

import httpx
import orjson
import pytest

from shared.providers.wires.gemini import GeminiWire
from simulator.serve import running
from tests.providers.wires.gemini.request_cases import BUDGET, HI, NEW, PIXEL, embed_request_of, request_of
from tests.providers.wires.gemini.stream_events import assemble

TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
WIRE = GeminiWire()


@pytest.fixture
async def http():
    async with running() as sim, httpx.AsyncClient(base_url=f"{sim.origin}/v1beta", trust_env=False) as client:
        yield client


async def asked(http, fields, model=NEW):
    """The completion, the same whether streamed or not."""
    request = request_of(fields, model)
    whole = await send(http, WIRE.request(request))
    assert whole.status_code == 200, whole.text
    answer = orjson.loads(WIRE.answer(request, whole.content, "application/json").body)
    request = request_of(fields | {"stream": True, "stream_options": {"include_usage": True}}, model)
    reply, stream = await send(http, WIRE.request(request)), WIRE.stream(request)
    out = b"".join(stream.feed(reply.content[at : at + 50]) for at in range(0, len(reply.content), 50))
    assert stream.complete
    assert plain(assemble(out)) == plain(answer)
    return answer


async def send(http, upstream):
    return await http.post(upstream.path, content=upstream.body, headers={"content-type": upstream.content_type})


def plain(completion):
    """Without what differs from call to call."""
    choices = orjson.loads(orjson.dumps(completion["choices"]))
    for choice in choices:
        choice["message"].pop("extra_content", None)
        for call in choice["message"].get("tool_calls", []):
            call.pop("extra_content", None)
            call.pop("id")
    return {**completion, "id": "", "choices": choices}


@pytest.mark.parametrize("model", [NEW, BUDGET])
async def test_a_tool_loop_is_accepted_by_a_service_that_checks_signatures(http, model):
    answer = await asked(http, {"messages": HI, "tools": [TOOL]}, model)
    message = answer["choices"][0]["message"]
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "12 C"}
    ended = await asked(http, {"messages": [*HI, message, result], "tools": [TOOL]}, model)
    assert ended["choices"][0]["finish_reason"] == "stop"
    unsigned = {**message, "tool_calls": [{**call, "extra_content": None} for call in message["tool_calls"]]}
    assert await asked(http, {"messages": [*HI, unsigned, result], "tools": [TOOL]}, model)


async def test_reasoning_pictures_schemas_and_limits(http):
    reasoned = await asked(http, {"messages": HI, "reasoning_effort": "low"})
    assert reasoned["choices"][0]["message"]["reasoning_content"]
    assert reasoned["usage"]["completion_tokens_details"]["reasoning_tokens"] == 8
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    assert (await asked(http, {"messages": [{"role": "user", "content": [image]}]}))["usage"]["prompt_tokens"] == 258
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    filled = await asked(http, {"messages": HI, "response_format": wanted})
    assert isinstance(orjson.loads(filled["choices"][0]["message"]["content"])["n"], int)
    assert (await asked(http, {"messages": HI, "max_tokens": 2}))["choices"][0]["finish_reason"] == "length"
    assert len((await asked(http, {"messages": HI, "n": 2}))["choices"]) == 2
    assert (await asked(http, {"messages": HI}, "sim-blocked"))["choices"][0]["finish_reason"] == "content_filter"


async def test_errors_are_translated_to_openais_format(http):
    reply = await send(http, WIRE.request(request_of({"messages": HI}, f"{NEW}@status=429,retry_after=7")))
    status, error = WIRE.error(reply.status_code, reply.content)
    assert (status, error["type"], error["retry_after_s"]) == (429, "rate_limit_error", 7)
    request = request_of({"messages": HI, "stream": True}, f"{NEW}@error_event=1")
    stream = WIRE.stream(request)
    assert stream.feed((await send(http, WIRE.request(request))).content)
    assert (stream.error["code"], stream.complete) == ("UNAVAILABLE", False)


@pytest.mark.parametrize("given", ["a", ["a", "b"]])
async def test_embeddings_direct_and_on_vertex(http, given):
    for wire, base, model in (
        (WIRE, "/v1beta", "gemini-embedding-001"),
        (GeminiWire(on_vertex=True), "/v1/projects/p/locations/l/publishers/google", "gemini-embedding-001"),
        (GeminiWire(on_vertex=True), "/v1/projects/p/locations/l/publishers/google", "text-embedding-005"),
    ):
        request = embed_request_of({"input": given, "dimensions": 4}, model)
        upstream = wire.request(request)
        url = http.base_url.copy_with(path=f"{base}{upstream.path}")
        reply = await http.post(url, content=upstream.body)
        assert reply.status_code == 200, reply.text
        answer = wire.answer(request, reply.content, "application/json")
        assert [len(each["embedding"]) for each in orjson.loads(answer.body)["data"]] == [4] * len(given)
        assert answer.usage["prompt_tokens"] == len(given)
