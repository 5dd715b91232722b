"""Requests, each approved by botocore; and what is refused, by its place."""

import orjson
import pytest

from shared.errors import InvalidRequest, UnsupportedParameter
from shared.providers.wires.bedrock import DROPPED, BedrockWire
from tests.providers.wires.bedrock.judge import (
    ADAPTIVE,
    BUDGET,
    LLAMA,
    MODEL,
    NEWEST,
    NOVA,
    OLD,
    OSS,
    PROFILE,
    blocks_of,
    body_of,
)
from tests.providers.wires.chat_chunks import HI, request_of

PNG = "data:image/png;base64,iVBORw0KGgo="
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
SPEC = {"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object", "properties": {}}}}}
CALLED = [
    *HI,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}},
            {"id": "b", "type": "function", "function": {"name": "hear", "arguments": ""}},
        ],
    },
    {"role": "tool", "tool_call_id": "a", "content": "blue"},
    {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "a bird"}]},
]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
SHAPED = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "number", "description": "One.", "schema": SCHEMA},
    }
}


def refused(fields, model=MODEL):
    with pytest.raises(InvalidRequest) as caught:
        body_of(fields, model)
    return type(caught.value), caught.value.param


def test_the_models_name_stands_in_the_path_encoded():
    path = BedrockWire().request(request_of({"messages": HI, "stream": True}, PROFILE)).path
    assert path == f"/model/{PROFILE.replace(':', '%3A').replace('/', '%2F')}/converse-stream"
    for name in (".", ".."):
        with pytest.raises(InvalidRequest):
            BedrockWire().request(request_of({"messages": HI}, name))


def test_system_messages_are_apart_and_turns_alternate():
    body = body_of(
        {
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Hi"},
                {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
                {"role": "user", "content": "Still there?"},
                {"role": "assistant", "content": "Yes."},
                {"role": "assistant", "content": "  "},
                {"role": "assistant", "refusal": "No."},
            ]
        }
    )
    assert body["system"] == [{"text": "Be kind."}, {"text": "Be brief."}]
    assert body["messages"] == [
        {"role": "user", "content": [{"text": "Hi"}, {"text": "Still there?"}]},
        {"role": "assistant", "content": [{"text": "Yes."}, {"text": "No."}]},
    ]


def test_results_stand_first_in_one_turn_and_name_the_tools_that_the_request_left_out():
    body = body_of({"messages": [*CALLED, {"role": "user", "content": "So?"}]})
    assert body["messages"][1]["content"] == [
        {"toolUse": {"toolUseId": "a", "name": "look", "input": {"at": "sky"}}},
        {"toolUse": {"toolUseId": "b", "name": "hear", "input": {}}},
    ]
    assert body["messages"][2]["content"] == [
        {"toolResult": {"toolUseId": "a", "content": [{"text": "blue"}]}},
        {"toolResult": {"toolUseId": "b", "content": [{"text": "a bird"}]}},
        {"text": "So?"},
    ]
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["look", "hear"]
    late = body_of({"messages": [*CALLED[:2], {"role": "user", "content": "Wait."}, *CALLED[2:]]})["messages"][2]
    assert [next(iter(block)) for block in late["content"]] == ["toolResult", "toolResult", "text"]


def test_a_result_may_hold_images_be_empty_or_an_error():
    def result(**more):
        messages = [*CALLED[:2], {"role": "tool", "tool_call_id": "a", **more}, CALLED[3]]
        return body_of({"messages": messages})["messages"][2]["content"][0]["toolResult"]

    image = {"type": "image_url", "image_url": {"url": PNG}}
    assert result(content=[image])["content"] == [{"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}]
    assert result(content=None)["content"] == [{"text": ""}]
    assert result(content=[{"type": "text", "text": ""}])["content"] == [{"text": ""}]
    assert result(content="no", is_error=True)["status"] == "error"
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    messages = [*CALLED[:2], {"role": "tool", "tool_call_id": "a", "content": [sound]}]
    assert refused({"messages": messages}) == (UnsupportedParameter, "messages[2].content")


def test_ids_that_another_provider_minted_are_replaced_the_same_everywhere():
    strange = "call " + "x" * 80
    calls = [{"id": strange, "function": {"name": "look", "arguments": "{}"}}]
    result = {"role": "tool", "tool_call_id": strange, "content": "blue"}
    messages = body_of({"messages": [*HI, {"role": "assistant", "tool_calls": calls}, result]})["messages"]
    used = messages[1]["content"][0]["toolUse"]["toolUseId"]
    assert used == messages[2]["content"][0]["toolResult"]["toolUseId"]
    assert len(used) == 45


def test_images_documents_and_sounds():
    document = {"type": "file", "file": {"file_data": "JVBERi0=", "filename": "Q3  report_(final).v2.pdf"}}
    assert blocks_of([document]) == [
        {"document": {"format": "pdf", "name": "Q3 report (final) v2", "source": {"bytes": "JVBERi0="}}}
    ]
    table = {"type": "file", "file": {"file_data": "data:text/csv;base64,YSxi", "filename": "§.csv"}}
    assert blocks_of([table])[0]["document"]["name"] == "document"
    assert blocks_of([table])[0]["document"]["format"] == "csv"
    photo = {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,/9j/", "detail": "high"}}
    assert blocks_of([photo]) == [{"image": {"format": "jpeg", "source": {"bytes": "/9j/"}}}]
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    turn = {"type": "refusal", "refusal": "No."}
    assert blocks_of([turn], role="user") == [{"text": "No."}]
    assert blocks_of([sound]) == [{"audio": {"format": "wav", "source": {"bytes": "AAAA"}}}]


def test_thoughts_go_back_signed_and_first():
    thoughts = [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "c2Vj"},
    ]
    turn = {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm.", "thinking_blocks": thoughts}
    assert body_of({"messages": [*HI, turn]})["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "c2Vj"}},
        {"text": "Yes."},
    ]
    wrong = {"role": "assistant", "thinking_blocks": [{"type": "song"}]}
    assert refused({"messages": [*HI, wrong]}) == (UnsupportedParameter, "messages[1].thinking_blocks[0].type")


def test_cache_marks_become_cache_points_after_what_they_mark():
    point = {"cachePoint": {"type": "default"}}
    marked = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    assert blocks_of([marked, {"type": "text", "text": "short"}]) == [{"text": "long"}, point, {"text": "short"}]
    assert blocks_of("all", prompt_cache_breakpoint={"ttl": "30m"})[1] == {
        "cachePoint": {"type": "default", "ttl": "1h"}
    }
    tool = {**TOOL, "cache_control": {"type": "ephemeral", "ttl": "5m"}}
    assert body_of({"tools": [tool]})["toolConfig"]["tools"] == [SPEC, {"cachePoint": {"type": "default", "ttl": "5m"}}]
    system = {"role": "system", "content": "Be kind.", "cache_control": {"type": "ephemeral"}}
    assert body_of({"messages": [system, *HI]})["system"] == [{"text": "Be kind."}, point]


def test_inference_options():
    body = body_of({"max_tokens": 5, "max_completion_tokens": 7, "temperature": 1.5, "stop": ["a", "b"], "top_k": 3})
    assert body["inferenceConfig"] == {"maxTokens": 7, "temperature": 1, "stopSequences": ["a", "b"]}
    assert body["additionalModelRequestFields"] == {"top_k": 3}
    assert body_of({"stop": "a", "top_p": 0.5}, NOVA)["inferenceConfig"] == {"topP": 0.5, "stopSequences": ["a"]}
    both = {"temperature": 0.1, "top_p": 0.5}
    assert body_of(both)["inferenceConfig"] == {"temperature": 0.1}
    assert body_of(both, LLAMA)["inferenceConfig"] == {"temperature": 0.1, "topP": 0.5}
    assert "inferenceConfig" not in body_of(both, NEWEST)


@pytest.mark.parametrize(
    ("choice", "turn"),
    [
        (None, None),
        ("auto", {"auto": {}}),
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "look"}}, {"tool": {"name": "look"}}),
    ],
)
def test_tool_choices(choice, turn):
    config = body_of({"tools": [TOOL], "tool_choice": choice})["toolConfig"]
    assert config == {"tools": [SPEC], **({"toolChoice": turn} if turn else {})}


def test_no_tools_means_none_unless_the_conversation_speaks_of_them():
    assert "toolConfig" not in body_of({"tools": [TOOL], "tool_choice": "none"})
    assert "toolConfig" not in body_of({"tool_choice": "auto"})
    assert body_of({"messages": CALLED, "tools": [TOOL], "tool_choice": "none"})["toolConfig"] == {"tools": [SPEC]}
    for choice in ("required", {"type": "function", "function": {"name": "look"}}):
        assert refused({"tool_choice": choice}) == (InvalidRequest, "tool_choice")


def test_strict_tools_are_strict_where_the_model_can():
    described = {**TOOL["function"], "description": "Looks.", "parameters": SCHEMA, "strict": True}
    tools = [{"type": "function", "function": described}]
    spec = body_of({"tools": tools})["toolConfig"]["tools"][0]["toolSpec"]
    assert (spec["strict"], spec["description"]) == (True, "Looks.")
    assert spec["inputSchema"]["json"]["additionalProperties"] is False
    assert "strict" not in body_of({"tools": tools}, OLD)["toolConfig"]["tools"][0]["toolSpec"]
    plain = body_of({"tools": tools}, OSS)["toolConfig"]["tools"][0]["toolSpec"]
    assert plain["inputSchema"]["json"] == SCHEMA


def test_an_answer_is_held_to_a_schema_by_format_or_by_tool():
    form = body_of(SHAPED)["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert (form["name"], form["description"]) == ("number", "One.")
    assert orjson.loads(form["schema"])["additionalProperties"] is False
    assert (
        orjson.loads(body_of(SHAPED, OSS)["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]) == SCHEMA
    )
    for model in (OLD, NOVA, LLAMA, "us.anthropic.claude-opus-4-1-20250805-v1:0"):
        body = body_of(SHAPED, model)
        assert "outputConfig" not in body
        assert body["toolConfig"]["toolChoice"] == {"tool": {"name": "give_answer"}}
        assert body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == SCHEMA
    assert body_of({**SHAPED, "tools": [TOOL]}, OLD)["toolConfig"]["toolChoice"] == {"any": {}}
    unnamed = {"response_format": {"type": "json_schema", "json_schema": {}}}
    assert body_of(unnamed, OSS)["outputConfig"]["textFormat"]["structure"]["jsonSchema"] == {
        "schema": '{"type":"object"}',
        "name": "answer",
    }


def test_a_json_object_is_asked_for_in_words():
    assert "JSON object" in body_of({"response_format": {"type": "json_object"}})["system"][-1]["text"]
    assert "system" not in body_of({"response_format": {"type": "text"}})


def test_efforts_of_claude():
    adaptive = body_of({"reasoning_effort": "minimal", "temperature": 0.5}, ADAPTIVE)
    assert adaptive["additionalModelRequestFields"]["thinking"]["type"] == "adaptive"
    assert adaptive["outputConfig"] == {"effort": "low"}
    assert "inferenceConfig" not in adaptive
    budget = body_of({"reasoning_effort": "medium"}, BUDGET)
    assert budget["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 8192}}
    assert budget["inferenceConfig"] == {"maxTokens": 32_000}
    assert body_of({"reasoning_effort": "high", "max_tokens": 4096}, BUDGET)["inferenceConfig"] == {"maxTokens": 4096}
    off = body_of({"reasoning_effort": "none", "temperature": 0.5}, BUDGET)
    assert off["additionalModelRequestFields"] == {"thinking": {"type": "disabled"}}
    assert off["inferenceConfig"] == {"temperature": 0.5}
    native = {"type": "enabled", "budget_tokens": 2048}
    assert body_of({"thinking": native}, BUDGET)["additionalModelRequestFields"] == {"thinking": native}
    assert refused({"reasoning_effort": "low"}, OLD) == (UnsupportedParameter, "reasoning_effort")


@pytest.mark.parametrize(
    ("model", "effort", "fields"),
    [
        (OSS, "xhigh", {"reasoning_effort": "high"}),
        (OSS, "minimal", {"reasoning_effort": "low"}),
        (NOVA, "medium", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}),
        (NOVA, "none", {"reasoningConfig": {"type": "disabled"}}),
        (LLAMA, "none", None),
    ],
)
def test_efforts_of_others(model, effort, fields):
    assert body_of({"reasoning_effort": effort}, model).get("additionalModelRequestFields") == fields


def test_what_is_the_providers_own_goes_on_and_wins():
    own = {
        "additionalModelRequestFields": {"reasoning_effort": "high", "top_k": 2},
        "guardrailConfig": {"guardrailIdentifier": "abc", "guardrailVersion": "1"},
        "performanceConfig": {"latency": "optimized"},
    }
    body = body_of({**own, "reasoning_effort": "low", "top_k": 1}, OSS)
    assert {name: body[name] for name in own} == own


def test_labels():
    body = body_of({"metadata": {"team": "a-b"}, "service_tier": "flex"})
    assert (body["requestMetadata"], body["serviceTier"]) == ({"team": "a-b"}, {"type": "flex"})
    assert body_of({"metadata": {}, "service_tier": "auto"}).keys() == {"messages"}


def test_the_documented_fields_are_dropped_and_no_others():
    plain = {name for key in DROPPED for name in key.split(", ") if "." not in name and "[" not in name}
    dropped = dict.fromkeys(plain - {"temperature", "top_p", "tool_choice none"}, 1)
    assert dropped
    assert body_of(dropped).keys() == {"messages"}
    harmless = {
        "n": 1,
        "logprobs": False,
        "top_logprobs": 0,
        "modalities": ["text"],
        "function_call": "none",
        "seed": None,
    }
    assert body_of(harmless).keys() == {"messages"}


def part(**fields):
    return {"messages": [{"role": "user", "content": [fields]}]}


PLACE = "messages[0].content[0]"


@pytest.mark.parametrize(
    ("fields", "param", "kind"),
    [
        ({"n": 2}, "n", UnsupportedParameter),
        ({"logprobs": True}, "logprobs", UnsupportedParameter),
        ({"audio": {}}, "audio", UnsupportedParameter),
        ({"modalities": ["audio"]}, "modalities", UnsupportedParameter),
        ({"invented": 1}, "invented", UnsupportedParameter),
        ({"stop": ["a", ""]}, "stop[1]", UnsupportedParameter),
        ({"stop": ""}, "stop", UnsupportedParameter),
        ({"stop": 1}, "stop", InvalidRequest),
        ({"temperature": "hot"}, "temperature", InvalidRequest),
        ({"max_tokens": 1.5}, "max_tokens", InvalidRequest),
        ({"service_tier": "scale"}, "service_tier", UnsupportedParameter),
        ({"metadata": {"a": "ü"}}, "metadata.a", UnsupportedParameter),
        ({"metadata": {"a": 1}}, "metadata.a", UnsupportedParameter),
        ({"metadata": {"": "x"}}, "metadata.", UnsupportedParameter),
        ({"response_format": {"type": "grammar"}}, "response_format.type", UnsupportedParameter),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", InvalidRequest),
        ({"reasoning_effort": "huge"}, "reasoning_effort", UnsupportedParameter),
        ({"tools": [{"type": "custom"}]}, "tools[0].type", UnsupportedParameter),
        ({"tools": {}}, "tools", InvalidRequest),
        ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice", InvalidRequest),
        ({"tools": [TOOL], "tool_choice": {"type": "custom"}}, "tool_choice.type", UnsupportedParameter),
        ({"tools": [TOOL], "tool_choice": 7}, "tool_choice", InvalidRequest),
        ({"messages": []}, "messages", UnsupportedParameter),
        ({"messages": "Hi"}, "messages", InvalidRequest),
        ({"messages": [1]}, "messages[0]", InvalidRequest),
        ({"messages": [{"role": "function"}]}, "messages[0].role", UnsupportedParameter),
        ({"messages": [{"role": "assistant", "audio": {}}]}, "messages[0].audio", UnsupportedParameter),
        (
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}]},
            "messages[0].content",
            UnsupportedParameter,
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"type": "custom"}]}]},
            "messages[0].tool_calls[0].type",
            UnsupportedParameter,
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "x", "arguments": "{"}}]}
                ]
            },
            "messages[0].tool_calls[0].function.arguments",
            InvalidRequest,
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "x", "arguments": "[]"}}]}
                ]
            },
            "messages[0].tool_calls[0].function.arguments",
            InvalidRequest,
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", InvalidRequest),
        (part(type="video_url"), f"{PLACE}.type", UnsupportedParameter),
        (part(type=["text"]), f"{PLACE}.type", UnsupportedParameter),
        (part(type="text"), f"{PLACE}.text", InvalidRequest),
        (part(type="image_url", image_url={"url": "https://x/y.png"}), f"{PLACE}.image_url.url", UnsupportedParameter),
        (
            part(type="image_url", image_url={"url": "data:image/tiff;base64,AA"}),
            f"{PLACE}.image_url.url",
            UnsupportedParameter,
        ),
        (part(type="image_url", image_url={"url": "data:image/png,AA"}), f"{PLACE}.image_url.url", InvalidRequest),
        (part(type="file", file={"file_id": "file-1"}), f"{PLACE}.file.file_id", UnsupportedParameter),
        (
            part(type="file", file={"file_data": "data:video/mp4;base64,AA"}),
            f"{PLACE}.file.file_data",
            UnsupportedParameter,
        ),
        (part(type="input_audio", input_audio={"format": "midi"}), f"{PLACE}.input_audio.format", UnsupportedParameter),
    ],
)
def test_unsupported_fields_are_refused_by_name(fields, param, kind):
    assert refused(fields) == (kind, param)


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        (LLAMA, {"reasoning_effort": "low"}, "reasoning_effort"),
        (PROFILE, {"reasoning_effort": "low"}, "reasoning_effort"),
        (OSS, {"reasoning_effort": "none"}, "reasoning_effort"),
        (OSS, {"reasoning_effort": ["low"]}, "reasoning_effort"),
        (NOVA, {"thinking": {"type": "enabled"}}, "thinking"),
    ],
)
def test_models_that_cannot_reason_so_say_it(model, fields, param):
    assert refused(fields, model) == (UnsupportedParameter, param)
