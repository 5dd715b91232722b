"""Embeddings over the provider's methods, direct and on Vertex."""

import base64
import struct

import orjson
import pytest
from openai.types import CreateEmbeddingResponse

from shared.errors import InvalidRequest, UnsupportedParameter
from shared.providers.wires.base import MalformedAnswer
from shared.providers.wires.gemini import GeminiWire
from tests.providers.wires.gemini.judge import judge_embedding
from tests.providers.wires.gemini.request_cases import embed_request_of

DIRECT, VERTEX = GeminiWire(), GeminiWire(on_vertex=True)


def content(text):
    return {"parts": [{"text": text}]}


def asked(wire, fields, model="gemini-embedding-001"):
    upstream = wire.request(embed_request_of(fields, model))
    return upstream.path, orjson.loads(upstream.body)


def test_the_gemini_api_takes_batches():
    native = {"google": {"task_type": "RETRIEVAL_QUERY", "title": "T"}}
    path, body = asked(DIRECT, {"input": ["a", "b"], "dimensions": 64, "user": "u", "extra_body": native})
    judge_embedding(body)
    wishes = {"taskType": "RETRIEVAL_QUERY", "title": "T", "outputDimensionality": 64}
    assert path == "/models/gemini-embedding-001:batchEmbedContents"
    assert body["requests"] == [
        {"model": "models/gemini-embedding-001", "content": content(text), **wishes} for text in "ab"
    ]


def test_vertex_has_a_method_for_one_and_one_for_several():
    path, body = asked(VERTEX, {"input": "a", "dimensions": 64})
    judge_embedding(body)
    assert path == "/models/gemini-embedding-001:embedContent"
    assert body == {"content": content("a"), "embedContentConfig": {"outputDimensionality": 64}}
    path, body = asked(VERTEX, {"input": ["a", "b"]})
    judge_embedding(body)
    assert (path, body) == (
        "/models/gemini-embedding-001:batchEmbedContents",
        {"requests": [{"content": content("a")}, {"content": content("b")}]},
    )


def test_older_models_on_vertex_predict():
    native = {"google": {"task_type": "CLUSTERING"}}
    path, body = asked(VERTEX, {"input": "a", "dimensions": 64, "extra_body": native}, "text-embedding-005")
    assert (path, body) == (
        "/models/text-embedding-005:predict",
        {"instances": [{"content": "a", "task_type": "CLUSTERING"}], "parameters": {"outputDimensionality": 64}},
    )
    assert asked(VERTEX, {"input": ["a"]}, "text-embedding-005")[1] == {"instances": [{"content": "a"}]}


@pytest.mark.parametrize(
    ("answer", "tokens"),
    [
        ({"embeddings": [{"values": [0.5, -1]}], "usageMetadata": {"promptTokenCount": 3}}, 3),
        ({"embedding": {"values": [0.5, -1]}}, 0),
        (
            {
                "predictions": [
                    {"embeddings": {"values": [0.5, -1], "statistics": {"token_count": 2, "truncated": False}}}
                ]
            },
            2,
        ),
    ],
)
def test_answers_of_every_method_are_openais_list(answer, tokens):
    translated = DIRECT.answer(embed_request_of({"input": "a"}), orjson.dumps(answer), "application/json")
    CreateEmbeddingResponse.model_validate_json(translated.body)
    body = orjson.loads(translated.body)
    assert body["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5, -1]}]
    assert body["usage"] == translated.usage == {"prompt_tokens": tokens, "total_tokens": tokens}
    coded = DIRECT.answer(
        embed_request_of({"input": "a", "encoding_format": "base64"}), orjson.dumps(answer), "application/json"
    )
    data = base64.b64decode(orjson.loads(coded.body)["data"][0]["embedding"])
    assert struct.unpack("<2f", data) == (0.5, -1)


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"input": [[1, 2]]}, "input[0]"), ({"input": "a", "sparkle": 1}, "sparkle")],
)
def test_what_cannot_be_embedded_is_refused(fields, param):
    with pytest.raises(UnsupportedParameter) as caught:
        asked(DIRECT, fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "dimensions": "many"}, "dimensions"),
    ],
)
def test_what_is_no_request_is_invalid(fields, param):
    with pytest.raises(InvalidRequest) as caught:
        asked(DIRECT, fields)
    assert caught.value.param == param


@pytest.mark.parametrize("body", [b"x", b"{}", b'{"embeddings":[1]}', b'{"predictions":[{}]}', b'{"embedding":null}'])
def test_what_is_no_embedding_is_malformed(body):
    with pytest.raises(MalformedAnswer):
        DIRECT.answer(embed_request_of({"input": "a"}), body, "application/json")
    with pytest.raises(MalformedAnswer):
        DIRECT.answer(
            embed_request_of({"input": "a", "encoding_format": "base64"}),
            b'{"embedding":{"values":["x"]}}',
            "application/json",
        )
