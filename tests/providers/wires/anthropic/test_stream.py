"""Streams: what they add up to, however they are cut, and how they break."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from shared.providers.wires.anthropic import AnthropicWire
from shared.providers.wires.base import MalformedAnswer
from shared.surfaces import sse
from tests.providers.wires.anthropic.request_cases import HI, MIDDLE, OLD, request_of
from tests.providers.wires.anthropic.stream_events import assemble, chunks_of, encode, events_of
from tests.providers.wires.anthropic.test_answer import MESSAGE, SHAPED

ASKED = {"messages": HI, "stream": True, "stream_options": {"include_usage": True}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "sky", "deep": [1, None]}}
THOUGHT = {"type": "thinking", "thinking": "Hm, so.", "signature": "c2ln"}

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
BLOCKS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXT),
    st.builds(lambda text, sign: {"type": "thinking", "thinking": text, "signature": sign}, TEXT, TEXT),
    st.builds(lambda data: {"type": "redacted_thinking", "data": data}, TEXT),
    st.builds(
        lambda name, given: {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": given},
        st.sampled_from(["look", "give_answer"]),
        st.dictionaries(TEXT, JSON, max_size=3),
    ),
)
COUNT = st.integers(0, 10_000)
MESSAGES = st.builds(
    lambda content, reason, sequence, details, usage: (
        MESSAGE
        | {
            "content": content,
            "stop_reason": reason,
            "stop_sequence": sequence,
            "stop_details": details,
            "usage": usage,
        }
    ),
    st.lists(BLOCKS, max_size=5),
    st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal", "stop_sequence", "pause_turn"]),
    st.none() | TEXT,
    st.none() | st.builds(lambda text: {"type": "refusal", "explanation": text}, st.none() | TEXT),
    st.fixed_dictionaries(
        {
            "input_tokens": COUNT,
            "output_tokens": COUNT,
            "output_tokens_details": st.fixed_dictionaries({"thinking_tokens": COUNT}),
        },
        optional={
            "cache_read_input_tokens": COUNT,
            "cache_creation_input_tokens": COUNT,
            "service_tier": st.just("standard"),
        },
    ),
)


@settings(deadline=None)  # the machine may be busy
@given(
    message=MESSAGES,
    size=st.integers(1, 30),
    cuts=st.lists(st.integers(1, 400), max_size=30),
    model=st.sampled_from([MIDDLE, OLD]),
    shaped=st.booleans(),
)
def test_a_stream_adds_up_to_the_whole_answer_however_it_is_cut(message, size, cuts, model, shaped):
    request = request_of(ASKED | (SHAPED if shaped else {}), model)
    whole = orjson.loads(AnthropicWire().answer(request, orjson.dumps(message), "").body)
    translation = AnthropicWire().stream(request)
    data, out = encode(events_of(message, size=size)), b""
    for cut in [*cuts, len(data)]:
        out += translation.feed(data[:cut])
        data = data[cut:]
    chunks = chunks_of(out)
    assert assemble(chunks) == whole
    assert translation.complete
    assert translation.usage == whole["usage"]
    assert chunks[-1] == "[DONE]"


def streamed(*events, fields=ASKED, model=MIDDLE):
    translation = AnthropicWire().stream(request_of(fields, model))
    return translation, chunks_of(translation.feed(encode(list(events))))


def test_openais_client_reads_the_chunks():
    message = MESSAGE | {"content": [THOUGHT, USE, {**USE, "id": "toolu_2"}], "stop_reason": "tool_use"}
    _, chunks = streamed(*events_of(message))
    state = ChatCompletionStreamState()
    for chunk in chunks[:-1]:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk, strict=True))
    final = state.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert [call.id for call in calls] == ["toolu_1", "toolu_2"]
    assert orjson.loads(calls[1].function.arguments) == USE["input"]
    assert final.choices[0].message.reasoning_content == "Hm, so."
    assert final.usage.total_tokens == 5
    assert [chunk["usage"] for chunk in chunks[:-2]] == [None] * (len(chunks) - 2)


def test_usage_is_sent_only_on_request():
    translation, chunks = streamed(*events_of(MESSAGE), fields={"messages": HI, "stream": True})
    assert all("usage" not in chunk for chunk in chunks[:-1])
    assert translation.usage["total_tokens"] == 5


def test_a_tool_that_begins_with_its_input_is_whole():
    whole = [
        {"type": "content_block_start", "index": 0, "content_block": USE},
        {"type": "content_block_stop", "index": 0},
    ]
    start, *_, delta, stop = events_of(MESSAGE)
    _, chunks = streamed(start, *whole, delta, stop)
    function = assemble(chunks)["choices"][0]["message"]["tool_calls"][0]["function"]
    assert orjson.loads(function["arguments"]) == USE["input"]


def test_an_error_event_ends_the_stream_without_an_end():
    start = next(events_of(MESSAGE))
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    translation, chunks = streamed(start, error, {"type": "message_stop"})
    assert len(chunks) == 1
    assert translation.error == {
        "message": "Overloaded",
        "type": "overloaded_error",
        "param": None,
        "code": "overloaded_error",
    }
    assert not translation.complete
    assert translation.feed(encode(events_of(MESSAGE))) == b""


def test_a_cut_stream_is_not_complete_and_nothing_follows_the_end():
    events = list(events_of(MESSAGE))
    cut, _ = streamed(*events[:-1])
    ended, _ = streamed(*events)
    assert (cut.complete, ended.complete) == (False, True)
    assert ended.feed(encode(events)) == b""


def test_comments_and_unknown_events_are_passed_over():
    start, *others = events_of(MESSAGE)
    translation = AnthropicWire().stream(request_of(ASKED))
    data = b": hello\n\n" + encode([{"type": "fanfare"}, start, {"type": "fanfare"}, *others])
    assert assemble(chunks_of(translation.feed(data)))["choices"][0]["message"]["content"] == "Hello"


def test_counts_may_come_late_and_an_early_delta_is_ignored():
    start, *middle, delta, stop = events_of(MESSAGE)
    early = {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 1}}
    translation, chunks = streamed(start, *middle, early, {**delta, "usage": None}, stop)
    assert translation.usage["completion_tokens"] == 1
    assert len([chunk for chunk in chunks[:-1] if chunk["choices"] and chunk["choices"][0]["finish_reason"]]) == 1


START = next(events_of(MESSAGE))
TEXT_BEGINS = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}


@pytest.mark.parametrize(
    "events",
    [
        [TEXT_BEGINS],
        [{"type": "message_start"}],
        [START, {"type": "content_block_start", "index": 0}],
        [START, {"type": "content_block_start", "content_block": {"type": "text", "text": ""}}],
        [START, {"type": "content_block_start", "index": 0, "content_block": {"type": "song"}}],
        [START, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}],
        [START, TEXT_BEGINS, {"type": "content_block_delta", "index": 0, "delta": {"type": "song_delta"}}],
        [START, TEXT_BEGINS, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta"}}],
        [
            START,
            TEXT_BEGINS,
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": "{"},
            },
        ],
        [START, {"type": "content_block_stop", "index": 0}],
        [START, {"type": "message_stop"}],
    ],
)
def test_events_out_of_place_are_malformed(events):
    with pytest.raises(MalformedAnswer):
        streamed(*events)


def test_bytes_that_are_no_events_are_malformed(monkeypatch):
    with pytest.raises(MalformedAnswer, match="not JSON"):
        AnthropicWire().stream(request_of(ASKED)).feed(b"data: {\n\n")
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 10)
    with pytest.raises(MalformedAnswer, match="more than"):
        AnthropicWire().stream(request_of(ASKED)).feed(b"data: 1234567890")
