"""Streams: what they add up to, however they are cut, and how they break."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from shared.providers.wires.base import MalformedAnswer
from shared.providers.wires.bedrock import BedrockWire
from simulator.aws.event_stream import encode_frame
from tests.providers.wires.bedrock.judge import MODEL, OLD
from tests.providers.wires.bedrock.stream_events import ANSWER, answer_with, encode, events_of, frame
from tests.providers.wires.chat_chunks import HI, STREAMED, assemble, chunks_of, request_of

SHAPED = {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}}
USE = {"toolUse": {"toolUseId": "tooluse_1", "name": "look", "input": {"at": "sky", "deep": [1, None]}}}
THOUGHT = {"reasoningContent": {"reasoningText": {"text": "Hm, so.", "signature": "c2ln"}}}

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
BLOCKS = st.one_of(
    st.builds(lambda text: {"text": text}, TEXT),
    st.builds(lambda text: {"reasoningContent": {"reasoningText": {"text": text}}}, TEXT),
    st.builds(
        lambda text, sign: {"reasoningContent": {"reasoningText": {"text": text, "signature": sign}}}, TEXT, TEXT
    ),
    st.builds(lambda data: {"reasoningContent": {"redactedContent": data}}, st.sampled_from(["c2Vj", "cmV0"])),
    st.builds(
        lambda name, given: {"toolUse": {"toolUseId": f"tooluse_{name}", "name": name, "input": given}},
        st.sampled_from(["look", "give_answer"]),
        st.dictionaries(TEXT, JSON, max_size=3),
    ),
)
COUNT = st.integers(0, 10_000)
ANSWERS = st.builds(
    lambda content, reason, usage: answer_with(*content, stopReason=reason, usage=usage),
    st.lists(BLOCKS, max_size=5),
    st.sampled_from(["end_turn", "max_tokens", "tool_use", "content_filtered", "malformed_tool_use", "new_one"]),
    st.fixed_dictionaries(
        {"inputTokens": COUNT, "outputTokens": COUNT},
        optional={"cacheReadInputTokens": COUNT, "cacheWriteInputTokens": COUNT},
    ),
)


@given(
    answer=ANSWERS,
    size=st.integers(1, 30),
    cuts=st.lists(st.integers(1, 400), max_size=30),
    model=st.sampled_from([MODEL, OLD]),
    shaped=st.booleans(),
)
def test_a_stream_adds_up_to_the_whole_answer_however_it_is_cut(answer, size, cuts, model, shaped):
    request = request_of(STREAMED | (SHAPED if shaped else {}), model)
    whole = orjson.loads(BedrockWire().answer(request, orjson.dumps(answer), "").body)
    translation = BedrockWire().stream(request)
    data, out = encode(events_of(answer, size=size)), b""
    for cut in [*cuts, len(data)]:
        out += translation.feed(data[:cut])
        data = data[cut:]
    assert assemble(chunks_of(out)) == whole
    assert translation.complete
    assert translation.usage == whole["usage"]


def streamed(*events, fields=STREAMED, model=MODEL):
    translation = BedrockWire().stream(request_of(fields, model))
    return translation, chunks_of(translation.feed(encode(events)))


def test_openais_client_reads_the_chunks():
    second = {"toolUse": {**USE["toolUse"], "toolUseId": "tooluse_2"}}
    _, chunks = streamed(*events_of(answer_with(THOUGHT, USE, second, stopReason="tool_use")))
    state = ChatCompletionStreamState()
    for chunk in chunks[:-1]:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk, strict=True))
    final = state.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert [call.id for call in calls] == ["tooluse_1", "tooluse_2"]
    assert orjson.loads(calls[1].function.arguments) == USE["toolUse"]["input"]
    assert final.choices[0].message.reasoning_content == "Hm, so."
    assert final.usage.total_tokens == 5
    assert [chunk["usage"] for chunk in chunks[:-2]] == [None] * (len(chunks) - 2)


def test_usage_is_sent_only_on_request():
    translation, chunks = streamed(*events_of(ANSWER), fields={"messages": HI, "stream": True})
    assert all("usage" not in chunk for chunk in chunks[:-1])
    assert translation.usage["total_tokens"] == 5


def test_a_stream_without_its_last_event_is_not_complete_and_nothing_follows_the_end():
    events = list(events_of(ANSWER))
    cut, _ = streamed(*events[:-1])
    ended, _ = streamed(*events)
    assert (cut.complete, ended.complete) == (False, True)
    assert ended.feed(encode(events)) == b""


def test_events_that_are_new_are_passed_over():
    _, chunks = streamed(("fanfare", {}), *events_of(ANSWER))
    assert assemble(chunks)["choices"][0]["message"]["content"] == "Hello"


def test_an_exception_ends_the_stream_without_an_end():
    headers = {":exception-type": "throttlingException", ":message-type": "exception"}
    broken = encode_frame(headers, b'{"message": "Too many tokens."}')
    translation = BedrockWire().stream(request_of(STREAMED, MODEL))
    first, *others = (frame(*event) for event in events_of(ANSWER))
    assert len(chunks_of(translation.feed(first + broken + b"".join(others)))) == 1
    assert translation.error == {
        "message": "Too many tokens.",
        "type": "ThrottlingException",
        "param": None,
        "code": "ThrottlingException",
    }
    assert not translation.complete
    assert translation.feed(b"".join(others)) == b""


def test_faults_of_the_service_come_in_headers_alone():
    headers = {":error-code": "InternalFailure", ":error-message": "Oh.", ":message-type": "error"}
    for fields, code, message in (
        (headers, "InternalFailure", "Oh."),
        ({":message-type": "error"}, "error", ""),
    ):
        translation = BedrockWire().stream(request_of(STREAMED, MODEL))
        assert translation.feed(encode_frame(fields, b"")) == b""
        assert (translation.error["code"], translation.error["message"]) == (code, message)


def test_an_exception_without_a_name_is_still_one():
    translation = BedrockWire().stream(request_of(STREAMED, MODEL))
    translation.feed(encode_frame({":message-type": "exception"}, b"{}"))
    assert translation.error["code"] == "InternalServerException"


START = ("messageStart", {"role": "assistant"})
TOOL = ("contentBlockStart", {"start": {"toolUse": {"toolUseId": "t", "name": "n"}}, "contentBlockIndex": 0})


def delta(fields):
    return ("contentBlockDelta", {"delta": fields, "contentBlockIndex": 0})


@pytest.mark.parametrize(
    "events",
    [
        [TOOL],
        [START, ("contentBlockStart", {"contentBlockIndex": 0})],
        [START, ("contentBlockStart", {"start": {"toolUse": {"toolUseId": "t", "name": "n"}}})],
        [START, ("contentBlockStart", {"start": {"image": {"format": "png"}}, "contentBlockIndex": 0})],
        [START, ("contentBlockStart", {"start": {"toolUse": {"name": "n"}}, "contentBlockIndex": 0})],
        [START, delta({"song": "la"})],
        [START, delta({"toolUse": {"input": "{"}})],
        [START, TOOL, delta({"toolUse": {"input": 1}})],
        [START, TOOL, delta({"reasoningContent": {"text": "a"}})],
        [START, delta({"reasoningContent": {"tune": "a"}})],
        [START, ("metadata", {"usage": {}})],
        [START, ("messageStop", {"stopReason": "end_turn"}), ("metadata", {})],
        [START, ("messageStop", {"stopReason": "end_turn"}), ("metadata", {"usage": {"inputTokens": -1}})],
    ],
)
def test_events_out_of_place_are_malformed(events):
    with pytest.raises(MalformedAnswer):
        streamed(*events)


def test_a_payload_that_is_not_json_is_malformed():
    for payload, fault in ((b"{", "not JSON"), (b"[]", "not a JSON object")):
        with pytest.raises(MalformedAnswer, match=fault):
            BedrockWire().stream(request_of(STREAMED, MODEL)).feed(encode_frame({":message-type": "event"}, payload))
