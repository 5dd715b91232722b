"""Whole answers and errors."""

import orjson
import pytest
from openai.types.chat import ChatCompletion

from shared.providers.wires.base import MalformedAnswer
from shared.providers.wires.bedrock import BedrockWire
from tests.providers.wires.bedrock.judge import MODEL, OLD
from tests.providers.wires.bedrock.stream_events import ANSWER, answer_with
from tests.providers.wires.bedrock.test_stream import SHAPED, THOUGHT, USE
from tests.providers.wires.chat_chunks import HI, request_of


def read(answer, fields=None, model=MODEL):
    translated = BedrockWire().answer(request_of({"messages": HI} | (fields or {}), model), orjson.dumps(answer), "")
    body = orjson.loads(translated.body)
    ChatCompletion.model_validate(body, strict=True)
    assert translated.usage == body["usage"]
    return body


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_model_output", "stop"),
        ("tool_use", "stop"),
        ("one_from_the_future", "stop"),
    ],
)
def test_stop_reasons(stop_reason, finish_reason):
    assert read(ANSWER | {"stopReason": stop_reason})["choices"][0]["finish_reason"] == finish_reason


def test_the_prompt_counts_what_caches_held():
    counts = {"inputTokens": 5, "outputTokens": 7, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 20}
    usage = read(ANSWER | {"usage": counts})["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (125, 7, 132)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 100, "cache_write_tokens": 20}


def test_thoughts_are_text_to_read_and_signed_blocks_to_send_back():
    hidden = {"reasoningContent": {"redactedContent": "c2VjcmV0"}}
    message = read(answer_with(THOUGHT, hidden, {"text": "Yes."}))["choices"][0]["message"]
    assert message["reasoning_content"] == "Hm, so."
    assert message["thinking_blocks"] == [
        {"type": "thinking", "thinking": "Hm, so.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "c2VjcmV0"},
    ]
    unsigned = {"reasoningContent": {"reasoningText": {"text": "Hm."}}}
    message = read(answer_with(unsigned, {"text": "Yes."}))["choices"][0]["message"]
    assert message["reasoning_content"] == "Hm."
    assert "thinking_blocks" not in message


def test_calls_have_text_for_arguments_and_an_answer_by_tool_is_content():
    called = read(answer_with({"text": "I look."}, USE, stopReason="tool_use"))["choices"][0]
    assert called["finish_reason"] == "tool_calls"
    function = called["message"]["tool_calls"][0]["function"]
    assert orjson.loads(function["arguments"]) == USE["toolUse"]["input"]
    shaped = {"toolUse": {"toolUseId": "t", "name": "give_answer", "input": {"a": 1}}}
    answered = read(answer_with(shaped, stopReason="tool_use"), SHAPED, OLD)["choices"][0]
    assert answered["finish_reason"] == "stop"
    assert answered["message"]["content"] == '{"a":1}'


def test_an_empty_answer_is_an_empty_text():
    assert read(answer_with())["choices"][0]["message"]["content"] == ""


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"output": {}},
        {"output": {"message": {"content": None}}},
        answer_with("text"),
        answer_with({"video": {}}),
        answer_with({"toolUse": {"toolUseId": "t"}}),
        answer_with({"reasoningContent": {"reasoningText": {}, "tune": "a"}}) | {"usage": None},
        ANSWER | {"usage": {"inputTokens": True}},
    ],
)
def test_what_is_no_answer_is_malformed(answer):
    with pytest.raises(MalformedAnswer):
        BedrockWire().answer(request_of({"messages": HI}, MODEL), orjson.dumps(answer), "")


@pytest.mark.parametrize(
    ("status", "body", "passed_on", "code", "message"),
    [
        (400, b'{"message": "Bad."}', 400, "ValidationException", "Bad."),
        (403, b'{"Message": "Signature expired."}', 403, "AccessDeniedException", "Signature expired."),
        (424, b'{"message": "The model failed."}', 502, "ModelErrorException", "The model failed."),
        (429, b'{"__type": "com.amazon#ThrottlingException", "message": "Slow."}', 429, "ThrottlingException", "Slow."),
        (503, b"<html>", 503, "ServiceUnavailableException", ""),
        (502, b"bad gateway", 502, None, "bad gateway"),
        (500, b"[]", 500, "InternalServerException", ""),
    ],
)
def test_errors_have_the_name_that_their_status_means(status, body, passed_on, code, message):
    status_, error = BedrockWire().error(status, body)
    assert status_ == passed_on
    assert (error["code"], error["message"]) == (code, message)
