"""Requests, answers, streams and errors of Ollama's own format."""

import base64
import struct

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from shared.errors import InvalidRequest, UnsupportedParameter
from shared.providers.wires.base import MalformedAnswer
from shared.providers.wires.ollama import DROPPED, OllamaWire
from shared.providers.wires.ollama import stream as streams
from shared.surfaces.request_types import EMBEDDINGS
from tests.providers.wires.chat_chunks import HI, STREAMED, assemble, chunks_of, request_of

MODEL = "qwen3:4b"
TOOL = {"type": "function", "function": {"name": "look"}}
TOOL_SAID = {"name": "look", "description": "", "parameters": {"type": "object"}}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
CALLS = st.builds(
    lambda name, given: {"function": {"name": name, "arguments": given}},
    st.sampled_from(["look", "hear"]),
    st.dictionaries(TEXT, st.integers(-(2**53), 2**53) | TEXT, max_size=2),
)
# What one line adds: thoughts, text or whole calls, each with the log probabilities of its tokens or without.
PIECES = st.one_of(
    TEXT.map(lambda text: {"thinking": text}),
    TEXT.map(lambda text: {"content": text}),
    st.lists(CALLS, min_size=1, max_size=2).map(lambda calls: {"tool_calls": calls}),
)
LOGPROBS = st.lists(st.builds(lambda token: {"token": token, "logprob": -0.5}, TEXT), max_size=2)


def body_of(fields):
    return orjson.loads(OllamaWire().request(request_of({"messages": HI} | fields, MODEL)).body)


def whole_of(pieces, ending):
    """The answer that the server gives without streaming: its lines, joined."""
    message = {"role": "assistant", "content": "", "thinking": "", "tool_calls": []}
    for piece, _ in pieces:
        for name, value in piece.items():
            message[name] += value
    return {"message": message, "logprobs": [token for _, tokens in pieces for token in tokens], **ending}


@given(
    pieces=st.lists(st.tuples(PIECES, LOGPROBS), max_size=6),
    reason=st.sampled_from(["stop", "length", "load"]),
    cuts=st.lists(st.integers(1, 120), max_size=30),
)
def test_a_stream_adds_up_to_the_whole_answer_however_it_is_cut(pieces, reason, cuts):
    request = request_of(STREAMED, MODEL)
    ending = {"done": True, "done_reason": reason, "prompt_eval_count": 3, "eval_count": 4}
    whole = orjson.loads(OllamaWire().answer(request, orjson.dumps(whole_of(pieces, ending)), "").body)
    lines = [
        {"message": {"role": "assistant", "content": "", **piece}, "logprobs": tokens, "done": False}
        for piece, tokens in pieces
    ]
    lines.append({"message": {"role": "assistant", "content": ""}, **ending})
    data, out = b"".join(orjson.dumps(line) + b"\n" for line in lines), b""
    translation = OllamaWire().stream(request)
    for cut in [*cuts, len(data)]:
        out += translation.feed(data[:cut])
        data = data[cut:]
    assert assemble(chunks_of(out)) == whole
    assert translation.complete
    assert translation.usage == whole["usage"]


def test_an_answer_is_openais_with_log_probabilities_and_minted_ids():
    line = {
        "message": {"content": "", "tool_calls": [{"function": {"name": "look"}}]},
        "logprobs": [{"token": "a", "logprob": -1.0, "bytes": [97]}],
        "done": True,
        "prompt_eval_count": 5,
        "prompt_eval_cached_count": 4,
        "eval_count": 2,
    }
    translated = OllamaWire().answer(request_of({"messages": HI}, MODEL), orjson.dumps(line), "")
    completion = ChatCompletion.model_validate(orjson.loads(translated.body), strict=True)
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls[0].id == "call_0_chatcmpl-ours"
    assert choice.message.tool_calls[0].function.arguments == "{}"
    assert choice.logprobs.content[0].logprob == -1.0
    assert completion.usage.prompt_tokens_details.cached_tokens == 4


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reasoning_effort": "none"}, {"think": False}),
        ({"reasoning_effort": "minimal"}, {"think": "low"}),
        ({"think": True, "reasoning_effort": "low"}, {"think": True}),
        ({"response_format": {"type": "json_object"}}, {"format": "json"}),
        ({"response_format": {"type": "text"}}, {}),
        ({"logprobs": True, "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"tools": [TOOL], "tool_choice": "none"}, {}),
        ({"frequency_penalty": 0.5, "min_p": 0.1}, {"options": {"min_p": 0.1, "frequency_penalty": 0.5}}),
        (
            {"tools": [TOOL]},
            {"tools": [{"type": "function", "function": TOOL_SAID}]},
        ),
        ({"n": 1, "seed": None, "modalities": ["text"]}, {}),
    ],
)
def test_fields(fields, expected):
    assert body_of(fields) == {"model": MODEL, "messages": HI, "stream": False, **expected}


def test_the_documented_fields_are_dropped():
    names = {
        name for key in DROPPED for name in key.split(", ") if "." not in name and "[" not in name and " " not in name
    }
    assert body_of(dict.fromkeys(names, 1)).keys() == {"model", "messages", "stream"}


def test_a_refusal_goes_back_as_text_and_a_result_without_its_call_uses_its_id():
    expected = body_of({"messages": [{"role": "assistant", "refusal": "No."}, {"role": "tool", "tool_call_id": "x"}]})
    assert expected["messages"] == [
        {"role": "assistant", "content": "No."},
        {"role": "tool", "content": "", "tool_call_id": "x", "tool_name": "x"},
    ]


def part(**fields):
    return {"messages": [{"role": "user", "content": [fields]}]}


PLACE = "messages[0].content[0]"


@pytest.mark.parametrize(
    ("fields", "param", "kind"),
    [
        ({"n": 2}, "n", UnsupportedParameter),
        ({"invented": 1}, "invented", UnsupportedParameter),
        ({"tool_choice": "required", "tools": [TOOL]}, "tool_choice", UnsupportedParameter),
        ({"tool_choice": {"type": "function"}, "tools": [TOOL]}, "tool_choice", UnsupportedParameter),
        ({"tools": [{"type": "custom"}]}, "tools[0].type", UnsupportedParameter),
        ({"reasoning_effort": "huge"}, "reasoning_effort", UnsupportedParameter),
        ({"response_format": {"type": "grammar"}}, "response_format.type", UnsupportedParameter),
        ({"options": 1}, "options", InvalidRequest),
        ({"top_p": True}, "top_p", InvalidRequest),
        ({"messages": None}, "messages", InvalidRequest),
        ({"messages": [{"role": "function"}]}, "messages[0].role", UnsupportedParameter),
        ({"messages": [{"role": "assistant", "function_call": {}}]}, "messages[0].function_call", UnsupportedParameter),
        ({"messages": [{"role": "tool"}]}, "messages[0].tool_call_id", InvalidRequest),
        (
            {"messages": [{"role": "assistant", "reasoning_content": 1}]},
            "messages[0].reasoning_content",
            InvalidRequest,
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"type": "custom"}]}]},
            "messages[0].tool_calls[0].type",
            UnsupportedParameter,
        ),
        (part(type="input_audio"), f"{PLACE}.type", UnsupportedParameter),
        (part(type="image_url", image_url={"url": "https://x/y.png"}), f"{PLACE}.image_url.url", UnsupportedParameter),
    ],
)
def test_unsupported_fields_are_refused_by_name(fields, param, kind):
    with pytest.raises(InvalidRequest) as caught:
        body_of(fields)
    assert (type(caught.value), caught.value.param) == (kind, param)


@pytest.mark.parametrize(
    "line",
    [
        [],
        {},
        {"message": {"content": 1}},
        {"message": {"thinking": 1}},
        {"message": {"tool_calls": {"a": 1}}},
        {"message": {"tool_calls": ["a"]}},
        {"message": {"tool_calls": [{"function": {}}]}},
        {"message": {}, "eval_count": "many"},
    ],
)
def test_what_is_no_answer_is_malformed(line):
    request, data = request_of(STREAMED, MODEL), orjson.dumps(line)
    with pytest.raises(MalformedAnswer):
        OllamaWire().answer(request, data, "")
    with pytest.raises(MalformedAnswer):
        OllamaWire().stream(request).feed(
            orjson.dumps(line | {"done": True} if isinstance(line, dict) else line) + b"\n"
        )


def test_a_stream_may_break_with_an_error_or_without_its_end():
    first = b'{"message": {"content": "Hel"}, "done": false}\n\n'
    broken = OllamaWire().stream(request_of(STREAMED, MODEL))
    assert len(chunks_of(broken.feed(first + b'{"error": "out of memory"}\n' + first))) == 2
    assert broken.error["message"] == "out of memory"
    assert broken.feed(first) == b""
    cut = OllamaWire().stream(request_of(STREAMED, MODEL))
    cut.feed(first)
    assert not cut.complete
    cut.feed(b'{"message": {"content": "lo"}, "done": true}\n')
    assert cut.complete
    assert cut.feed(first) == b""


def test_a_line_without_end_is_malformed(monkeypatch):
    monkeypatch.setattr(streams, "MAX_LINE_BYTES", 10)
    with pytest.raises(MalformedAnswer, match="more than"):
        OllamaWire().stream(request_of(STREAMED, MODEL)).feed(b"12345678901")


@pytest.mark.parametrize(
    ("status", "body", "message", "code"),
    [
        (404, b'{"error": "model \'x\' not found"}', "model 'x' not found", "model_not_found"),
        (500, b"oh", "oh", None),
    ],
)
def test_errors_are_plain_texts(status, body, message, code):
    expected, error = OllamaWire().error(status, body)
    assert (expected, error["message"], error["code"]) == (status, message, code)


def embed(fields, answer=None):
    request = request_of(fields, "nomic", EMBEDDINGS)
    upstream = OllamaWire().request(request)
    assert upstream.path == "/api/embed"
    if answer is None:
        return orjson.loads(upstream.body)
    return orjson.loads(OllamaWire().answer(request, orjson.dumps(answer), "").body)


def test_embeddings_as_numbers_and_packed():
    assert embed({"input": "a", "dimensions": 2, "user": "u"}) == {"model": "nomic", "input": "a", "dimensions": 2}
    vectors = {"embeddings": [[0.5, -1.0], [2.0, 0.25]], "prompt_eval_count": 3}
    body = embed({"input": ["a", "b"]}, vectors)
    CreateEmbeddingResponse.model_validate(body, strict=True)
    assert [each["embedding"] for each in body["data"]] == vectors["embeddings"]
    assert body["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    packed = embed({"input": ["a", "b"], "encoding_format": "base64"}, vectors)["data"][1]["embedding"]
    assert struct.unpack("<2f", base64.b64decode(packed)) == (2.0, 0.25)


def test_embeddings_that_cannot_be_asked_for_or_are_none():
    for fields, param in (
        ({"input": [1, 2]}, "input[0]"),
        ({"input": None}, "input"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "invented": 1}, "invented"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            embed(fields)
        assert caught.value.param == param
    for answer in ({}, {"embeddings": [1]}, {"embeddings": [["a"]]}):
        with pytest.raises(MalformedAnswer):
            embed({"input": "a", "encoding_format": "base64"}, answer)
