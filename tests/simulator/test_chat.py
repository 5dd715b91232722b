"""Chat completions, judged by OpenAI's client."""

import json

import openai
import pytest
from pydantic import BaseModel, Field

USER = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 3}},
            "required": ["city", "days"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time"}}


class Step(BaseModel):
    explanation: str
    result: float = Field(ge=10, le=20)


class Solution(BaseModel):
    steps: list[Step]
    answer: int
    kind: str | None


async def test_the_same_question_gets_the_same_answer_and_another_one_another(client):
    first = await client.chat.completions.create(model="gpt-4o", messages=USER)
    again = await client.chat.completions.create(model="gpt-4o", messages=USER)
    other = await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Why?"}])
    assert first.choices[0].message.content == again.choices[0].message.content
    assert first.choices[0].message.content != other.choices[0].message.content
    assert first.id != again.id
    assert first.id.startswith("chatcmpl-")


async def test_usage_counts_prompt_and_answer(client):
    reply = await client.chat.completions.create(model="gpt-4o@tokens=7", messages=USER)
    assert len(reply.choices[0].message.content.split()) == 7
    assert reply.usage.completion_tokens == 7
    assert reply.usage.prompt_tokens == 12  # 29 characters are 8 tokens, and 4 for the message
    assert reply.usage.total_tokens == 19
    assert reply.usage.prompt_tokens_details.cached_tokens == 0
    assert reply.usage.completion_tokens_details.reasoning_tokens == 0


async def test_headers_carry_the_request_id(client):
    raw = await client.chat.completions.with_raw_response.create(model="gpt-4o", messages=USER)
    assert raw.headers["x-request-id"].startswith("req_")
    assert int(raw.headers["openai-processing-ms"]) >= 0
    assert raw.parse()._request_id == raw.headers["x-request-id"]


async def test_echo_repeats_the_last_user_text_of_any_form(client):
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Hello  there,\nworld "}]},
        {"role": "assistant", "content": None},
    ]
    reply = await client.chat.completions.create(model="sim-echo", messages=messages)
    assert reply.choices[0].message.content == "Hello  there,\nworld "


async def test_a_token_limit_cuts_the_answer_short(client):
    reply = await client.chat.completions.create(model="gpt-4o", messages=USER, max_completion_tokens=3)
    assert (reply.usage.completion_tokens, reply.choices[0].finish_reason) == (3, "length")
    older = await client.chat.completions.create(model="gpt-4o", messages=USER, max_tokens=0)
    assert (older.choices[0].message.content, older.choices[0].finish_reason) == ("", "length")


@pytest.mark.parametrize("stop", ["three", ["four", "three"]])
async def test_stop_texts_end_the_answer(client, stop):
    messages = [{"role": "user", "content": "one two three four"}]
    reply = await client.chat.completions.create(model="sim-echo", messages=messages, stop=stop)
    assert reply.choices[0].message.content == "one two "
    assert reply.choices[0].finish_reason == "stop"


async def test_a_stop_text_that_does_not_occur_changes_nothing(client):
    messages = [{"role": "user", "content": "one two"}]
    reply = await client.chat.completions.create(model="sim-echo", messages=messages, stop="nine")
    assert reply.choices[0].message.content == "one two"


async def test_several_choices_differ(client):
    reply = await client.chat.completions.create(model="gpt-4o", messages=USER, n=3)
    assert len({choice.message.content for choice in reply.choices}) == 3
    assert [choice.index for choice in reply.choices] == [0, 1, 2]


async def test_the_stream_says_what_the_whole_answer_says(client):
    whole = await client.chat.completions.create(model="gpt-4o", messages=USER)
    async with client.chat.completions.stream(model="gpt-4o", messages=USER) as stream:
        types = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == whole.choices[0].message.content
    assert final.choices[0].finish_reason == "stop"
    assert types[-1] == "content.done"
    assert types.count("content.delta") == whole.usage.completion_tokens + 1  # the role comes with an empty text


async def test_a_stream_ends_with_usage_only_when_asked(client):
    options = {"include_usage": True}
    stream = await client.chat.completions.create(model="gpt-4o", messages=USER, stream=True, stream_options=options)
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == chunks[-1].usage.prompt_tokens + chunks[-1].usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1
    plain = await client.chat.completions.create(model="gpt-4o", messages=USER, stream=True)
    chunks = [chunk async for chunk in plain]
    assert all(chunk.choices for chunk in chunks)


async def test_a_stream_carries_every_choice(client):
    stream = await client.chat.completions.create(model="gpt-4o", messages=USER, stream=True, n=2)
    ends = [c.choices[0] async for c in stream if c.choices[0].finish_reason]
    assert [(choice.index, choice.finish_reason) for choice in ends] == [(0, "stop"), (1, "stop")]


async def test_the_first_tool_is_called_with_arguments_its_schema_allows(client):
    reply = await client.chat.completions.create(model="gpt-4o", messages=USER, tools=[WEATHER, CLOCK])
    (call,) = reply.choices[0].message.tool_calls
    arguments = json.loads(call.function.arguments)
    assert reply.choices[0].finish_reason == "tool_calls"
    assert reply.choices[0].message.content is None
    assert call.function.name == "get_weather"
    assert isinstance(arguments["city"], str)
    assert 1 <= arguments["days"] <= 3


async def test_a_streamed_tool_call_joins_to_the_same_arguments(client):
    whole = await client.chat.completions.create(model="gpt-4o", messages=USER, tools=[WEATHER])
    strict = {"type": "function", "function": {**WEATHER["function"], "strict": True}}
    strict["function"]["parameters"] = {**strict["function"]["parameters"], "additionalProperties": False}
    async with client.chat.completions.stream(model="gpt-4o", messages=USER, tools=[strict]) as stream:
        final = await stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls
    assert call.function.arguments == whole.choices[0].message.tool_calls[0].function.arguments
    assert final.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("auto", "get_weather"),
        ("required", "get_weather"),
        ("none", None),
        ({"type": "function", "function": {"name": "get_time"}}, "get_time"),
        ({"type": "function", "function": {"name": "unheard_of"}}, None),
    ],
)
async def test_tool_choice_decides(client, choice, called):
    reply = await client.chat.completions.create(
        model="gpt-4o", messages=USER, tools=[WEATHER, CLOCK], tool_choice=choice
    )
    calls = reply.choices[0].message.tool_calls
    assert (calls[0].function.name if calls else None) == called


async def test_after_a_tool_result_the_answer_is_text_unless_the_model_is_told_to_call(client):
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        *USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    reply = await client.chat.completions.create(model="gpt-4o", messages=messages, tools=[WEATHER])
    assert reply.choices[0].message.content
    forced = await client.chat.completions.create(model="gpt-4o@tool", messages=messages, tools=[WEATHER])
    assert forced.choices[0].message.tool_calls


async def test_parse_fills_a_pydantic_model(client):
    reply = await client.chat.completions.parse(model="gpt-4o", messages=USER, response_format=Solution)
    parsed = reply.choices[0].message.parsed
    assert parsed.steps
    assert 10 <= parsed.steps[0].result <= 20


async def test_json_mode_gives_an_object(client):
    reply = await client.chat.completions.create(model="gpt-4o", messages=USER, response_format={"type": "json_object"})
    assert json.loads(reply.choices[0].message.content).keys() == {"answer"}
    text = await client.chat.completions.create(model="gpt-4o", messages=USER, response_format={"type": "text"})
    assert not text.choices[0].message.content.startswith("{")


async def test_reasoning_comes_before_the_answer_and_is_counted(client):
    reply = await client.chat.completions.create(model="gpt-4o@reasoning", messages=USER)
    reasoning = reply.choices[0].message.reasoning_content
    assert reply.usage.completion_tokens_details.reasoning_tokens == len(reasoning.split())
    stream = await client.chat.completions.create(model="gpt-4o@reasoning", messages=USER, stream=True)
    deltas = [chunk.choices[0].delta for chunk in [chunk async for chunk in stream]]
    pieces = [delta.reasoning_content for delta in deltas if hasattr(delta, "reasoning_content")]
    assert "".join(pieces) == reasoning
    assert hasattr(deltas[1], "reasoning_content")


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"messages": USER}, "model", "missing_required_parameter"),
        ({"model": "", "messages": USER}, "model", "missing_required_parameter"),
        ({"model": 7, "messages": USER}, "model", "invalid_type"),
        ({"model": "m"}, "messages", "missing_required_parameter"),
        ({"model": "m", "messages": "hi"}, "messages", "invalid_type"),
        ({"model": "m", "messages": []}, "messages", "empty_array"),
        ({"model": "m", "messages": ["hi"]}, "messages[0]", "invalid_type"),
        ({"model": "m", "messages": [{"content": "hi"}]}, "messages[0].role", "missing_required_parameter"),
        ({"model": "m", "messages": USER, "n": 0}, "n", "integer_out_of_range"),
        ({"model": "m", "messages": USER, "n": "2"}, "n", "invalid_type"),
        ({"model": "m", "messages": USER, "max_tokens": True}, "max_tokens", "invalid_type"),
        (
            {"model": "m", "messages": USER, "response_format": {"type": "json_schema"}},
            "response_format.json_schema",
            "missing_required_parameter",
        ),
    ],
)
async def test_a_wrong_field_is_named(http, body, param, code):
    reply = await http.post("/chat/completions", json=body)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)


async def test_odd_but_harmless_values_are_tolerated(http):
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": [7, {"type": "image_url"}]}],
        "tools": [7, {"type": "function"}],
        "tool_choice": {"type": "allowed_tools"},
        "response_format": "text",
        "stop": 7,
        "stream_options": 7,
    }
    reply = await http.post("/chat/completions", json=body)
    assert reply.status_code == 200
    assert (await http.post("/chat/completions", json={**body, "tools": 7})).status_code == 200


async def test_errors_become_the_clients_exceptions(client):
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="gpt-4o@context_length", messages=USER)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="gpt-4o@policy", messages=USER)
    assert caught.value.code == "content_policy_violation"
