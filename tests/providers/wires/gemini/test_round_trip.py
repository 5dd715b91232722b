"""A caller of Google's format on a model of Google's: what was asked arrives, what was answered comes back."""

import orjson

from shared.providers.wires.gemini import GeminiWire
from shared.surfaces.genai import ResponseEvents, chat_request, embedding_request, embedding_response, response_of
from tests.providers.wires.gemini.judge import judge_answer, judge_request
from tests.providers.wires.gemini.request_cases import NEW, PIXEL, embed_request_of, request_of
from tests.providers.wires.gemini.stream_events import chunks_of, encode

ASKED = {
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "Look."},
                {"inlineData": {"mimeType": "image/png", "data": PIXEL}},
                {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}},
                {"fileData": {"fileUri": "https://example.com/a", "mimeType": "image/webp"}},
                {"fileData": {"fileUri": "files/a", "mimeType": "application/pdf"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"executableCode": {"language": "PYTHON", "code": "1"}},
                {"text": "Well.", "thoughtSignature": "dHh0"},
                {"inlineData": {"mimeType": "image/png", "data": PIXEL}, "thoughtSignature": "aW1n"},
                {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}, "thoughtSignature": "c2ln"},
                {"functionCall": {"id": "b", "name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "id": "a",
                        "name": "f",
                        "response": {"result": "12"},
                        "parts": [{"inlineData": {"mimeType": "image/png", "data": PIXEL}}],
                    }
                },
                {"functionResponse": {"id": "b", "name": "g", "response": {"y": [1, None]}}},
            ],
        },
        {"role": "user", "parts": [{"text": "So?"}]},
    ],
    "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
    "generationConfig": {
        "maxOutputTokens": 5,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "stopSequences": ["END"],
        "candidateCount": 2,
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 3,
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object"},
        "responseModalities": ["TEXT", "IMAGE"],
        "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
    },
    "tools": [
        {"functionDeclarations": [{"name": "f", "description": "F.", "parametersJsonSchema": {"type": "object"}}]},
        {"googleSearch": {}},
    ],
    "toolConfig": {
        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]},
        "retrievalConfig": {"languageCode": "fr"},
    },
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "cachedContent": "cachedContents/1",
    "labels": {"team": "a"},
    "serviceTier": "flex",
}
ANSWERED = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "Hm.", "thought": True},
                    {"executableCode": {"language": "PYTHON", "code": "1"}},
                    {"text": "Yes.", "thoughtSignature": "dHh0"},
                    {"inlineData": {"mimeType": "image/png", "data": PIXEL}, "thoughtSignature": "aW1n"},
                    {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}, "thoughtSignature": "c2ln"},
                ],
            },
            "index": 0,
            "finishReason": "STOP",
            "groundingMetadata": {"webSearchQueries": ["a"]},
            "citationMetadata": {"citations": [{"uri": "https://example.com"}]},
            "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}],
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 10,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 3,
        "cachedContentTokenCount": 2,
        "totalTokenCount": 18,
    },
    "modelVersion": NEW,
    "responseId": "r1",
}


def test_a_request_arrives_as_it_was_asked():
    judge_request(ASKED)
    chat = chat_request(ASKED, model=NEW)
    assert orjson.loads(GeminiWire().request(request_of(chat)).body) == ASKED


def test_an_answer_comes_back_as_it_was_given():
    judge_answer(ANSWERED)
    completion = GeminiWire().answer(request_of({"messages": []}), orjson.dumps(ANSWERED), "application/json").body
    assert response_of(orjson.loads(completion)) == ANSWERED


def test_a_stream_comes_back_with_the_same_parts():
    stream = GeminiWire().stream(
        request_of({"messages": [], "stream": True, "stream_options": {"include_usage": True}})
    )
    array = ResponseEvents(as_array=True).feed(stream.feed(encode(chunks_of(ANSWERED, size=100))))
    responses = orjson.loads(array)
    parts = [part for response in responses for part in response["candidates"][0]["content"]["parts"]]
    sealed = [part for part in parts if "thoughtSignature" in part]
    assert [part.get("text") for part in parts if "text" in part] == ["Hm.", "Yes.", ""]
    assert [part["thoughtSignature"] for part in sealed] == ["aW1n", "dHh0", "c2ln"]
    assert responses[-1]["usageMetadata"] == ANSWERED["usageMetadata"]
    assert responses[-1]["candidates"][0]["groundingMetadata"] == {"webSearchQueries": ["a"]}


def test_a_blocked_prompt_comes_back_blocked():
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "candidates": [], "modelVersion": NEW, "responseId": "r1"}
    completion = GeminiWire().answer(request_of({"messages": []}), orjson.dumps(blocked), "application/json").body
    response = response_of(orjson.loads(completion))
    assert {name: response[name] for name in blocked} == blocked


def test_embeddings_arrive_and_come_back():
    one = {"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "a"}]}, "taskType": "CLUSTERING"}
    asked = {"requests": [one | {"outputDimensionality": 2}] * 2}
    request = embed_request_of(embedding_request(asked, model="gemini-embedding-001"))
    assert orjson.loads(GeminiWire().request(request).body) == asked
    answered = {"embeddings": [{"values": [1.0, 2.0]}], "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}}
    translated = GeminiWire().answer(request, orjson.dumps(answered), "application/json")
    assert embedding_response(orjson.loads(translated.body), batch=True) == answered
