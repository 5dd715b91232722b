"""Anthropic's own client against a tiny application made of nothing but the surface's functions."""

from collections.abc import AsyncIterator

import anthropic
import httpx2
import orjson
import pytest

from shared.errors import GatewayError
from shared.surfaces.anthropic import (
    MessageEvents,
    chat_request,
    counted,
    error_of,
    message_of,
    model_of,
    models_page,
    pending_message,
)
from shared.surfaces.sse import DONE, encode_event
from shared.surfaces.token_estimate import estimate_tokens

USAGE = {"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def script(chat):
    """A model in OpenAI's format: calls a tool that it has not called yet, else says how many messages it read."""
    called = chat["messages"][-1]["role"] == "tool"
    if chat.get("tools") and not called:
        name = chat["tools"][0]["function"]["name"]
        call = {
            "id": "call_1",
            "type": "function",
            "function": {"name": name, "arguments": '{"city":"Paris"}'},
        }
        return {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Hm.",
            "tool_calls": [call],
        }, "tool_calls"
    return {"role": "assistant", "content": f"read {len(chat['messages'])}"}, "stop"


def complete(chat):
    message, finish = script(chat)
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "chatcmpl-1", "model": chat["model"], "choices": [choice], "usage": USAGE}


def stream(chat):
    message, finish = script(chat)
    deltas = [{"role": "assistant", "content": None}]
    deltas += [{"reasoning_content": message["reasoning_content"]}] if "reasoning_content" in message else []
    deltas += [{"content": word} for word in (message["content"] or "").partition(" ") if word]
    for call in message.get("tool_calls", []):
        begun = {**call, "index": 0, "function": {"name": call["function"]["name"], "arguments": ""}}
        deltas.append({"tool_calls": [begun]})
        deltas += [
            {"tool_calls": [{"index": 0, "function": {"arguments": each}}]} for each in call["function"]["arguments"]
        ]
    head = {"id": "chatcmpl-1", "model": chat["model"]}
    for delta in deltas:
        yield encode_event(orjson.dumps(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}))
    yield encode_event(orjson.dumps(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
    yield encode_event(orjson.dumps(head | {"choices": [], "usage": USAGE}))
    if chat["model"] == "cut":
        yield encode_event(orjson.dumps({"error": {"message": "Cut.", "type": "upstream_error"}}))
    yield DONE


MODELS = [
    {"id": name, "created": 1_700_000_000} for name in ("openai/gpt-4o", "anthropic/claude-sonnet-4-6", "gemini/x")
]


def answer(method, path, query, headers, body):
    """Status, content type and body."""
    if path == "/v1/models":
        return 200, models_page(MODELS, limit=int(query.get("limit", 2)), after_id=query.get("after_id"))
    if method == "GET":
        return 200, model_of({"id": path.removeprefix("/v1/models/")})
    if path == "/v1/messages/count_tokens":
        return 200, counted(estimate_tokens(chat_request(body, counting=True)))
    if headers.get("x-bf-async-id") == "failed":
        return 429, error_of(429, {"message": "Too many.", "type": "rate_limit_error"}, "req_1")
    chat = chat_request(body)
    if headers.get("x-bf-async") == "true":
        return 200, pending_message("0b6e", chat["model"], "queued")
    if chat.get("stream"):
        events = MessageEvents(request_id="req_1")
        return 200, b"".join(events.feed(data) for data in stream(chat))
    return 200, message_of(complete(chat))


async def app(scope, receive, send):
    body = b""
    while (message := await receive()).get("more_body") or message.get("body"):
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    query = dict(httpx2.QueryParams(scope["query_string"].decode()).items())
    try:
        status, reply = answer(scope["method"], scope["path"], query, headers, orjson.loads(body) if body else None)
    except GatewayError as error:
        status, reply = error.status, error_of(error.status, error.envelope()["error"], "req_1")
    kind = b"text/event-stream" if isinstance(reply, bytes) else b"application/json"
    head = [(b"content-type", kind), (b"request-id", b"req_1"), (b"x-should-retry", b"false")]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": reply if isinstance(reply, bytes) else orjson.dumps(reply)})


@pytest.fixture
async def claude() -> AsyncIterator[anthropic.AsyncAnthropic]:
    transport = httpx2.ASGITransport(app=app)
    async with (
        httpx2.AsyncClient(transport=transport) as http,
        anthropic.AsyncAnthropic(
            base_url="http://gateway/", api_key="sk-bf-1", http_client=http, _strict_response_validation=True
        ) as sdk,
    ):
        yield sdk


ASKED = {"model": "openai/gpt-4o", "max_tokens": 100, "messages": [{"role": "user", "content": "Weather?"}]}
TOOLS = [{"name": "get_weather", "input_schema": SCHEMA}]


async def test_a_message(claude):
    message = await claude.messages.create(**ASKED, system="Be brief.")
    assert message.content[0].text == "read 2"
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == (
        "end_turn",
        12,
        4,
    )
    assert message._request_id == "req_1"


async def test_a_tool_loop_whole_and_streamed(claude):
    whole = await claude.messages.create(**ASKED, tools=TOOLS)
    async with claude.messages.stream(**ASKED, tools=TOOLS) as stream:
        streamed = await stream.get_final_message()
    assert [block.model_dump() for block in streamed.content] == [block.model_dump() for block in whole.content]
    assert streamed.usage.input_tokens == whole.usage.input_tokens
    thought, use = whole.content
    assert (thought.thinking, use.input, whole.stop_reason) == ("Hm.", {"city": "Paris"}, "tool_use")
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "12 C"}
    history = [
        *ASKED["messages"],
        {"role": "assistant", "content": whole.content},
        {"role": "user", "content": [result]},
    ]
    ended = await claude.messages.create(**ASKED | {"messages": history}, tools=TOOLS)
    assert ended.content[0].text == "read 3"


async def test_a_stream_of_text(claude):
    async with claude.messages.stream(**ASKED) as stream:
        words = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert words == ["read", " ", "1"]
    assert final.stop_reason == "end_turn"


async def test_an_error_in_a_stream_is_raised(claude):
    with pytest.raises(anthropic.APIStatusError, match="Cut"):
        async with claude.messages.stream(**ASKED | {"model": "cut"}) as stream:
            await stream.until_done()


async def test_what_has_no_counterpart_is_a_bad_request_that_names_it(claude):
    audio = [{"role": "user", "content": [{"type": "audio"}]}]
    with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\].content\[0\].type") as caught:
        await claude.messages.create(**ASKED | {"messages": audio})
    assert caught.value.body["error"]["code"] == "unsupported_parameter"


async def test_jobs_are_pending_messages_and_failed_ones_errors(claude):
    pending = await claude.messages.create(**ASKED, extra_headers={"x-bf-async": "true"})
    assert (pending.id, pending.content, pending.stop_reason, pending.status) == ("0b6e", [], None, "queued")
    with pytest.raises(anthropic.RateLimitError, match="Too many"):
        await claude.messages.create(**ASKED, extra_headers={"x-bf-async-id": "failed"})


async def test_tokens_are_counted_and_models_listed_page_by_page(claude):
    assert (await claude.messages.count_tokens(model="m", messages=ASKED["messages"])).input_tokens == 3
    assert [model.id async for model in claude.models.list(limit=2)] == [model["id"] for model in MODELS]
    assert (await claude.models.retrieve("openai/gpt-4o")).display_name
