"""Whole Messages and errors in OpenAI's format."""

import orjson
import pytest
from openai.types.chat import ChatCompletion

from shared.providers.wires.anthropic import AnthropicWire
from shared.providers.wires.anthropic.decoder import FINISH_REASONS
from shared.providers.wires.base import MalformedAnswer
from tests.providers.wires.anthropic.judge import STOP_REASONS
from tests.providers.wires.anthropic.request_cases import HI, MIDDLE, OLD, request_of

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-6",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 2},
}


def answered(fields=None, *, model=MIDDLE, **changes):
    """The completion for a Message; its SDK's type takes it strictly."""
    request = request_of({"messages": HI} | (fields or {}), model)
    translated = AnthropicWire().answer(request, orjson.dumps(MESSAGE | changes), "application/json")
    completion = orjson.loads(translated.body)
    ChatCompletion.model_validate(completion, strict=True)
    assert translated.usage == completion["usage"]
    return completion


def description(*blocks, **changes):
    return answered(content=list(blocks), **changes)["choices"][0]


def test_a_text_is_a_completion():
    assert answered() == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 1_795_360_000,
        "model": "claude-sonnet-4-6",
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def test_an_answer_without_id_and_model_gets_ours():
    assert [answered(id=None, model_=None)["id"], answered()["model"]] == ["chatcmpl-ours", MIDDLE]
    nameless = {name: value for name, value in MESSAGE.items() if name != "model"}
    body = AnthropicWire().answer(request_of({"messages": HI}), orjson.dumps(nameless), "").body
    assert orjson.loads(body)["model"] == MIDDLE


def test_the_prompt_counts_what_caches_held():
    usage = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 100,
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 40},
        "service_tier": "priority",
    }
    completion = answered(usage=usage)
    assert completion["usage"] == {
        "prompt_tokens": 123,
        "completion_tokens": 50,
        "total_tokens": 173,
        "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 40},
        "service_tier": "priority",
    }
    assert completion["service_tier"] == "priority"
    assert "service_tier" not in answered(usage=usage | {"service_tier": "batch"})


def test_thoughts_words_and_calls_have_their_places():
    choice = description(
        {"type": "thinking", "thinking": "Hm. ", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Let me "},
        {"type": "text", "text": "see."},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "sky"}},
        {"type": "tool_use", "id": "toolu_2", "name": "rest", "input": {}},
        stop_reason="tool_use",
    )
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": "Let me see.",
        "refusal": None,
        "reasoning_content": "Hm. ",
        "thinking_blocks": [
            {"type": "thinking", "thinking": "Hm. ", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "xyz"},
        ],
        "tool_calls": [
            {"id": "toolu_1", "type": "function", "function": {"name": "look", "arguments": '{"at":"sky"}'}},
            {"id": "toolu_2", "type": "function", "function": {"name": "rest", "arguments": "{}"}},
        ],
    }


@pytest.mark.parametrize(("reason", "finish"), FINISH_REASONS.items())
def test_stop_reasons(reason, finish):
    block = (
        {"type": "tool_use", "id": "t", "name": "f", "input": {}} if finish == "tool_calls" else MESSAGE["content"][0]
    )
    assert description(block, stop_reason=reason)["finish_reason"] == finish


def test_every_stop_reason_is_known_and_a_new_one_is_a_stop():
    assert set(STOP_REASONS) == set(FINISH_REASONS)
    assert description(MESSAGE["content"][0], stop_reason="bored")["finish_reason"] == "stop"


def test_a_refusal_keeps_its_explanation():
    details = {"type": "refusal", "category": "cyber", "explanation": "I will not."}
    choice = description(stop_reason="refusal", stop_details=details)
    assert choice["finish_reason"] == "content_filter"
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": "I will not."}
    assert description(stop_reason="refusal", stop_details=None)["message"]["content"] == ""


def test_the_stop_sequence_is_reported_and_no_content_is_an_empty_text():
    choice = description(stop_reason="stop_sequence", stop_sequence="END")
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "END")
    assert choice["message"]["content"] == ""


SHAPED = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}}


def test_the_forced_tool_of_old_models_is_the_answer():
    given = {"type": "tool_use", "id": "t1", "name": "give_answer", "input": {"n": 1}}
    other = {"type": "tool_use", "id": "t2", "name": "look", "input": {}}
    alone = answered(SHAPED, model=OLD, content=[given], stop_reason="tool_use")["choices"][0]
    both = answered(SHAPED, model=OLD, content=[given, other], stop_reason="tool_use")["choices"][0]
    new = answered(SHAPED, model=MIDDLE, content=[given], stop_reason="tool_use")["choices"][0]
    assert (alone["message"]["content"], alone["finish_reason"]) == ('{"n":1}', "stop")
    assert "tool_calls" not in alone["message"]
    assert (both["message"]["tool_calls"][0]["function"]["name"], both["finish_reason"]) == (
        "look",
        "tool_calls",
    )
    assert new["message"]["tool_calls"][0]["function"]["name"] == "give_answer"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        orjson.dumps(MESSAGE | {"content": None}),
        orjson.dumps(MESSAGE | {"content": ["Hello"]}),
        orjson.dumps(MESSAGE | {"content": [{"type": "server_tool_use"}]}),
        orjson.dumps(MESSAGE | {"content": [{"type": "text"}]}),
        orjson.dumps(MESSAGE | {"usage": None}),
        orjson.dumps(MESSAGE | {"usage": {"input_tokens": -1}}),
        orjson.dumps(MESSAGE | {"usage": {"input_tokens": "3"}}),
    ],
)
def test_what_is_no_message_is_malformed(body):
    with pytest.raises(MalformedAnswer):
        AnthropicWire().answer(request_of({"messages": HI}), body, "application/json")


@pytest.mark.parametrize(
    ("status", "body", "passed_on"),
    [
        (
            429,
            b'{"type":"error","error":{"type":"rate_limit_error","message":"Slow."},"request_id":"r"}',
            (
                429,
                {"message": "Slow.", "type": "rate_limit_error", "param": None, "code": "rate_limit_error"},
            ),
        ),
        (
            529,
            b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
            (
                503,
                {
                    "message": "Overloaded",
                    "type": "overloaded_error",
                    "param": None,
                    "code": "overloaded_error",
                },
            ),
        ),
        (
            403,
            b'[{"error":{"code":403,"message":"No.","status":"PERMISSION_DENIED"}}]',
            (
                403,
                {"message": "No.", "type": "PERMISSION_DENIED", "param": None, "code": "PERMISSION_DENIED"},
            ),
        ),
        (500, b'{"error":"text"}', (500, {"message": "text"})),
        (502, b"<html>Bad gateway</html>", (502, {"message": ""})),
        (502, b"no healthy upstream", (502, {"message": "no healthy upstream"})),
        (500, b'"text"', (500, {"message": "text"})),
        (400, b"{}", (400, {"message": "", "type": None, "param": None, "code": None})),
    ],
)
def test_errors(status, body, passed_on):
    assert AnthropicWire().error(status, body) == passed_on
