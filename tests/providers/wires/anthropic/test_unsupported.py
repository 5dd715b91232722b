"""What cannot be expressed, or is not of the format, is refused by its place."""

import pytest

from shared.errors import InvalidRequest, UnsupportedParameter
from tests.providers.wires.anthropic.request_cases import BUDGET, OLD, body_of


def message(**fields):
    return {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", **fields}]}


def part(value):
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, value]}]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"functions": [{}]}, "functions"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"made_up": 1}, "made_up"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"stop": ["a", "\n"]}, "stop[1]"),
        ({"stop": " "}, "stop"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"tools": [{"type": "custom"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "custom"}}, "tool_choice.type"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "Hi"}]}, "messages"),
        ({"messages": [{"role": "function", "content": "Hi"}]}, "messages[0].role"),
        (
            {
                "messages": [
                    {
                        "role": "system",
                        "content": part({"type": "file", "file": {"file_id": "f"}})["messages"][0]["content"],
                    }
                ]
            },
            "messages[0].content",
        ),
        (part({"type": "input_audio"}), "messages[0].content[1].type"),
        (part({"type": ["text"]}), "messages[0].content[1].type"),
        (
            part({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AAAA"}}),
            "messages[0].content[1].image_url.url",
        ),
        (
            part({"type": "file", "file": {"file_data": "data:audio/wav;base64,AAAA"}}),
            "messages[0].content[1].file.file_data",
        ),
        (message(audio={"id": "a"}), "messages[1].audio"),
        (message(function_call={}), "messages[1].function_call"),
        (message(tool_calls=[{"type": "custom"}]), "messages[1].tool_calls[0].type"),
        (message(thinking_blocks=[{"type": "hm"}]), "messages[1].thinking_blocks[0].type"),
    ],
)
def test_what_cannot_be_expressed_is_named(fields, param):
    with pytest.raises(UnsupportedParameter) as caught:
        body_of(fields)
    assert caught.value.param == param
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": None}, "messages"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"user": 1}, "user"),
        ({"stop": [1]}, "stop[0]"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        (
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {"name": "f", "strict": True, "parameters": {"items": 1}},
                    }
                ]
            },
            "tools[0].function.parameters",
        ),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": 1}}},
            "response_format.json_schema.name",
        ),
        (
            part({"type": "image_url", "image_url": {"url": "data:image/png,AAAA"}}),
            "messages[0].content[1].image_url.url",
        ),
        (
            part({"type": "file", "file": {"file_data": "data:text/plain;base64,@"}}),
            "messages[0].content[1].file.file_data",
        ),
        (
            message(tool_calls=[{"id": "1", "function": {"name": "f", "arguments": "{"}}]),
            "messages[1].tool_calls[0].function.arguments",
        ),
        (
            message(tool_calls=[{"id": "1", "function": {"name": "f", "arguments": "[]"}}]),
            "messages[1].tool_calls[0].function.arguments",
        ),
    ],
)
def test_what_is_not_of_the_format_is_named(fields, param):
    with pytest.raises(InvalidRequest) as caught:
        body_of(fields)
    assert caught.value.param == param


def test_models_that_do_not_think_and_limits_that_leave_no_room_say_so():
    with pytest.raises(UnsupportedParameter, match="does not reason"):
        body_of({"reasoning_effort": "low"}, OLD)
    with pytest.raises(UnsupportedParameter, match="more than 1024"):
        body_of({"reasoning_effort": "low", "max_tokens": 1024}, BUDGET)
