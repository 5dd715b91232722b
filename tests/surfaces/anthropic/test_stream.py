"""Chunks as Anthropic's events."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.providers.wires.anthropic import AnthropicWire
from shared.surfaces.anthropic import MessageEvents, message_of
from shared.surfaces.sse import DONE, EventSplitter, encode_event, event_data, event_name
from tests.providers.wires.anthropic.judge import judge_event
from tests.providers.wires.anthropic.request_cases import request_of
from tests.providers.wires.anthropic.stream_events import encode, events_of
from tests.providers.wires.anthropic.test_stream import ASKED, MESSAGES, THOUGHT


def chunk(delta=None, finish=None, **more):
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return encode_event(orjson.dumps({"id": "c1", "model": "gpt-4o", "choices": choices} | more))


def events_in(data):
    """The events, each named as its type says and known to the SDK."""
    events = []
    for raw in EventSplitter().feed(data):
        event = orjson.loads(event_data(raw))
        assert event_name(raw).decode() == event["type"]
        if event["type"] != "error":
            judge_event(event)
        events.append(event)
    return events


def events_from(*data, events=None):
    encoder = MessageEvents(request_id="req_1") if events is None else events
    return events_in(b"".join(encoder.feed(each) for each in data))


def sum_up(events):
    """The message that a client puts together, as the SDK's accumulator does."""
    message = {}
    for event in events:
        if event["type"] == "message_start":
            message = event["message"]
        elif event["type"] == "content_block_start":
            assert event["index"] == len(message["content"])
            message["content"].append(dict(event["content_block"]) | {"input_json": ""})
        elif event["type"] == "content_block_delta":
            _grow(message["content"][event["index"]], event["delta"])
        elif event["type"] == "message_delta":
            message |= event["delta"]
            message["usage"] |= event["usage"]
    for block in message["content"]:
        text = block.pop("input_json")
        if text:
            block["input"] = orjson.loads(text)
    return message


def _grow(block, delta):
    field = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}.get(delta["type"])
    if field is None:
        block["input_json"] += delta["partial_json"]
    else:
        block[field] += delta[field]


@settings(deadline=None)  # the machine may be busy
@given(message=MESSAGES, size=st.integers(1, 30), cuts=st.lists(st.integers(1, 400), max_size=30))
def test_a_stream_through_openais_format_adds_up_to_the_whole_message(message, size, cuts):
    wire, ask = AnthropicWire(), request_of(ASKED)
    completion = orjson.loads(wire.answer(ask, orjson.dumps(message), "").body)
    whole = message_of(completion)
    whole["usage"].pop("service_tier", None)  # streams tell it to nobody but in their first event
    data, out, encoder = wire.stream(ask).feed(encode(events_of(message, size=size))), b"", MessageEvents()
    for cut in [*cuts, len(data)]:
        out += encoder.feed(data[:cut])
        data = data[cut:]
    summed = sum_up(events_in(out))
    assert _ordered(summed.pop("content")) == _ordered(whole.pop("content"))
    assert summed == whole
    assert encoder.ended


def _ordered(content):
    """Whole messages join what streams tell in the order in which it was written."""
    text = "".join(block["text"] for block in content if block["type"] == "text")
    return [
        text,
        *(
            block
            for kind in ("thinking", "redacted_thinking", "tool_use")
            for block in content
            if block["type"] == kind
        ),
    ]


def test_blocks_begin_and_end_around_each_change():
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}}
    second = {"index": 1, "id": "call_2", "type": "function", "function": {"name": "rest", "arguments": "{}"}}
    events = events_from(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning": "Hm."}),
        chunk({"content": "So."}),
        chunk({"tool_calls": [call]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"at":1}'}}]}),
        chunk({"tool_calls": [second]}),
        chunk({}, "tool_calls"),
        chunk(usage={"prompt_tokens": 7, "completion_tokens": 5}),
        DONE,
    )
    assert [event["type"] for event in events] == [
        "message_start",
        *["content_block_start", "content_block_delta", "content_block_stop"] * 4,
        "message_delta",
        "message_stop",
    ]
    assert [event["index"] for event in events if event["type"] == "content_block_start"] == [0, 1, 2, 3]
    assert sum_up(events)["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "text", "text": "So."},
        {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": 1}},
        {"type": "tool_use", "id": "call_2", "name": "rest", "input": {}},
    ]
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert events[-2]["usage"]["input_tokens"] == 7


def test_thoughts_that_were_not_streamed_are_sent_whole():
    blocks = [
        {"index": 0, **THOUGHT},
        {"index": 1, "type": "redacted_thinking", "data": "xyz"},
        {"index": 2, **THOUGHT, "thinking": ""},
    ]
    events = events_from(chunk({"thinking_blocks": blocks}), chunk({}, "stop"), DONE)
    assert sum_up(events)["content"] == [
        THOUGHT,
        {"type": "redacted_thinking", "data": "xyz"},
        {**THOUGHT, "thinking": ""},
    ]


def test_refusals_are_text_and_say_why_at_the_end():
    events = events_from(chunk({"refusal": "No"}), chunk({"refusal": "."}, "content_filter"), DONE)
    assert sum_up(events)["content"] == [{"type": "text", "text": "No."}]
    assert events[-2]["delta"]["stop_details"]["explanation"] == "No."


def test_keep_alives_are_pings_and_other_choices_are_passed_over():
    other = {"choices": [{"index": 1, "delta": {"content": "Other"}}]}
    events = events_from(b": keep-alive\n\n", chunk({"content": "A"}), chunk(None, **other), chunk({}, "stop"), DONE)
    assert events[0] == {"type": "ping"}
    assert sum_up(events)["content"] == [{"type": "text", "text": "A"}]


def test_nothing_but_an_end_is_an_empty_message():
    assert sum_up(events_from(DONE))["content"] == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "Busy.", "type": "overloaded_error"}, "overloaded_error"),
        ({"message": "Busy.", "type": "server_error"}, "api_error"),
        ({"message": "Busy.", "type": "x", "status": 429}, "rate_limit_error"),
        ("Busy.", "api_error"),
    ],
)
def test_errors_end_the_stream(error, kind):
    encoder = MessageEvents(request_id="req_1")
    events = events_from(chunk({"content": "A"}), encode_event(orjson.dumps({"error": error})), DONE, events=encoder)
    assert events[-1] == {"type": "error", "error": {"type": kind, "message": "Busy."}, "request_id": "req_1"}
    assert encoder.ended
    assert encoder.feed(chunk({"content": "B"})) == b""


def test_a_cut_stream_can_be_failed():
    failed = events_in(MessageEvents().fail(502, {"message": "Cut.", "type": "upstream_error"}))
    assert failed[0]["error"] == {"type": "api_error", "message": "Cut."}


def test_calls_that_are_mixed_break_the_stream():
    def call(number, **more):
        return chunk({"tool_calls": [{"index": number, "function": {"name": "f", "arguments": "{"}, **more}]})

    events = events_from(call(0, id="a"), call(1, id="b"), call(0), DONE)
    assert events[-1]["type"] == "error"
    assert "two tool calls" in events[-1]["error"]["message"]


def test_several_events_in_one_chunk_stop_at_an_error():
    mixed = [{"index": number, "id": "x", "function": {"name": "f", "arguments": ""}} for number in (0, 1, 0)]
    choices = [{"index": 0, "delta": {"tool_calls": mixed}}, {"index": 0, "delta": {"content": "late"}}]
    assert events_from(chunk(None, choices=choices))[-1]["type"] == "error"
