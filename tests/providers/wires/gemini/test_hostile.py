"""Nonsense anywhere in a request is the caller's fault, anywhere in an answer the provider's: never a crash."""

import contextlib
import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.providers.wires.base import MalformedAnswer
from shared.providers.wires.gemini import GeminiWire
from shared.surfaces.genai import chat_request, embedding_request, without_extensions
from tests.examples import examples
from tests.providers.wires.gemini.request_cases import embed_request_of, request_of
from tests.providers.wires.gemini.stream_events import chunks_of, encode
from tests.providers.wires.gemini.test_round_trip import ANSWERED, ASKED
from tests.surfaces.dialects import DIALECTS

pytestmark = pytest.mark.slow

EMBED = {"requests": [{"content": {"parts": [{"text": "a"}]}, "taskType": "CLUSTERING", "outputDimensionality": 2}]}
EMBEDDED = {"embeddings": [{"values": [1.0]}], "usageMetadata": {"promptTokenCount": 3}}
CHAT = chat_request(ASKED, model="gemini-3-pro")
junk = st.sampled_from([None, True, 0, -1, 2.5, "", "x", [], [[]], [1], {}, {"x": 1}, {"type": "function"}])


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    inner = [place for key, each in items for place in places(each, (*here, key))]
    return [(*here, key) for key, _ in items] + inner


def spoilt(value: Any) -> st.SearchStrategy[Any]:
    """The value with junk in one of its places, or with one of them missing."""

    def put(place: tuple[Any, ...], what: Any, missing: bool) -> Any:
        made = copy.deepcopy(value)
        inner = made
        for key in place[:-1]:
            inner = inner[key]
        if missing:
            del inner[place[-1]]
        else:
            inner[place[-1]] = what
        return made

    return st.builds(put, st.sampled_from(places(value)), junk, st.booleans())


@examples(300)
@given(spoilt(ASKED))
def test_requests_of_googles_format(body):
    with contextlib.suppress(InvalidRequest):
        chat = chat_request(body, model="gemini-3-pro")
        for wire in ("gemini", "anthropic", "openai"):
            with contextlib.suppress(InvalidRequest):
                without_extensions(chat, dialect=DIALECTS[wire])
        GeminiWire().request(request_of(chat))


@examples(300)
@given(spoilt(CHAT))
def test_requests_of_openais_format(fields):
    with contextlib.suppress(InvalidRequest):
        GeminiWire().request(request_of(fields))
    GeminiWire().stream(request_of(fields))


@examples(300)
@given(spoilt(ANSWERED))
def test_answers(answer):
    request = request_of({"messages": []})
    with contextlib.suppress(MalformedAnswer):
        GeminiWire().answer(request, orjson.dumps(answer), "application/json")
    with contextlib.suppress(MalformedAnswer):
        GeminiWire().stream(request).feed(b"data: " + orjson.dumps(answer) + b"\n\n")


@examples(100)
@given(spoilt(EMBED), spoilt(EMBEDDED))
def test_embeddings(body, answer):
    with contextlib.suppress(InvalidRequest):
        GeminiWire(on_vertex=True).request(embed_request_of(embedding_request(body, model="gemini-embedding-001")))
    for answered in (answer, {"predictions": [{"embeddings": answer}]}, {"embedding": answer}):
        with contextlib.suppress(MalformedAnswer):
            request = embed_request_of({"input": "a", "encoding_format": "base64"})
            GeminiWire().answer(request, orjson.dumps(answered), "application/json")


@examples(100)
@given(st.binary(max_size=40), st.integers(0, 200))
def test_bytes_in_streams_and_errors(noise, at):
    data = encode(chunks_of(ANSWERED))
    with contextlib.suppress(MalformedAnswer):
        GeminiWire().stream(request_of({"messages": []})).feed(data[:at] + noise + data[at:])
    status, error = GeminiWire().error(500, noise)
    assert status == 500
    assert isinstance(error["message"], str)


@pytest.mark.parametrize("error", [None, 5, [], {"details": 5}, {"details": [5, {}]}, {"status": {}, "message": []}])
def test_errors_of_any_shape_have_a_message(error):
    assert isinstance(GeminiWire().error(500, orjson.dumps({"error": error}))[1]["message"], str)
