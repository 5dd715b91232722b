"""Whatever a caller or a provider sends, there is an answer or a clear error, never a crash."""

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InvalidRequest, UpstreamFailure
from shared.providers.wires.anthropic import AnthropicWire
from shared.providers.wires.base import MalformedAnswer
from shared.surfaces.anthropic import MessageEvents, chat_request, message_of, without_extensions
from shared.surfaces.sse import DONE, encode_event
from shared.surfaces.token_estimate import estimate_tokens
from tests.examples import examples
from tests.providers.wires.anthropic.request_cases import BUDGET, HI, MIDDLE, OLD, request_of
from tests.providers.wires.anthropic.stream_events import events_of
from tests.providers.wires.anthropic.test_stream import MESSAGE, THOUGHT, USE
from tests.surfaces.dialects import DIALECTS

pytestmark = pytest.mark.slow

NAMES = [
    "type",
    "role",
    "content",
    "text",
    "image_url",
    "url",
    "file",
    "file_data",
    "file_id",
    "filename",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "id",
    "tool_call_id",
    "thinking_blocks",
    "thinking",
    "signature",
    "data",
    "source",
    "media_type",
    "base64",
    "input",
    "input_schema",
    "title",
    "context",
    "citations",
    "tool_use_id",
    "is_error",
    "parameters",
    "strict",
    "json_schema",
    "schema",
    "format",
    "effort",
    "budget_tokens",
    "properties",
    "items",
    "cache_control",
    "message",
    "delta",
    "index",
    "content_block",
    "usage",
    "input_tokens",
    "partial_json",
    "error",
    "user_id",
]
VALUES = [
    "text",
    "image_url",
    "file",
    "function",
    "user",
    "assistant",
    "tool",
    "system",
    "thinking",
    "redacted_thinking",
    "tool_use",
    "tool_result",
    "image",
    "document",
    "base64",
    "url",
    "content",
    "json_schema",
    "json_object",
    "enabled",
    "adaptive",
    "any",
    "auto",
    "object",
    "data:image/png;base64,AAAA",
    "data:text/plain;base64,@@",
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "error",
    "ping",
    "text_delta",
    "input_json_delta",
    "thinking_delta",
    "signature_delta",
    "{}",
    "message",
]
LEAF = st.none() | st.booleans() | st.integers(-3, 5000) | st.sampled_from(VALUES) | st.text(max_size=3)
JSON = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
CHAT_FIELDS = [
    "messages",
    "tools",
    "tool_choice",
    "response_format",
    "stop",
    "user",
    "metadata",
    "reasoning_effort",
    "thinking",
    "max_tokens",
    "temperature",
    "service_tier",
    "stream_options",
    "parallel_tool_calls",
    "n",
    "logprobs",
]
SURFACE_FIELDS = [
    "messages",
    "system",
    "tools",
    "tool_choice",
    "output_config",
    "thinking",
    "metadata",
    "stop_sequences",
    "service_tier",
]


def turns(role: str) -> st.SearchStrategy[list[Any]]:
    return st.builds(lambda content, more: [{**more, "role": role, "content": content}], JSON, _fields(NAMES))


def _fields(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), JSON, max_size=4)


TURNS = st.sampled_from(["user", "assistant", "tool", "system"]).flatmap(turns)


@examples(300)
@given(fields=_fields(CHAT_FIELDS), turns=TURNS, model=st.sampled_from([MIDDLE, OLD, BUDGET]))
def test_chat_requests(fields, turns, model):
    for messages in (turns, HI):
        with contextlib.suppress(InvalidRequest):
            assert AnthropicWire().request(request_of({"messages": messages} | fields, model)).body


@examples(300)
@given(fields=_fields(SURFACE_FIELDS), turns=TURNS)
def test_messages_requests(fields, turns):
    for messages in (turns, HI):
        with contextlib.suppress(InvalidRequest):
            asked = chat_request({"model": "m", "max_tokens": 5, "messages": messages} | fields)
            orjson.dumps(without_extensions(asked, dialect=DIALECTS["openai like"]))


RICH_CHAT = {
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "Be.", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Hi"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "file", "file": {"file_data": "data:text/plain;base64,SGk=", "filename": "a.txt"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "s"}],
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "x"}]},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": {"properties": {"a": {}}}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"anyOf": [{"type": "null"}]}}},
    "metadata": {"user_id": "u"},
    "stop": ["a"],
    "reasoning_effort": "low",
}
RICH_MESSAGES = {
    "model": "m",
    "max_tokens": 10,
    "system": [{"type": "text", "text": "Be."}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {
                    "type": "document",
                    "title": "T",
                    "citations": {"enabled": False},
                    "source": {"type": "content", "content": [{"type": "text", "text": "x"}]},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}]}],
        },
    ],
    "tools": [{"name": "f", "input_schema": {"type": "object"}, "allowed_callers": ["direct"]}],
    "tool_choice": {"type": "tool", "name": "f"},
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "output_config": {
        "effort": "low",
        "format": {"type": "json_schema", "schema": {"properties": {"a": {}}, "type": "object"}},
    },
    "metadata": {"user_id": "u"},
}


def spoiled(value: Any) -> st.SearchStrategy[Any]:
    """The value with one part of it, however deep, replaced by anything."""
    inside = [JSON]
    if isinstance(value, dict):
        inside += [_with(value, name) for name in value]
    elif isinstance(value, list):
        inside += [_with(value, index) for index in range(len(value))]
    return st.one_of(inside)


def _with(value: Any, key: Any) -> st.SearchStrategy[Any]:
    def put(part: Any) -> Any:
        copy = value.copy()
        copy[key] = part
        return copy

    return st.deferred(lambda: spoiled(value[key])).map(put)


@examples(500)
@given(fields=spoiled(RICH_CHAT), model=st.sampled_from([MIDDLE, OLD, BUDGET]))
def test_spoiled_chat_requests(fields, model):
    if isinstance(fields, dict):
        with contextlib.suppress(InvalidRequest):
            AnthropicWire().request(request_of(fields, model))


@examples(500)
@given(fields=spoiled(RICH_MESSAGES))
def test_spoiled_messages_requests(fields):
    if isinstance(fields, dict):
        with contextlib.suppress(InvalidRequest):
            chat = chat_request(fields)
            orjson.dumps(without_extensions(chat, dialect=DIALECTS["openai like"]))
            assert estimate_tokens(chat) > 0


RICH_ANSWER = MESSAGE | {"content": [THOUGHT, MESSAGE["content"][0], USE], "stop_details": {"explanation": "x"}}


@examples(500)
@given(message=spoiled(RICH_ANSWER))
def test_spoiled_answers_become_answers_for_every_caller(message):
    request = request_of({"messages": HI, "stream": True})
    with contextlib.suppress(MalformedAnswer):
        completion = AnthropicWire().answer(request, orjson.dumps(message), "application/json").body
        assert message_of(orjson.loads(completion))["type"] == "message"


@examples(500)
@given(events=spoiled(list(events_of(RICH_ANSWER))))
def test_spoiled_streams_become_streams_for_every_caller(events):
    stream = AnthropicWire().stream(request_of({"messages": HI, "stream": True}))
    encoder = MessageEvents()
    with contextlib.suppress(MalformedAnswer):
        for event in events if isinstance(events, list) else [events]:
            encoder.feed(stream.feed(b"data: " + orjson.dumps(event) + b"\n\n"))


COMPLETION = orjson.loads(AnthropicWire().answer(request_of({"messages": HI}), orjson.dumps(RICH_ANSWER), "").body)


@examples(500)
@given(completion=spoiled(COMPLETION))
def test_spoiled_completions_of_other_providers(completion):
    if isinstance(completion, dict):
        with contextlib.suppress(UpstreamFailure):
            assert message_of(completion)["type"] == "message"
    choices = completion.get("choices") if isinstance(completion, dict) else None
    if isinstance(choices, list):
        deltas = [{**choice, "delta": choice.get("message")} for choice in choices if isinstance(choice, dict)]
        completion = completion | {"choices": deltas}
    encoder = MessageEvents()
    data = encoder.feed(encode_event(orjson.dumps(completion)) + DONE)
    assert data.count(b"event: message_stop") + data.count(b"event: error") == 1
    assert encoder.ended


@examples(300)
@given(changes=_fields(["content", "usage", "type", "stop_reason", "stop_details", "id", "model"]))
def test_answers(changes):
    with contextlib.suppress(MalformedAnswer):
        AnthropicWire().answer(request_of({"messages": HI}), orjson.dumps(MESSAGE | changes), "application/json")


@examples(300)
@given(events=st.lists(_fields(NAMES), max_size=4))
def test_streams(events):
    start = {"type": "message_start", "message": MESSAGE}
    stream = AnthropicWire().stream(request_of({"messages": HI, "stream": True}))
    with contextlib.suppress(MalformedAnswer):
        for event in [start, *events]:
            stream.feed(b"data: " + orjson.dumps(event) + b"\n\n")


@settings(deadline=None)
@given(status=st.integers(400, 599), body=st.binary(max_size=50) | st.builds(orjson.dumps, JSON))
def test_errors(status, body):
    assert isinstance(AnthropicWire().error(status, body)[1]["message"], str)
