"""Chat requests as Messages requests, judged by the SDK's own types."""

import base64

import orjson
import pytest

from shared.providers.wires.anthropic import DROPPED, AnthropicWire
from tests.providers.wires.anthropic.request_cases import (
    BUDGET,
    HI,
    MIDDLE,
    NEWEST,
    OLD,
    OTHER,
    blocks_of,
    body_of,
    request_of,
)

PDF = base64.b64encode(b"%PDF-1.4").decode()
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at":"sky"}'}}
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
SHAPE = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
SHAPED = {"type": "json_schema", "json_schema": {"name": "shape", "schema": SHAPE, "strict": True}}


def test_the_smallest_request_has_model_limit_and_turn():
    assert body_of({}) == {
        "model": MIDDLE,
        "max_tokens": 32_000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    }
    sent = AnthropicWire().request(request_of({"messages": HI}))
    assert (sent.path, sent.method, sent.headers) == (
        "/v1/messages",
        "POST",
        {"anthropic-version": "2023-06-01"},
    )


def test_on_vertex_the_model_stands_in_the_path_and_the_version_in_the_body():
    wire = AnthropicWire(on_vertex=True)
    file = [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file_1"}}]}]
    sent = wire.request(request_of({"messages": file}, "claude-opus-4-5@20251101"))
    streamed = wire.request(request_of({"messages": HI, "stream": True}))
    assert sent.path == "/publishers/anthropic/models/claude-opus-4-5@20251101:rawPredict"
    assert streamed.path.endswith(":streamRawPredict")
    body = orjson.loads(sent.body)
    assert "model" not in body
    assert body["anthropic_version"] == "vertex-2023-10-16"
    assert body["anthropic_beta"] == ["files-api-2025-04-14"]
    assert sent.headers == {}
    assert "anthropic_beta" not in orjson.loads(streamed.body)


def test_system_and_developer_messages_are_joined_from_everywhere():
    turn = [
        {"role": "system", "content": "One."},
        {"role": "user", "content": "Hi"},
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Two."}],
            "cache_control": {"type": "ephemeral"},
        },
    ]
    body = body_of({"messages": turn})
    assert body["system"] == [
        {"type": "text", "text": "One."},
        {"type": "text", "text": "Two.", "cache_control": {"type": "ephemeral"}},
    ]
    assert [turn["role"] for turn in body["messages"]] == ["user"]


def test_parallel_results_come_back_in_one_turn_before_the_users_words():
    body = body_of(
        {
            "messages": [
                *HI,
                {
                    "role": "assistant",
                    "content": "Let me see.",
                    "tool_calls": [CALL, {**CALL, "id": "call_2"}],
                },
                {"role": "user", "content": "Hurry."},
                {"role": "tool", "tool_call_id": "call_1", "content": "blue"},
                {"role": "tool", "tool_call_id": "call_2", "content": [], "is_error": True},
                {"role": "user", "content": "And?"},
            ]
        }
    )
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][1]["content"] == [
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": "sky"}},
        {"type": "tool_use", "id": "call_2", "name": "look", "input": {"at": "sky"}},
    ]
    assert body["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "blue"},
        {"type": "tool_result", "tool_use_id": "call_2", "is_error": True},
        {"type": "text", "text": "Hurry."},
        {"type": "text", "text": "And?"},
    ]


def test_signed_thoughts_go_back_before_the_text():
    thoughts = [
        {"index": 0, "type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "xyz"},
    ]
    turn = {
        "role": "assistant",
        "content": "",
        "thinking_blocks": thoughts,
        "tool_calls": [CALL],
        "reasoning_content": "Hm.",
    }
    kinds = body_of({"messages": [*HI, turn]})["messages"][1]["content"]
    assert kinds[:2] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "xyz"},
    ]
    assert [block["type"] for block in kinds[2:]] == ["tool_use"]


@pytest.mark.parametrize(
    ("part", "block"),
    [
        ({"type": "text", "text": "Hi"}, {"type": "text", "text": "Hi"}),
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAAA"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "AAAA"}},
        ),
        (
            {
                "type": "file",
                "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"},
            },
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                "title": "a.pdf",
            },
        ),
        (
            {"type": "file", "file": {"file_data": PDF}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/plain;base64,SGk="}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hi"}},
        ),
        (
            {"type": "file", "file": {"file_id": "file_1"}},
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        ),
        (
            {"type": "text", "text": "Hi", "prompt_cache_breakpoint": {"mode": "explicit"}},
            {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
        ),
        (
            {"type": "text", "text": "Hi", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}},
            {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        ),
    ],
)
def test_parts_become_blocks(part, block):
    assert blocks_of([part, {"type": "text", "text": "\n"}]) == [block]


def test_uploaded_files_need_their_beta():
    file = [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file_1"}}]}]
    assert AnthropicWire().request(request_of({"messages": file})).headers["anthropic-beta"] == "files-api-2025-04-14"


def test_refusals_are_remembered_as_words_and_blank_turns_are_left_out():
    messages = [
        *HI,
        {"role": "assistant", "content": None, "refusal": "No.", "audio": None, "annotations": []},
        {"role": "user", "content": " "},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "Still no."}]},
    ]
    assert body_of({"messages": messages})["messages"][1]["content"] == [
        {"type": "text", "text": "No."},
        {"type": "text", "text": "Still no."},
    ]


def test_plain_options_have_their_counterparts():
    body = body_of(
        {
            "max_tokens": 5,
            "max_completion_tokens": 10,
            "stop": "END",
            "user": "u",
            "safety_identifier": "s",
            "service_tier": "default",
            "stream": True,
            "stream_options": {"include_usage": True},
            "cache_control": {"type": "ephemeral"},
            "top_k": 7,
            "seed": 1,
            "n": 1,
            "logprobs": False,
            "top_p": None,
        }
    )
    del body["messages"], body["model"]
    assert body == {
        "max_tokens": 10,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "s"},
        "service_tier": "standard_only",
        "stream": True,
        "cache_control": {"type": "ephemeral"},
        "top_k": 7,
    }
    assert body_of({"metadata": {"user_id": "m", "team": "x"}})["metadata"] == {"user_id": "m"}
    assert "metadata" not in body_of({"metadata": {"team": "x"}})
    assert body_of({"stop": ["a", "b"], "max_tokens": 5, "user": "u"})["stop_sequences"] == ["a", "b"]
    assert "stop_sequences" not in body_of({"stop": []})


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        (OLD, {"temperature": 1, "top_p": 0.5}),
        (OTHER, {"temperature": 1, "top_p": 0.5}),
        (MIDDLE, {"temperature": 1}),
        (NEWEST, {}),
        ("claude-mythos-preview", {}),
        ("claude-instant-v1", {"temperature": 1, "top_p": 0.5}),
        ("claude-sonnet-4-20250514", {"temperature": 1, "top_p": 0.5}),
        ("anthropic.claude-opus-4-1-20250805-v1:0", {"temperature": 1}),
    ],
)
def test_sampling_is_sent_as_far_as_the_model_takes_it(model, sent):
    body = body_of({"temperature": 1.4, "top_p": 0.5}, model)
    assert {name: body[name] for name in ("temperature", "top_p") if name in body} == sent


@pytest.mark.parametrize(
    ("model", "effort", "sent"),
    [
        (
            MIDDLE,
            "minimal",
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "low"}},
        ),
        (
            MIDDLE,
            "xhigh",
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "max"}},
        ),
        (
            NEWEST,
            "xhigh",
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "xhigh"}},
        ),
        (MIDDLE, "none", {"thinking": {"type": "disabled"}}),
        (BUDGET, "low", {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (BUDGET, "max", {"thinking": {"type": "enabled", "budget_tokens": 16_000}}),
        (OLD, "none", {}),
    ],
)
def test_efforts_become_the_models_own_way_of_thinking(model, effort, sent):
    body = body_of({"reasoning_effort": effort, "temperature": 0.3}, model)
    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == sent
    thinks = sent.get("thinking", {}).get("type") in {"adaptive", "enabled"}
    assert ("temperature" in body) is not thinks


def test_an_explicit_thinking_comes_first():
    enabled = {"type": "enabled", "budget_tokens": 5000}
    assert body_of({"thinking": enabled, "reasoning_effort": "low"})["thinking"] == enabled
    adaptive = body_of({"thinking": {"type": "adaptive"}, "reasoning_effort": "max"}, BUDGET)
    assert adaptive["thinking"] == {"type": "adaptive"}
    assert adaptive["output_config"] == {"effort": "high"}


def test_tools_and_choices():
    strict = {"name": "look", "description": "Looks.", "strict": True, "parameters": SHAPE}
    tools = [{"type": "function", "function": strict, "cache_control": {"type": "ephemeral"}}]
    assert body_of({"tools": tools})["tools"] == [
        {
            "name": "look",
            "description": "Looks.",
            "strict": True,
            "cache_control": {"type": "ephemeral"},
            "input_schema": {
                "type": "object",
                "properties": {"n": {"type": "integer", "description": "(minimum: 1)"}},
                "required": ["n"],
                "additionalProperties": False,
            },
        }
    ]
    assert body_of({"tools": tools}, OLD)["tools"][0]["input_schema"] == SHAPE
    marked = {"type": "function", "function": {"name": "f", "cache_control": {"type": "ephemeral"}}}
    assert body_of({"tools": [marked]})["tools"][0] == {
        "name": "f",
        "input_schema": {"type": "object"},
        "cache_control": {"type": "ephemeral"},
    }


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "look"}}, "parallel_tool_calls": False},
            {"type": "tool", "name": "look", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_which_tool_is_called(fields, choice):
    assert body_of({"tools": [LOOK], **fields}).get("tool_choice") == choice
    if "function" not in str(fields) and fields.get("tool_choice") != "required":
        assert "tool_choice" not in body_of(fields)


def test_structured_output_is_a_format_where_the_model_has_it():
    body = body_of({"response_format": SHAPED, "reasoning_effort": "low"})
    assert body["output_config"]["effort"] == "low"
    assert body["output_config"]["format"]["schema"]["additionalProperties"] is False
    described = {"type": "json_schema", "json_schema": {"description": "A shape."}}
    assert body_of({"response_format": described})["output_config"]["format"]["schema"]["description"] == "A shape."


def test_structured_output_is_a_forced_tool_where_it_has_not():
    body = body_of({"response_format": SHAPED}, OLD)
    assert [tool["name"] for tool in body["tools"]] == ["give_answer"]
    assert body["tool_choice"] == {"type": "tool", "name": "give_answer"}
    among = body_of({"response_format": SHAPED, "tools": [LOOK]}, OLD)
    assert [tool["name"] for tool in among["tools"]] == ["look", "give_answer"]
    assert among["tool_choice"] == {"type": "any"}


def test_json_without_a_schema_is_asked_for_in_words():
    body = body_of({"response_format": {"type": "json_object"}})
    assert "single JSON object" in body["system"][-1]["text"]
    assert "system" not in body_of({"response_format": {"type": "text"}})


def test_arguments_may_be_empty():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    assert (
        body_of({"messages": [*HI, {"role": "assistant", "tool_calls": [call]}]})["messages"][1]["content"][0]["input"]
        == {}
    )


def test_every_dropped_field_has_its_reason_and_is_dropped():
    plain = [name for names in DROPPED for name in names.split(", ") if name.isidentifier()]
    values = {"metadata": {"a": "b"}, "temperature": 0.5, "top_p": 0.5}
    for name in plain:
        assert body_of({name: values.get(name, "anything")}, NEWEST) == body_of({}, NEWEST), name
    assert all(DROPPED.values())
