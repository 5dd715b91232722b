"""Attributes of spans by the GenAI conventions: what callers send and providers answer is read and bounded."""

import json
from typing import Any

import pytest

from shared.inference.genai_attributes import (
    input_messages,
    operation_name,
    output_messages,
    read_answer,
    request_attributes,
    response_attributes,
    server_attributes,
    usage_attributes,
)


def test_token_counts_of_both_forms_are_read() -> None:
    usage = {"input_tokens": 5, "output_tokens": 7, "input_tokens_details": {"cached_tokens": 2}, "total_tokens": 12}
    assert usage_attributes({**usage, "output_tokens_details": {"reasoning_tokens": 3}}) == {
        "gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 2, "gen_ai.usage.reasoning.output_tokens": 3,
    }  # fmt: skip
    assert usage_attributes({"prompt_tokens_details": {"cache_write_tokens": 4}, "prompt_tokens": "many"}) == {
        "gen_ai.usage.cache_creation.input_tokens": 4
    }
    assert usage_attributes({}) == {}


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"max_completion_tokens": 9, "seed": 1, "top_k": 40}, {"max_tokens": 9, "seed": 1, "top_k": 40}),
        ({"max_output_tokens": 8, "frequency_penalty": 0.5}, {"max_tokens": 8, "frequency_penalty": 0.5}),
        ({"temperature": True, "top_p": "high", "presence_penalty": None}, {}),
        ({"n": 3, "stop": "END"}, {"choice.count": 3, "stop_sequences": ["END"]}),
        ({"n": 1, "stop": ["a", 5, "b" * 999]}, {"stop_sequences": ["a", "b" * 200]}),
        ({"n": True, "stop": {"x": 1}}, {}),
        ({"stop": ["x"] * 99}, {"stop_sequences": ["x"] * 16}),
    ],
)
def test_what_a_request_asks_for_is_read(fields: dict[str, Any], found: dict[str, Any]) -> None:
    assert request_attributes(fields) == {f"gen_ai.request.{name}": value for name, value in found.items()}


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [({"type": "text"}, "text"), ({"type": "json_object"}, "json"), ({"type": "json_schema"}, "json"), ("json", None)],
)
def test_the_wanted_type_of_the_output_is_read(wanted: object, kind: str | None) -> None:
    assert request_attributes({"response_format": wanted}).get("gen_ai.output.type") == kind


def test_request_types_have_well_known_names() -> None:
    names = [operation_name(each) for each in ("chat.completions", "responses", "embeddings", "images.generations")]
    assert names == ["chat", "chat", "embeddings", "images.generations"]


@pytest.mark.parametrize(
    ("url", "address", "port"),
    [
        ("https://api.openai.com/v1", "api.openai.com", 443),
        ("http://[::1]:8000/v1", "::1", 8000),
        ("http://h", "h", 80),
    ],
)
def test_the_address_of_a_provider_is_that_of_its_url(url: str, address: str, port: int) -> None:
    assert server_attributes(url) == {"server.address": address, "server.port": port}


@pytest.mark.parametrize("body", [b"", b"[]", b"no json", b'"text"', b'{"choices": 5}', b'{"choices": [5, null]}'])
def test_an_answer_of_another_form_has_no_attributes(body: bytes) -> None:
    answer = read_answer(body)
    assert response_attributes(answer) == {}
    assert output_messages(answer) == "[]"


def test_the_id_and_the_ends_of_an_answer_are_read() -> None:
    choices = [{"finish_reason": "stop"}, {"finish_reason": None}, {"finish_reason": "length"}]
    assert response_attributes({"id": "i" * 999, "choices": choices}) == {
        "gen_ai.response.id": "i" * 200,
        "gen_ai.response.finish_reasons": ["stop", "length"],
    }


def test_calls_of_tools_and_their_results_are_parts_of_messages() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
    image = {"type": "image_url", "image_url": {"url": "http://x"}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}, image, 5]},
        {"role": "assistant", "content": None, "tool_calls": [call, 5, {"id": "call_2"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rainy"},
        "not a message",
    ]
    asked, called, result = json.loads(input_messages({"messages": messages}))
    assert asked == {"role": "user", "parts": [{"type": "text", "content": "Weather?"}]}
    assert called["parts"] == [
        {"type": "tool_call", "id": "call_1", "name": "weather", "arguments": '{"city":"Paris"}'}
    ]
    assert result["parts"] == [{"type": "tool_call_response", "id": "call_1", "result": "rainy"}]
    assert input_messages({}) == "[]"
    [answered] = json.loads(output_messages({"choices": [{"message": messages[1], "finish_reason": "tool_calls"}, {}]}))
    assert (answered["parts"], answered["finish_reason"]) == (called["parts"], "tool_calls")
