"""Streams: the same as whole answers, however the bytes are cut."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from shared.providers.wires.base import MalformedAnswer
from shared.providers.wires.gemini import GeminiWire
from shared.surfaces.sse import MAX_EVENT_BYTES
from tests.examples import examples
from tests.providers.wires.gemini.judge import judge_answer
from tests.providers.wires.gemini.request_cases import HI, request_of
from tests.providers.wires.gemini.stream_events import assemble, chunks_of, decode, encode

HEAD = {"responseId": "r1", "modelVersion": "gemini-3-flash"}
ASKED = {"messages": HI, "stream": True, "stream_options": {"include_usage": True}}

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
signatures = st.sampled_from([{}, {"thoughtSignature": "c2ln"}, {"thoughtSignature": "bzI="}])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts, lambda inner: st.lists(inner, max_size=2), max_leaves=4
)
calls = st.builds(
    lambda name, args, more, call_id: {"functionCall": {"name": name, "args": args, **call_id}, **more},
    st.sampled_from(["f", "g"]),
    st.dictionaries(texts, json_values, max_size=2),
    signatures,
    st.sampled_from([{}, {"id": "c1"}]),
)
parts = st.lists(
    st.one_of(
        st.builds(lambda text, more: {"text": text, **more}, texts, signatures),
        st.builds(lambda text: {"text": text, "thought": True}, texts),
        calls,
        st.just({"inlineData": {"mimeType": "image/png", "data": "aWNv"}}),
        st.just({"executableCode": {"language": "PYTHON", "code": "1"}}),
    ),
    max_size=5,
)
candidates = st.builds(
    lambda candidate, reason, more: {"content": {"role": "model", "parts": candidate}, "finishReason": reason, **more},
    parts,
    st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY", "MALFORMED_FUNCTION_CALL"]),
    st.sampled_from([{}, {"groundingMetadata": {"webSearchQueries": ["a"]}}, {"finishMessage": "So."}]),
)
usages = st.fixed_dictionaries({"promptTokenCount": st.integers(0, 99)}, optional={"thoughtsTokenCount": st.just(3)})
answers = st.builds(
    lambda candidate, usage: {
        **HEAD,
        "candidates": [{**each, "index": index} for index, each in enumerate(candidate)],
        "usageMetadata": usage,
    },
    st.lists(candidates, min_size=1, max_size=2),
    usages,
)


@examples(150)
@given(answers, st.integers(1, 5), st.lists(st.integers(1, 200), max_size=20))
def test_a_stream_put_together_is_the_whole_answer(answer, size, cuts):
    judge_answer(answer)
    fields = {**ASKED, "n": len(answer["candidates"])}
    whole = GeminiWire().answer(request_of(fields), orjson.dumps(answer), "application/json")
    stream, data, out = GeminiWire().stream(request_of(fields)), encode(chunks_of(answer, size=size)), b""
    for cut in cuts:
        out += stream.feed(data[:cut])
        data = data[cut:]
    out += stream.feed(data)
    assert stream.complete
    assert stream.error is None
    assert stream.usage == whole.usage
    assert assemble(out) == orjson.loads(whole.body)
    for chunk in decode(out)[:-1]:
        ChatCompletionChunk.model_validate(chunk)


def fed(*chunks: Any, fields: dict[str, Any] | None = None):
    stream = GeminiWire().stream(request_of(fields or {"messages": HI, "stream": True}))
    return stream, decode(stream.feed(encode(list(chunks))))


def candidate(text, **more):
    return {**HEAD, "candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, **more}]}


def test_the_first_chunk_has_the_role_and_the_last_the_finish_reason():
    stream, chunks = fed(candidate("Hel"), candidate("lo", finishReason="STOP"))
    assert [(chunk["choices"][0]["delta"], chunk["choices"][0]["finish_reason"]) for chunk in chunks[:-1]] == [
        ({"role": "assistant", "content": "Hel"}, None),
        ({"content": "lo"}, None),
        ({}, "stop"),
    ]
    assert chunks[-1] == "[DONE]"
    assert stream.complete
    assert stream.feed(encode([candidate("more")])) == b""


def test_usage_is_sent_on_request_and_always_known():
    last = {**candidate("A", finishReason="STOP"), "usageMetadata": {"promptTokenCount": 2, "candidatesTokenCount": 1}}
    stream, chunks = fed(last)
    assert stream.usage["total_tokens"] == 3
    assert not any("usage" in chunk for chunk in chunks[:-1])
    _, chunks = fed(last, fields=ASKED)
    assert [chunk["usage"] and chunk["usage"]["total_tokens"] for chunk in chunks[:-1]] == [None, None, 3]
    assert chunks[-2]["choices"] == []


def test_a_stream_without_a_reason_is_not_complete():
    stream, chunks = fed(candidate("Hel"), {"usageMetadata": {"promptTokenCount": 1}})
    assert not stream.complete
    assert "[DONE]" not in chunks


def test_all_candidates_have_to_end():
    def second(text, **more):
        return candidate(text, index=1, **more)

    stream, _ = fed(candidate("A", finishReason="STOP", index=0), candidate("x", index=0), fields={**ASKED, "n": 2})
    assert not stream.complete
    chunks = decode(stream.feed(encode([second("B", finishReason="STOP")])))
    assert stream.complete
    assert chunks[0]["choices"][0]["index"] == 1


def test_a_blocked_prompt_is_a_refusal():
    answer = {**HEAD, "promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 2}}
    stream = GeminiWire().stream(request_of(ASKED))
    out = stream.feed(encode(chunks_of(answer)))
    whole = GeminiWire().answer(request_of(ASKED), orjson.dumps(answer), "application/json")
    assert stream.complete
    assert assemble(out) == orjson.loads(whole.body)


@pytest.mark.parametrize(
    "data",
    [
        b'data: {"error":{"code":503,"message":"Busy.","status":"UNAVAILABLE"}}\r\n\r\ndata: {"candidates":[{}]}\n\n',
        b'{\n  "error": {"code":503,"message":"Busy.","status":"UNAVAILABLE"}\n}\n',
        b'[{"error": {"code":503,"message":"Busy.","status":"UNAVAILABLE"}}]\n\ndata: {}\n\n',
    ],
)
def test_an_error_breaks_a_stream_off_as_an_event_or_not(data):
    for cut in (len(data), 7):
        stream = GeminiWire().stream(request_of(ASKED))
        stream.feed(encode([candidate("A")]))
        out = stream.feed(data[:cut]) + stream.feed(data[cut:])
        assert stream.error == {"message": "Busy.", "type": "overloaded_error", "param": None, "code": "UNAVAILABLE"}
        assert (out, stream.complete) == (b"", False)
        assert stream.feed(encode([candidate("B")])) == b""


def test_comments_and_other_json_are_no_events():
    stream = GeminiWire().stream(request_of(ASKED))
    assert stream.feed(b": keep-alive\n\n[]\n\n{}\n\n") == b""
    assert stream.error is None


DEEP = b'data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":%s1%s}}]}}]}\n\n'


@pytest.mark.parametrize(
    "data", [DEEP % (b'{"a":' * 500, b"}" * 500), b"data: {\n\n", b"data: []\n\n", b'data: {"candidates":[7]}\n\n']
)
def test_other_bytes_are_malformed(data):
    with pytest.raises(MalformedAnswer):
        GeminiWire().stream(request_of(ASKED)).feed(data)


def test_an_endless_event_is_malformed():
    with pytest.raises(MalformedAnswer, match="more than"):
        GeminiWire().stream(request_of(ASKED)).feed(b"data: " + b"x" * MAX_EVENT_BYTES)


def test_log_probabilities_come_with_their_tokens():
    token = {"token": "A", "logProbability": -0.5}
    _, chunks = fed(candidate("A", logprobsResult={"chosenCandidates": [token]}, finishReason="STOP"))
    assert chunks[0]["choices"][0]["logprobs"]["content"][0]["logprob"] == -0.5
