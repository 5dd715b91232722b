"""The Responses API, judged by OpenAI's client and by the Open Responses schema."""

import json

import openai
import openresponses_types
import pydantic
import pytest
from openresponses_types import ResponseResource

TOOL = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


class City(pydantic.BaseModel):
    name: str
    people: int


def event_models() -> dict[str, type[pydantic.BaseModel]]:
    """The Open Responses model of each event type."""
    models = [model for name, model in vars(openresponses_types).items() if name.endswith("StreamingEvent")]
    return {kind.value: model for model in models for kind in model.model_fields["type"].annotation}


async def read_events(http, body) -> list[dict]:
    reply = await http.post("/responses", json={**body, "stream": True})
    frames = [frame.split("\n") for frame in reply.text.strip().split("\n\n")]
    events = [json.loads(data.removeprefix("data: ")) for _, data in frames]
    assert [name.removeprefix("event: ") for name, _ in frames] == [event["type"] for event in events]
    return events


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"instructions": "Be kind.", "metadata": {"a": "b"}, "temperature": 0.2, "reasoning": {"effort": "low"}},
        {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
        {"max_output_tokens": 2},
        {"model": "gpt-4o@reasoning"},
        {"text": {"format": {"type": "json_object"}}, "service_tier": "flex"},
    ],
)
async def test_bodies_and_events_satisfy_open_responses(http, extra):
    body = {"model": "gpt-4o", "input": "Hello", **extra}
    reply = await http.post("/responses", json=body)
    ResponseResource.model_validate_json(reply.content)
    events = await read_events(http, body)
    models = event_models()
    for event in events:
        models[event["type"]].model_validate(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


async def test_the_body_carries_every_field(http):
    body = (await http.post("/responses", json={"model": "gpt-4o", "input": "Hello"})).json()
    required = {
        "id", "object", "created_at", "completed_at", "status", "incomplete_details", "model",
        "previous_response_id", "instructions", "output", "error", "tools", "tool_choice", "truncation",
        "parallel_tool_calls", "text", "top_p", "presence_penalty", "frequency_penalty", "top_logprobs",
        "temperature", "reasoning", "usage", "max_output_tokens", "max_tool_calls", "store", "background",
        "service_tier", "metadata", "safety_identifier", "prompt_cache_key",
    }  # fmt: skip
    assert len(required) == 31
    assert required <= body.keys()
    assert body["usage"]["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}
    assert body["usage"]["output_tokens_details"] == {"reasoning_tokens": 0}
    assert body["id"].startswith("resp_")
    assert body["output"][0]["id"].startswith("msg_")


async def test_the_events_of_a_text_come_in_the_documented_order(http):
    events = await read_events(http, {"model": "gpt-4o@tokens=2", "input": "Hello"})
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert events[0]["response"]["status"] == "in_progress"
    assert events[0]["response"]["id"] == events[-1]["response"]["id"]


async def test_the_stream_helper_arrives_at_the_same_text(client):
    whole = await client.responses.create(model="gpt-4o", input="Hello")
    async with client.responses.stream(model="gpt-4o", input="Hello") as stream:
        deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert "".join(deltas) == final.output_text == whole.output_text
    assert final.usage.output_tokens == len(deltas)


async def test_a_function_call_streams_its_arguments(client):
    async with client.responses.stream(model="gpt-4o", input="Hello", tools=[{**TOOL, "strict": False}]) as stream:
        deltas = [e.delta async for e in stream if e.type == "response.function_call_arguments.delta"]
        final = await stream.get_final_response()
    (item,) = final.output
    assert (item.type, item.name, item.status) == ("function_call", "get_weather", "completed")
    assert json.loads("".join(deltas)) == json.loads(item.arguments)
    assert isinstance(json.loads(item.arguments)["city"], str)
    assert item.call_id.startswith("call_")


async def test_the_tool_loop_ends_with_text(client):
    first = await client.responses.create(model="gpt-4o", input="Hello", tools=[TOOL])
    result = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "sunny"}
    second = await client.responses.create(model="gpt-4o", input=[result], tools=[TOOL], previous_response_id=first.id)
    assert second.output_text
    assert second.usage.input_tokens > first.usage.input_tokens


@pytest.mark.parametrize(
    ("choice", "kind"),
    [("none", "message"), ({"type": "function", "name": "get_weather"}, "function_call"), ({"type": "mcp"}, None)],
)
async def test_tool_choice_decides(http, choice, kind):
    tools = [TOOL, {"type": "web_search"}]
    body = {"model": "gpt-4o", "input": "Hello", "tools": tools, "tool_choice": choice}
    reply = (await http.post("/responses", json=body)).json()
    assert reply["output"][0]["type"] == (kind or "function_call")
    assert reply["tools"][0]["strict"] is True
    assert reply["tools"][1] == {"type": "web_search"}


async def test_plain_and_unknown_text_formats_are_text(http):
    for text in ({"format": {"type": "text"}}, {"verbosity": "low"}, "text"):
        reply = (await http.post("/responses", json={"model": "m", "input": "Hello", "text": text})).json()
        assert not reply["output"][0]["content"][0]["text"].startswith("{")
        assert reply["text"]["format"] == {"type": "text"}


async def test_parse_fills_a_pydantic_model(client):
    reply = await client.responses.parse(model="gpt-4o", input="Hello", text_format=City)
    assert isinstance(reply.output_parsed, City)


async def test_a_token_limit_makes_it_incomplete(client, http):
    reply = await client.responses.create(model="gpt-4o", input="Hello", max_output_tokens=2)
    assert (reply.status, reply.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert reply.completed_at is None
    events = await read_events(http, {"model": "gpt-4o", "input": "Hello", "max_output_tokens": 2})
    assert events[-1]["type"] == "response.incomplete"


async def test_reasoning_is_an_item_before_the_message(client):
    reply = await client.responses.create(model="gpt-4o@reasoning", input="Hello")
    assert [item.type for item in reply.output] == ["reasoning", "message"]
    assert reply.usage.output_tokens_details.reasoning_tokens == len(reply.output[0].summary[0].text.split())


async def test_echo_reads_the_last_user_item(client):
    items = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "second"},
        {"role": "user", "content": [{"type": "input_text", "text": "third"}]},
    ]
    assert (await client.responses.create(model="sim-echo", input=items)).output_text == "third"


async def test_a_stored_response_can_be_read_and_deleted(client):
    created = await client.responses.create(model="gpt-4o", input="Hello")
    assert (await client.responses.retrieve(created.id)).output_text == created.output_text
    with pytest.raises(openai.BadRequestError, match="stream"):
        await client.responses.retrieve(created.id, stream=True)
    await client.responses.delete(created.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(created.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.delete(created.id)


async def test_only_a_finished_stream_is_stored(client, http):
    events = await read_events(http, {"model": "gpt-4o", "input": "Hello"})
    assert (await client.responses.retrieve(events[0]["response"]["id"])).status == "completed"
    cut = await http.post("/responses", json={"model": "gpt-4o@no_done", "input": "Hello", "stream": True})
    response_id = json.loads(cut.text.split("\n")[1].removeprefix("data: "))["response"]["id"]
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(response_id)


async def test_store_false_keeps_nothing(client):
    created = await client.responses.create(model="gpt-4o", input="Hello", store=False)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(created.id)


async def test_input_items_page_in_both_orders(client):
    items = [{"role": "user", "content": str(number)} for number in range(5)]
    created = await client.responses.create(model="gpt-4o", input=items)
    listed = [item.content[0].text async for item in await client.responses.input_items.list(created.id, limit=2)]
    assert listed == ["4", "3", "2", "1", "0"]
    page = await client.responses.input_items.list(created.id, order="asc", limit=1)
    assert page.data[0].content[0].text == "0"
    assert page.has_more is True


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=101", "order=up", "after=item_unknown"])
async def test_a_wrong_page_is_refused(http, query):
    created = (await http.post("/responses", json={"model": "gpt-4o", "input": "Hello"})).json()
    reply = await http.get(f"/responses/{created['id']}/input_items?{query}")
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == query.partition("=")[0]


async def test_a_background_response_is_queued_until_it_is_polled(client):
    queued = await client.responses.create(model="gpt-4o", input="Hello", background=True)
    assert (queued.status, queued.output) == ("queued", [])
    polled = await client.responses.retrieve(queued.id)
    assert (polled.status, polled.background) == ("completed", True)
    assert polled.output_text
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a completed response"):
        await client.responses.cancel(queued.id)


async def test_a_background_response_can_be_cancelled_twice_a_synchronous_one_never(client):
    queued = await client.responses.create(model="gpt-4o", input="Hello", background=True)
    for _ in range(2):
        cancelled = await client.responses.cancel(queued.id)
        assert (cancelled.status, cancelled.output) == ("cancelled", [])
    finished = await client.responses.create(model="gpt-4o", input="Hello")
    with pytest.raises(openai.BadRequestError, match="synchronous"):
        await client.responses.cancel(finished.id)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 7}, "input"),
        ({"input": ["text"]}, "input"),
        ({"previous_response_id": "resp_unknown"}, "previous_response_id"),
        ({"tools": [{"type": "function"}]}, "tools[].name"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"max_output_tokens": -1}, "max_output_tokens"),
    ],
)
async def test_a_wrong_field_is_named(http, change, param):
    reply = await http.post("/responses", json={"model": "m", "input": "Hello", **change})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param


async def test_what_nests_too_deeply_to_be_echoed_is_refused(sim, http):
    deep = '{"a":' * 400 + "1" + "}" * 400
    reply = await http.post("/responses", content=f'{{"model":"m","input":"x","metadata":{deep}}}')
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_value")
    log = await http.get(f"{sim.origin}/sim/log")
    assert log.json()["entries"][0]["body"]["model"] == "m"
