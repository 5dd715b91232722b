"""Chat requests as generateContent requests."""

import base64
import re

import pytest

from shared.errors import InvalidRequest, UnsupportedParameter
from shared.providers.wires.base import ProviderRequest
from shared.providers.wires.gemini import DROPPED, GeminiWire, method_path, split_path
from shared.surfaces.request_types import CHAT
from tests.providers.wires.gemini.request_cases import (
    BUDGET,
    HI,
    NEW,
    OLD,
    PIXEL,
    body_of,
    call_of,
    contents_of,
    parts_of,
    request_of,
    signed,
)

TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
PDF = base64.b64encode(b"%PDF-1.7").decode()


def refused(fields, model=NEW):
    """The parameter that is named."""
    with pytest.raises(UnsupportedParameter) as caught:
        body_of(fields, model)
    assert caught.value.status == 400
    return caught.value.param


def invalid(fields):
    with pytest.raises(InvalidRequest) as caught:
        body_of(fields)
    assert not isinstance(caught.value, UnsupportedParameter)
    return caught.value.param


def test_a_question_goes_to_the_models_method():
    upstream = GeminiWire().request(request_of({"messages": HI}))
    assert upstream.path == "/models/gemini-3-flash-preview:generateContent"
    assert upstream.body == b'{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}'
    assert (
        GeminiWire()
        .request(request_of({"messages": HI, "stream": True}))
        .path.endswith(":streamGenerateContent?alt=sse")
    )


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "a/b:c?d#e", "../../x", "ü", "tunedModels/my model", "models/m"])
def test_model_and_method_are_separable_and_nothing_escapes_the_path(model):
    path = method_path(model, "streamGenerateContent?alt=sse")
    collection, name, method = split_path(path)
    assert method == "streamGenerateContent?alt=sse"
    assert re.fullmatch(r"/(models|tunedModels)/[A-Za-z0-9._~%-]+:streamGenerateContent\?alt=sse", path)
    assert collection == ("tunedModels" if model.startswith("tuned") else "models")
    assert path == f"/{collection}/{name}:{method}"


def test_system_and_developer_messages_are_the_instruction():
    body = body_of(
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                *HI,
                {"role": "developer", "content": [{"type": "text", "text": "In French."}]},
            ]
        }
    )
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "In French."}]}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    assert refused({"messages": [{"role": "system", "content": [image]}, *HI]}) == "messages[0].content"


def test_neighbours_of_one_role_are_one_content():
    turn = contents_of(*HI, *HI, {"role": "assistant", "content": "A"}, {"role": "assistant", "content": "B"}, *HI)
    assert [(content["role"], len(content["parts"])) for content in turn] == [("user", 2), ("model", 2), ("user", 1)]


def test_images_files_and_sound_travel_inline():
    parts = parts_of(
        [
            {"type": "text", "text": "Look."},
            {"type": "text", "text": ""},
            {"type": "image_url", "image_url": {"url": f"data:image/PNG;base64,{PIXEL}", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "mp3"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
            {"type": "file", "file": {"file_data": PDF}},
            {"type": "file", "file": {"file_data": "data:text/plain,a%20b"}},
        ]
    )
    assert parts == [
        {"text": "Look."},
        {"inlineData": {"mimeType": "image/png", "data": PIXEL}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "UklGRg=="}},
        {"inlineData": {"mimeType": "application/pdf", "data": PDF}},
        {"inlineData": {"mimeType": "application/pdf", "data": PDF}},
        {"inlineData": {"mimeType": "text/plain", "data": base64.b64encode(b"a b").decode()}},
    ]


@pytest.mark.parametrize(
    ("part", "file"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/a.JPG?x=1"}},
            {"fileUri": "https://example.com/a.JPG?x=1", "mimeType": "image/jpeg"},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/image"}},
            {"fileUri": "https://example.com/image"},
        ),
        ({"type": "file", "file": {"file_id": "files/abc"}}, {"fileUri": "files/abc"}),
        (
            {"type": "file", "file": {"file_id": "gs://bucket/talk", "format": "video/mp4"}},
            {"fileUri": "gs://bucket/talk", "mimeType": "video/mp4"},
        ),
    ],
)
def test_addresses_go_on_with_the_type_that_they_show(part, file):
    assert parts_of([part]) == [{"fileData": file}]


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "video"}, ".type"),
        ({"type": 7}, ".type"),
        ({"type": "input_audio", "input_audio": {"data": "", "format": "pcm16"}}, ".input_audio.format"),
        ({"type": "file", "file": {"file_id": "file-123"}}, ".file.file_id"),
        ({"type": "image_url", "image_url": {"url": "data:text/plain;base64,YQ=="}}, ".image_url.url"),
        ({"type": "file", "file": {"file_data": "data:,a"}}, ".file.file_data"),
    ],
)
def test_unknown_content_is_refused_by_its_place(part, param):
    assert refused({"messages": [*HI, {"role": "user", "content": [part]}]}) == f"messages[1].content[0]{param}"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png"}}]}
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"seed": True}, "seed"),
        ({"stop": [1]}, "stop[0]"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"response_format": "json"}, "response_format"),
        ({"extra_body": []}, "extra_body"),
        (
            {"messages": [*HI, {"role": "tool", "tool_call_id": "c9", "content": "x"}]},
            "messages[1].tool_call_id",
        ),
        (
            {"messages": [*HI, {"role": "assistant", "tool_calls": [call_of(arguments="{")]}]},
            "messages[1].tool_calls[0].function.arguments",
        ),
        (
            {"messages": [*HI, {"role": "assistant", "tool_calls": [call_of(arguments="[]")]}]},
            "messages[1].tool_calls[0].function.arguments",
        ),
    ],
)
def test_what_is_not_of_the_format_is_an_invalid_request(fields, param):
    assert invalid(fields) == param


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "function", "name": "f", "content": "x"}, "messages[1].role"),
        ({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}, "messages[1].function_call"),
        ({"role": "assistant", "audio": {"id": "a"}}, "messages[1].audio"),
        ({"role": "assistant", "tool_calls": [{"id": "c", "type": "custom"}]}, "messages[1].tool_calls[0].type"),
    ],
)
def test_messages_without_a_counterpart_are_refused(message, param):
    assert refused({"messages": [*HI, message]}) == param


def test_an_empty_conversation_is_refused():
    assert refused({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ""}]})


def test_parallel_calls_and_their_results_stand_together():
    contents = contents_of(
        *HI,
        {"role": "assistant", "content": "Both.", "tool_calls": [call_of("c1"), call_of("c2", "get_time", "")]},
        {"role": "tool", "tool_call_id": "c2", "content": '{"hour":7}'},
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": [{"type": "text", "text": "12"}, {"type": "text", "text": "C"}],
        },
        {"role": "user", "content": "Thanks."},
        model=BUDGET,
    )
    assert contents[1:] == [
        {
            "role": "model",
            "parts": [
                {"text": "Both."},
                {"functionCall": {"id": "c1", "name": "get_weather", "args": {"city": "Paris"}}},
                {"functionCall": {"id": "c2", "name": "get_time", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c2", "name": "get_time", "response": {"hour": 7}}},
                {"functionResponse": {"id": "c1", "name": "get_weather", "response": {"result": "12\nC"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "Thanks."}]},
    ]


def test_a_result_can_name_its_function_itself():
    contents = contents_of(*HI, {"role": "tool", "tool_call_id": "c9", "name": "f", "content": None})
    assert contents[1]["parts"] == [{"functionResponse": {"id": "c9", "name": "f", "response": {"result": ""}}}]


def test_results_with_pictures_are_for_models_that_see_them():
    document = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    messages = [
        *HI,
        {"role": "assistant", "tool_calls": [call_of(**signed("c2ln"))]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": '{"a":1}'}, document]},
    ]
    result = contents_of(*messages)[2]["parts"][0]["functionResponse"]
    assert result["response"] == {"a": 1}
    assert result["parts"] == [{"inlineData": {"mimeType": "image/png", "data": PIXEL}}]
    assert refused({"messages": messages}, BUDGET) == "messages[2].content"


def test_signatures_go_back_to_where_they_came_from():
    call = call_of(**signed("c2lnMQ=="))
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}, **signed("aW1n")}
    description = {
        "role": "assistant",
        "content": "A",
        "images": [image],
        "tool_calls": [call, call_of("c2")],
        **signed("dHh0"),
    }
    parts = contents_of(*HI, description)[1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == ["dHh0", "aW1n", "c2lnMQ==", None]
    assert contents_of(*HI, {"role": "assistant", "content": None, **signed("dHh0")})[1]["parts"] == [
        {"text": "", "thoughtSignature": "dHh0"}
    ]


def test_calls_by_other_models_are_marked_for_those_that_check_signatures():
    message = {"role": "assistant", "tool_calls": [call_of(), call_of("c2")]}
    marks = [part.get("thoughtSignature") for part in contents_of(*HI, message)[1]["parts"]]
    assert marks == ["skip_thought_signature_validator", None]
    assert all("thoughtSignature" not in part for part in contents_of(*HI, message, model=BUDGET)[1]["parts"])


def test_a_refusal_goes_back_as_text():
    turn = [{"type": "refusal", "refusal": "No."}]
    assert contents_of(*HI, {"role": "assistant", "content": turn})[1]["parts"] == [{"text": "No."}]


def test_what_nests_too_deeply_to_be_written_is_an_invalid_request():
    schema = {}
    for _ in range(500):
        schema = {"items": schema}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    with pytest.raises(InvalidRequest, match="deeply"):
        GeminiWire().request(
            ProviderRequest(request_type=CHAT, model=NEW, body=b"", fields={"messages": HI, "tools": [tool]})
        )


def test_parts_that_only_google_knows_go_back_as_they_came():
    code = {"executableCode": {"language": "PYTHON", "code": "1+1"}}
    message = {"role": "assistant", "content": "2", "refusal": None, "extra_content": {"google": {"parts": [code]}}}
    assert contents_of(*HI, message)[1]["parts"] == [code, {"text": "2"}]


def test_options_have_their_names_there():
    body = body_of(
        {
            "max_tokens": 5,
            "max_completion_tokens": 9,
            "temperature": 0.5,
            "top_p": 1,
            "top_k": 40,
            "stop": "END",
            "n": 2,
            "seed": -1,
            "presence_penalty": 0.1,
            "frequency_penalty": 0.2,
            "logprobs": True,
            "top_logprobs": 3,
            "modalities": ["text", "image"],
            "service_tier": "flex",
        }
    )
    assert body["serviceTier"] == "flex"
    assert body["generationConfig"] == {
        "maxOutputTokens": 9,
        "temperature": 0.5,
        "topP": 1,
        "topK": 40,
        "stopSequences": ["END"],
        "candidateCount": 2,
        "seed": 2**31 - 1,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 3,
        "responseModalities": ["TEXT", "IMAGE"],
    }
    assert body_of({"max_tokens": 5, "stop": ["a", "b"], "logprobs": True})["generationConfig"] == {
        "maxOutputTokens": 5,
        "stopSequences": ["a", "b"],
        "responseLogprobs": True,
    }


def test_a_plain_request_has_no_optional_fields():
    nulls = dict.fromkeys(
        ("temperature", "stop", "tools", "tool_choice", "response_format", "reasoning_effort", "seed")
    )
    plain = {"logprobs": False, "modalities": ["text"], "service_tier": "auto", "response_format": {"type": "text"}}
    harmless = {"logit_bias": {}, "functions": [], "function_call": "none", "parallel_tool_calls": True, "tools": []}
    assert body_of(nulls).keys() == body_of(plain).keys() == body_of(harmless).keys() == {"contents"}


def test_what_is_dropped_by_design_is_listed_with_its_reason():
    named = [name for names in DROPPED for name in names.split(", ") if "." not in name and "[" not in name]
    assert "store" in named
    assert all(DROPPED.values())
    assert body_of({name: "x" for name in named if name != "seed"}).keys() == {"contents"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"audio": {"voice": "alloy"}}, "audio"),
        ({"functions": [{}]}, "functions"),
        ({"sparkle": 1}, "sparkle"),
        ({"modalities": ["audio"]}, "modalities[0]"),
        ({"modalities": [{}]}, "modalities[0]"),
        ({"service_tier": "scale"}, "service_tier"),
        ({"service_tier": []}, "service_tier"),
        ({"tools": [{"type": "custom"}]}, "tools[0].type"),
        ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "custom"}}, "tool_choice.type"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "x", "tools": []}}},
            "tool_choice.allowed_tools.mode",
        ),
        ({"web_search_options": {"search_context_size": "low"}}, "web_search_options"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"extra_body": {"openai": {}}}, "extra_body.openai"),
        ({"extra_body": {"google": {"magic": 1}}}, "extra_body.google.magic"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(fields, param):
    assert refused(fields) == param


def test_structured_output_takes_json_schema_as_it_is():
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/x"}},
        "$defs": {"x": {"type": ["string", "null"]}},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    assert body_of({"response_format": wanted})["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }
    for loose in ({"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "x"}}):
        assert body_of({"response_format": loose})["generationConfig"] == {"responseMimeType": "application/json"}


def test_functions_are_declared_in_one_tool_beside_a_search():
    bare = {"type": "function", "function": {"name": "now", "description": "The time.", "strict": True}}
    assert body_of({"tools": [TOOL, bare], "web_search_options": {}})["tools"] == [
        {
            "functionDeclarations": [
                {"name": "get_weather", "parametersJsonSchema": {"type": "object", "properties": {}}},
                {"name": "now", "description": "The time."},
            ]
        },
        {"googleSearch": {}},
    ]


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "get_weather"}},
            {"mode": "ANY", "allowedFunctionNames": ["get_weather"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["get_weather"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOL]}},
            {"mode": "ANY", "allowedFunctionNames": ["get_weather"]},
        ),
    ],
)
def test_the_choice_of_tools(choice, config):
    assert body_of({"tools": [TOOL], "tool_choice": choice})["toolConfig"] == {"functionCallingConfig": config}
    assert "toolConfig" not in body_of({"tool_choice": choice})


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-flash", "minimal", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-flash", "medium", {"thinkingBudget": 8192, "includeThoughts": True}),
        ("gemini-2.5-flash", "xhigh", {"thinkingBudget": 24_576, "includeThoughts": True}),
        ("gemini-2.5-flash-lite", "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-pro", "max", {"thinkingBudget": 32_768, "includeThoughts": True}),
        ("gemini-3-pro-preview", "minimal", {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-3-pro-preview", "medium", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3.1-pro-preview", "medium", {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        ("gemini-3-flash-preview", "minimal", {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        ("gemini-3.1-flash-lite", "minimal", {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        ("gemini-3.8-flash", "minimal", {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-3.1-flash-image", "low", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-4-hydrogen", "xhigh", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-flash-latest", "low", {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemma-4-31b-it", "medium", {"thinkingLevel": "HIGH", "includeThoughts": True}),
    ],
)
def test_effort_becomes_the_level_or_budget_of_each_generation(model, effort, config):
    assert body_of({"reasoning_effort": effort}, model)["generationConfig"]["thinkingConfig"] == config


@pytest.mark.parametrize(
    ("model", "effort"),
    [
        ("gemini-2.5-pro", "none"),
        ("gemini-3-flash-preview", "none"),
        ("gemini-2.0-flash", "low"),
        ("gemini-2.5-flash-image", "low"),
        ("gemma-3-27b-it", "low"),
        (NEW, "extreme"),
        (NEW, 5),
    ],
)
def test_efforts_that_a_model_cannot_make_are_refused(model, effort):
    assert refused({"reasoning_effort": effort}, model) == "reasoning_effort"


def test_effort_none_is_accepted_by_models_that_do_not_think():
    assert "generationConfig" not in body_of({"reasoning_effort": "none"}, OLD)


def test_the_providers_own_fields_travel_in_extra_body():
    native = {
        "thinking_config": {"thinking_budget": 5, "include_thoughts": True},
        "cached_content": "cachedContents/1",
        "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "labels": {"team": "a"},
        "tools": [{"codeExecution": {}}],
        "retrieval_config": {"languageCode": "fr"},
        "generation_config": {"mediaResolution": "MEDIA_RESOLUTION_LOW"},
    }
    asked = {"extra_body": {"google": native}, "reasoning_effort": "high"}
    body = body_of(asked, BUDGET)
    assert body["generationConfig"] == {
        "thinkingConfig": native["thinking_config"],
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
    }
    assert (body["cachedContent"], body["labels"]) == ("cachedContents/1", {"team": "a"})
    assert body["safetySettings"] == native["safety_settings"]
    assert body["tools"] == [{"codeExecution": {}}]
    assert body["toolConfig"] == {"retrievalConfig": {"languageCode": "fr"}}
