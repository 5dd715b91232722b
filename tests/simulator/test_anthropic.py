"""The Messages API of the simulator, judged by Anthropic's client with strict validation."""

import json
from collections.abc import AsyncIterator

import anthropic
import pytest

from simulator.serve import RunningSimulator

USER = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
MODEL = "claude-sonnet-4-6"


@pytest.fixture
async def claude(sim: RunningSimulator) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=f"{sim.origin}/anthropic",
        api_key="sk-simulated-1234",
        max_retries=0,
        timeout=10,
        _strict_response_validation=True,
    ) as sdk:
        yield sdk


async def test_the_same_question_gets_the_same_answer(claude):
    first = await claude.messages.create(model=MODEL, max_tokens=100, messages=USER)
    again = await claude.messages.create(model=MODEL, max_tokens=100, messages=USER)
    assert first.content[0].text == again.content[0].text
    assert first.stop_reason == "end_turn"
    assert first.usage.input_tokens == 12
    assert first.usage.output_tokens == len(first.content[0].text.split())


@pytest.mark.parametrize("model", [MODEL, f"{MODEL}@reasoning", f"{MODEL}@tool"])
async def test_a_stream_adds_up_to_the_whole_answer(claude, model):
    question = {"model": model, "max_tokens": 100, "messages": USER, "tools": [WEATHER]}
    whole = await claude.messages.create(**question)
    async with claude.messages.stream(**question) as stream:
        summed = await stream.get_final_message()
    kept = {"type", "text", "thinking", "signature", "name", "input"}
    assert [b.model_dump(include=kept) for b in summed.content] == [b.model_dump(include=kept) for b in whole.content]
    assert (summed.stop_reason, summed.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)


async def test_stop_sequences_and_limits_are_told_apart(claude):
    whole = await claude.messages.create(model=MODEL, max_tokens=100, messages=USER)
    word = whole.content[0].text.split()[3]
    stopped = await claude.messages.create(model=MODEL, max_tokens=100, messages=USER, stop_sequences=[word])
    limited = await claude.messages.create(model=MODEL, max_tokens=2, messages=USER)
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", word)
    assert word not in stopped.content[0].text
    assert limited.stop_reason == "max_tokens"


async def test_a_tool_loop_with_thoughts_needs_the_thoughts_unchanged(claude):
    question = {
        "model": MODEL,
        "max_tokens": 2000,
        "tools": [WEATHER],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    asked = await claude.messages.create(messages=USER, **question)
    thought, use = asked.content
    assert asked.stop_reason == "tool_use"
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}
    history = [*USER, {"role": "assistant", "content": asked.content}, {"role": "user", "content": [result]}]
    answered = await claude.messages.create(messages=history, **question)
    assert answered.stop_reason == "end_turn"
    forged = {**thought.model_dump(exclude_none=True), "thinking": "something else"}
    history[1] = {"role": "assistant", "content": [forged, use]}
    with pytest.raises(anthropic.BadRequestError, match="signature"):
        await claude.messages.create(messages=history, **question)


async def test_thoughts_can_be_left_out_and_formats_and_tools_be_forced(claude):
    hidden = await claude.messages.create(
        model="claude-opus-4-8",
        max_tokens=2000,
        messages=USER,
        thinking={"type": "adaptive", "display": "omitted"},
        output_config={"format": {"type": "json_schema", "schema": {"type": "object", "properties": {}}}},
    )
    assert (hidden.content[0].thinking, bool(hidden.content[0].signature)) == ("", True)
    assert hidden.content[1].text == "{}"
    forced = await claude.messages.create(
        model=MODEL,
        max_tokens=2000,
        messages=USER,
        tools=[WEATHER],
        tool_choice={"type": "tool", "name": "get_weather"},
    )
    assert forced.content[0].name == "get_weather"


async def test_tokens_are_counted_and_models_listed(claude):
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    counted = await claude.messages.count_tokens(
        model=MODEL, system="Be brief.", messages=[{"role": "user", "content": [image]}]
    )
    assert counted.input_tokens == 1607
    assert MODEL in [model.id async for model in claude.models.list()]
    assert (await claude.models.retrieve("claude-opus-9")).id == "claude-opus-9"


@pytest.mark.parametrize(
    ("model", "error", "kind"),
    [
        ("claude@status=529", anthropic.InternalServerError, "overloaded_error"),
        ("claude@status=429", anthropic.RateLimitError, "rate_limit_error"),
        ("claude@status=500", anthropic.InternalServerError, "api_error"),
        ("claude@status=422", anthropic.UnprocessableEntityError, "invalid_request_error"),
    ],
)
async def test_errors_have_anthropics_envelope(claude, model, error, kind):
    with pytest.raises(error) as caught:
        await claude.messages.create(model=model, max_tokens=10, messages=USER)
    assert caught.value.body["error"]["type"] == kind


async def test_a_stream_can_break_off_with_an_error_event(claude):
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        async with claude.messages.stream(model="claude@error_event=5", max_tokens=10, messages=USER) as stream:
            await stream.until_done()


CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "max_tokens: Input should"),
        ({"model": ""}, "model: Field required"),
        ({"seed": 1}, "seed: Extra inputs"),
        ({"temperature": 1.5}, "temperature: range"),
        ({"temperature": 1, "model": "claude-opus-5"}, "temperature: Extra inputs"),
        ({"tools": {}}, "tools: Input"),
        ({"tools": [{"name": 1}]}, "tools.0.name"),
        ({"tools": [{"name": "f", "input_schema": {}}]}, "input_schema.type"),
        ({"tool_choice": {"type": "any"}}, "tool_choice: may only"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}}, "'x' not found"),
        ({"tools": [WEATHER], "tool_choice": {"type": "all"}}, "tool_choice: Input tag"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "must be greater than"),
        ({"thinking": {"type": "enabled"}, "model": "claude-opus-4-8"}, "not supported"),
        ({"output_config": {"format": {"type": "json_object"}}}, "output_config.format.schema"),
        ({"messages": None}, "messages: Field required"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": []}]}, "non-empty content"),
        ({"messages": [{"role": "user", "content": " "}]}, "non-whitespace"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "expected tags"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "source: Field required"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image", "source": {"type": "base64", "data": "%"}}],
                    }
                ]
            },
            "invalid base64",
        ),
        ({"messages": [*USER, {"role": "assistant", "content": [{"type": "tool_use"}]}]}, "tool_use.id"),
        (
            {"messages": [*USER, {"role": "assistant", "content": [{"type": "thinking"}]}]},
            "thinking.signature",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
            "tool_use_id: Field required",
        ),
        ({"messages": [*USER, CALL, *USER]}, "without `tool_result`"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t9"}]}]},
            "unexpected `tool_use_id`",
        ),
    ],
)
async def test_what_the_service_refuses_is_refused(http, sim, change, complaint):
    body = {"model": MODEL, "max_tokens": 2000, "messages": USER} | change
    body = {name: value for name, value in body.items() if value is not None}
    reply = await http.post(f"{sim.origin}/v1/messages", json=body, headers={"anthropic-version": "2023-06-01"})
    assert reply.status_code == 400
    assert complaint in reply.json()["error"]["message"]


async def test_pictures_by_address_and_hidden_thoughts_are_taken(claude):
    picture = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    hidden = {"type": "redacted_thinking", "data": "xyz"}
    content = [hidden, {"type": "text", "text": "Yes?"}]
    history = [*USER, {"role": "assistant", "content": content}, {"role": "user", "content": [picture]}]
    assert (await claude.messages.create(model=MODEL, max_tokens=50, messages=history)).stop_reason == "end_turn"


async def test_an_answer_that_stops_at_once_is_empty(claude):
    whole = await claude.messages.create(model=MODEL, max_tokens=100, messages=USER)
    first = whole.content[0].text[:3]
    stopped = await claude.messages.create(model=MODEL, max_tokens=100, messages=USER, stop_sequences=[first])
    assert (stopped.content, stopped.stop_sequence) == ([], first)


async def test_the_newest_version_takes_no_sampling_and_none_is_no_version(http, sim):
    body = {"model": MODEL, "max_tokens": 20, "messages": USER, "top_p": 0.5}
    newest = await http.post(f"{sim.origin}/v1/messages", json=body, headers={"anthropic-version": "2026-10-21"})
    none = await http.post(f"{sim.origin}/v1/messages", json=body)
    assert "top_p: Extra inputs" in newest.json()["error"]["message"]
    assert "anthropic-version" in none.json()["error"]["message"]


async def test_a_system_text_that_demands_json_is_obeyed(claude):
    instruction = "Answer with a single JSON object and nothing else."
    question = [{"role": "user", "content": "A joke with 'setup' and 'punchline'"}]
    answer = await claude.messages.create(model=MODEL, max_tokens=100, messages=question, system=instruction)
    assert set(json.loads(answer.content[0].text)) == {"setup", "punchline"}
