"""generateContent requests as chat requests."""

import orjson
import pytest
from openai.types.chat import completion_create_params

from shared.errors import InvalidRequest, UnsupportedParameter
from shared.surfaces.genai import DROPPED, DROPPED_ELSEWHERE, chat_request, count_request, without_extensions
from shared.surfaces.genai.schema import MAX_DEPTH
from tests.surfaces.dialects import DIALECTS

HI = [{"role": "user", "parts": [{"text": "Hi"}]}]
PIXEL = "iVBORw0KGgo="


def chat_of(**body):
    return chat_request({"contents": HI} | body, model="openai/gpt-4o")


def messages_of(*contents):
    return chat_of(contents=list(contents))["messages"]


def user(*parts):
    return {"role": "user", "parts": list(parts)}


def model(*parts):
    return {"role": "model", "parts": list(parts)}


def config(**options):
    chat = chat_of(generationConfig=options)
    return {name: value for name, value in chat.items() if name not in {"model", "messages"}}


def test_a_question_is_a_question():
    assert chat_of() == {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    streamed = chat_request({"contents": [{"parts": [{"text": "Hi"}]}]}, model="m", stream=True)
    assert streamed["stream"] is True
    assert streamed["stream_options"] == {"include_usage": True}


def test_both_spellings_mean_the_same():
    camel = {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [user({"inlineData": {"mimeType": "image/png", "data": PIXEL}})],
        "generationConfig": {"maxOutputTokens": 5, "thinkingConfig": {"thinkingBudget": 0}},
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    }
    snake = {
        "system_instruction": {"parts": [{"text": "Be brief."}]},
        "contents": [user({"inline_data": {"mime_type": "image/png", "data": PIXEL}})],
        "generation_config": {"max_output_tokens": 5, "thinking_config": {"thinking_budget": 0}},
        "tools": [{"function_declarations": [{"name": "f", "parameters_json_schema": {"type": "object"}}]}],
        "tool_config": {"function_calling_config": {"mode": "ANY"}},
    }
    assert chat_request(camel, model="m") == chat_request(snake, model="m")
    with pytest.raises(InvalidRequest, match="twice"):
        chat_of(generationConfig={"topP": 1, "top_p": 1})


def test_instructions_are_a_system_message():
    assert chat_of(systemInstruction="Be brief.")["messages"][0] == {"role": "system", "content": "Be brief."}
    two = {"parts": [{"text": "A"}, {"text": "B"}]}
    assert [part["text"] for part in chat_of(systemInstruction=two)["messages"][0]["content"]] == ["A", "B"]
    assert [message["role"] for message in chat_of(systemInstruction={"parts": []})["messages"]] == ["user"]


def test_media_of_the_user_are_content_parts():
    parts = [
        {"text": "Look."},
        {"inlineData": {"mimeType": "image/png", "data": "-_8="}, "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"}},
        {"inlineData": {"mimeType": "audio/mpeg", "data": "AA=="}},
        {"inlineData": {"mimeType": "application/pdf", "data": "AA==", "displayName": "a.pdf"}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/a"}},
        {"fileData": {"fileUri": "files/abc"}},
        {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://bucket/a"}},
    ]
    assert messages_of(user(*parts))[0]["content"] == [
        {"type": "text", "text": "Look."},
        {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64,+/8="},
            "extra_content": {"google": {"part": {"mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"}}}},
        },
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a", "format": "image/jpeg"}},
        {"type": "file", "file": {"file_id": "files/abc"}},
        {"type": "file", "file": {"file_id": "gs://bucket/a", "format": "video/mp4"}},
    ]


def test_calls_and_results_without_ids_are_paired_by_name_and_order():
    def call(name, **args):
        return {"functionCall": {"name": name, "args": args}}

    def result(name, answer):
        return {"functionResponse": {"name": name, "response": {"a": answer}}}

    messages = messages_of(
        *HI,
        model({"text": "Both."}, call("f", x=1), call("g"), call("f", x=2)),
        user(result("f", 1), result("f", 2), {"text": "Go on."}, result("g", 3)),
        model(call("f")),
        user(result("f", 4)),
    )
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["call_1", "call_2", "call_3"]
    assert messages[1]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"x":1}'}
    results = [(message["tool_call_id"], message["content"]) for message in messages if message["role"] == "tool"]
    assert results == [("call_1", '{"a":1}'), ("call_3", '{"a":2}'), ("call_2", '{"a":3}'), ("call_4", '{"a":4}')]
    assert [message["role"] for message in messages] == [
        "user", "assistant", "tool", "tool", "tool", "user", "assistant", "tool",
    ]  # fmt: skip


def test_calls_and_results_with_ids_are_paired_by_them():
    messages = messages_of(
        *HI,
        model({"functionCall": {"id": "a", "name": "f"}}, {"functionCall": {"id": "b", "name": "f"}}),
        {
            "role": "function",
            "parts": [
                {"functionResponse": {"id": "b", "name": "f", "response": {}}},
                {"functionResponse": {"id": "a", "name": "f"}},
            ],
        },
    )
    assert [message["tool_call_id"] for message in messages[2:]] == ["b", "a"]
    assert messages[1]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_results_can_hold_pictures():
    document = {"inlineData": {"mimeType": "image/png", "data": PIXEL}}
    result = {"functionResponse": {"name": "f", "response": {"a": 1}, "parts": [document]}}
    content = messages_of(*HI, model({"functionCall": {"name": "f"}}), user(result))[2]["content"]
    assert [part["type"] for part in content] == ["text", "image_url"]


def test_the_models_turns_keep_their_signatures():
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    message = messages_of(
        *HI,
        model(
            {"text": "Hm", "thought": True},
            {"text": "Yes", "thoughtSignature": "c2ln"},
            {"inlineData": {"mimeType": "image/png", "data": PIXEL}, "thoughtSignature": "aW1n"},
            code,
            {"functionCall": {"name": "f"}, "thoughtSignature": "Y2FsbA=="},
        ),
    )[1]
    assert (message["content"], message["reasoning_content"]) == ("Yes", "Hm")
    assert message["extra_content"] == {"google": {"thought_signature": "c2ln", "parts": [code]}}
    assert message["images"][0]["extra_content"] == {"google": {"thought_signature": "aW1n"}}
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "Y2FsbA=="}}


def test_what_nests_too_deeply_to_be_written_is_an_invalid_request():
    deep = {}
    for _ in range(500):
        deep = {"a": deep}
    with pytest.raises(InvalidRequest, match="deeply"):
        messages_of(*HI, model({"functionCall": {"name": "f", "args": deep}}))


def test_null_is_nothing():
    assert chat_of(tools=None, generationConfig={"temperature": None}, systemInstruction=None) == chat_of()
    assert messages_of(model({"thought": True, "text": None}), *HI)[0] == {"role": "assistant", "content": None}


def test_chunks_of_a_stream_sent_back_are_one_message():
    messages = messages_of(*HI, model({"text": "A"}), model({"text": "B"}), model({"thoughtSignature": "c2ln"}), *HI)
    assert [message["content"] for message in messages] == ["Hi", "AB", "Hi"]
    assert messages[1]["extra_content"] == {"google": {"thought_signature": "c2ln"}}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"contents": [user({"videoMetadata": {}})]}, "contents[0].parts[0]"),
        ({"contents": [user({"codeExecutionResult": {}})]}, "contents[0].parts[0].codeExecutionResult"),
        ({"systemInstruction": user({"inlineData": {"mimeType": "image/png", "data": ""}})}, "systemInstruction.parts"),
        ({"sparkle": 1}, "sparkle"),
        ({"toolConfig": {"sparkle": 1}}, "toolConfig.sparkle"),
        ({"generationConfig": {"responseMimeType": "text/x.enum"}}, "generationConfig.responseMimeType"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_its_place(body, param):
    with pytest.raises(UnsupportedParameter) as caught:
        chat_of(**body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"contents": []}, "contents"),
        ({"contents": "Hi"}, "contents"),
        ({"contents": ["Hi"]}, "contents[0]"),
        ({"contents": [{"role": "system", "parts": []}]}, "contents[0].role"),
        ({"contents": [user({"text": 5})]}, "contents[0].parts[0].text"),
        ({"contents": [user({"inlineData": {"data": ""}})]}, "contents[0].parts[0].inlineData.mimeType"),
        (
            {"contents": [user({"functionResponse": {"name": "f", "response": {}}})]},
            "contents[0].parts[0].functionResponse",
        ),
        (
            {
                "contents": [
                    model({"functionCall": {"name": "f"}}),
                    user({"functionResponse": {"id": "x", "name": "f"}}),
                ]
            },
            "contents[1].parts[0].functionResponse",
        ),
        ({"generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": "x"}}},
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
        ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        ({"serviceTier": "gold"}, "serviceTier"),
        (
            {
                "tools": [{"functionDeclarations": [{"name": "f"}]}],
                "toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}},
            },
            "toolConfig.functionCallingConfig.mode",
        ),
    ],
)
def test_what_is_not_of_the_format_is_an_invalid_request(body, param):
    with pytest.raises(InvalidRequest) as caught:
        chat_of(**body)
    assert caught.value.param == param


def test_options_have_openais_names():
    options = config(
        maxOutputTokens=5,
        temperature=0.5,
        topP=0.9,
        topK=40,
        stopSequences=["END"],
        candidateCount=2,
        seed=7,
        presencePenalty=0.1,
        frequencyPenalty=0.2,
        responseLogprobs=True,
        logprobs=3,
        responseModalities=["TEXT", "IMAGE"],
    )
    assert options == {
        "max_completion_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "stop": ["END"],
        "n": 2,
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logprobs": True,
        "top_logprobs": 3,
        "modalities": ["text", "image"],
    }
    assert config(responseModalities=["TEXT"], logprobs=2, responseMimeType="text/plain") == {}
    assert config(responseLogprobs=True) == {"logprobs": True}


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        ({"thinkingLevel": "LOW"}, "low"),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, None),
        ({"thinkingBudget": 0}, "none"),
        ({"thinkingBudget": 1024}, "low"),
        ({"thinkingBudget": 1025}, "medium"),
        ({"thinkingBudget": 24_576}, "high"),
        ({"thinkingBudget": -1}, None),
        ({"includeThoughts": True}, None),
    ],
)
def test_thinking_is_an_effort_and_stays_exact_for_google(thinking, effort):
    options = config(thinkingConfig=thinking)
    assert options.get("reasoning_effort") == effort
    assert options["extra_body"] == {"google": {"thinking_config": thinking}}


def test_openapi_schemas_become_json_schemas():
    schema = {
        "type": "OBJECT",
        "properties": {
            "any_of": {"type": "STRING", "nullable": True, "enum": ["a"]},
            "list": {"type": "ARRAY", "items": {"type": "INTEGER"}, "min_items": "2", "maxItems": 3},
            "either": {"anyOf": [{"type": "STRING"}, {"type": "NULL"}]},
            "any": {"nullable": True, "description": "x"},
            "map": {"type": "OBJECT", "additionalProperties": {"type": "NUMBER"}},
        },
        "propertyOrdering": ["list"],
        "required": ["list"],
    }
    described = config(responseMimeType="application/json", responseSchema=schema)["response_format"]["json_schema"]
    assert described["strict"] is False
    assert described["schema"] == {
        "type": "object",
        "properties": {
            "any_of": {"type": ["string", "null"], "enum": ["a", None]},
            "list": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3},
            "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "any": {"anyOf": [{"description": "x"}, {"type": "null"}]},
            "map": {"type": "object", "additionalProperties": {"type": "number"}},
        },
        "required": ["list"],
    }


def test_json_schemas_stay_as_they_are_and_are_strict_if_they_can_be():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    wanted = config(responseMimeType="application/json", responseJsonSchema=schema)["response_format"]
    assert wanted == {"type": "json_schema", "json_schema": {"name": "output", "schema": schema, "strict": True}}
    assert config(responseMimeType="application/json") == {"response_format": {"type": "json_object"}}
    loose = {"type": "array", "items": [{"type": "object", "properties": {"a": {}}, "additionalProperties": False}]}
    wanted = config(responseMimeType="application/json", responseJsonSchema=loose)["response_format"]
    assert wanted["json_schema"]["strict"] is False


def test_absurd_schemas_are_refused():
    schema = {"type": "STRING"}
    for _ in range(MAX_DEPTH + 1):
        schema = {"type": "ARRAY", "items": schema}
    for bad in (schema, {"properties": {"a": 5}}):
        with pytest.raises(InvalidRequest):
            config(responseMimeType="application/json", responseSchema=bad)


def test_functions_are_functions_and_googles_tools_stay_googles():
    chat = chat_of(
        tools=[
            {
                "functionDeclarations": [
                    {"name": "f", "description": "F.", "parameters": {"type": "OBJECT"}},
                    {"name": "g"},
                ]
            },
            {"google_search": {}},
        ],
        toolConfig={"retrievalConfig": {"languageCode": "fr"}},
    )
    assert chat["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "F.", "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "g"}},
    ]
    assert chat["extra_body"]["google"] == {
        "tools": [{"googleSearch": {}}],
        "retrieval_config": {"languageCode": "fr"},
    }


@pytest.mark.parametrize(
    ("calling", "choice"),
    [
        ({}, None),
        ({"mode": "AUTO"}, "auto"),
        ({"mode": "auto", "allowedFunctionNames": ["f"]}, "auto"),
        ({"mode": "NONE"}, "none"),
        ({"mode": "ANY"}, "required"),
        ({"mode": "VALIDATED"}, "auto"),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, {"type": "function", "function": {"name": "f"}}),
        (
            {"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
        ),
    ],
)
def test_the_choice_of_tools(calling, choice):
    tools = [{"functionDeclarations": [{"name": "f"}]}]
    assert chat_of(tools=tools, toolConfig={"functionCallingConfig": calling}).get("tool_choice") == choice
    assert "tool_choice" not in chat_of(toolConfig={"functionCallingConfig": calling})


def test_the_service_tier_is_openais():
    assert chat_of(serviceTier="standard")["service_tier"] == "default"
    assert chat_of(serviceTier="SERVICE_TIER_FLEX")["service_tier"] == "flex"


CLIP = {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/a"}, "videoMetadata": {"startOffset": "3s"}}
NATIVE = {
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "labels": {"team": "a"},
    "generationConfig": {
        "topK": 5,
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
        "thinkingConfig": {"thinkingLevel": "LOW"},
    },
    "contents": [
        user(
            {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a"}},
            {"text": "?", "partMetadata": {"a": 1}},
        ),
        model({"text": "Hm", "thought": True}, {"functionCall": {"id": "a", "name": "f"}, "thoughtSignature": "c2ln"}),
        user({"functionResponse": {"id": "a", "name": "f", "response": {}}}),
    ],
}


def test_other_providers_get_openais_own_fields():
    chat = chat_of(**NATIVE)
    assert without_extensions(chat, dialect=DIALECTS["gemini"]) == chat
    with pytest.raises(UnsupportedParameter, match="topK"):
        without_extensions(chat, dialect=DIALECTS["openai"])
    chat.pop("top_k")
    plain = without_extensions(chat, dialect=DIALECTS["openai"])
    assert plain["reasoning_effort"] == "low"
    assert plain.keys() == {"model", "messages", "reasoning_effort"}
    known = completion_create_params.CompletionCreateParamsNonStreaming.__annotations__
    assert plain.keys() <= known.keys() | completion_create_params.CompletionCreateParamsBase.__annotations__.keys()
    assert b"extra_content" not in orjson.dumps(plain)
    assert b"format" not in orjson.dumps(plain)
    assert b"reasoning_content" not in orjson.dumps(plain)
    for target in ("anthropic", "bedrock claude", "bedrock", "ollama", "openai like"):
        assert without_extensions(chat_of(**NATIVE), dialect=DIALECTS[target])["top_k"] == 5
    assert all(DROPPED.values())
    assert all(DROPPED_ELSEWHERE.values())


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"cachedContent": "cachedContents/1"}, "cachedContent"),
        ({"tools": [{"googleSearch": {}}]}, "tools"),
        ({"generationConfig": {"responseModalities": ["AUDIO"]}}, "generationConfig.responseModalities"),
        ({"generationConfig": {"audioTimestamp": True}}, "generationConfig.audioTimestamp"),
        ({"safetySettings": [{"threshold": "OFF"}, {"threshold": "BLOCK_LOW_AND_ABOVE"}]}, "safetySettings[1]"),
        ({"safetySettings": ["x"]}, "safetySettings[0]"),
        ({"contents": [user(CLIP)]}, "contents[].parts[].videoMetadata"),
        ({"contents": [*HI, model({"executableCode": {}})]}, "contents"),
        ({"contents": [*HI, model({"inlineData": {"mimeType": "image/png", "data": PIXEL}})]}, "contents"),
    ],
)
def test_what_only_google_can_do_is_not_lost_on_the_way_to_others(body, param):
    chat = chat_of(**body)
    assert without_extensions(chat, dialect=DIALECTS["gemini"]) == chat
    with pytest.raises(UnsupportedParameter) as caught:
        without_extensions(chat, dialect=DIALECTS["anthropic"])
    assert caught.value.param == param


def test_tokens_of_contents_or_of_a_whole_request_are_counted():
    assert count_request({"contents": HI}, model="m") == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    whole = {"model": "models/m", "contents": HI, "systemInstruction": {"parts": [{"text": "Be brief."}]}}
    assert len(count_request({"generateContentRequest": whole}, model="m")["messages"]) == 2
    with pytest.raises(InvalidRequest):
        count_request({"generateContentRequest": 5}, model="m")
