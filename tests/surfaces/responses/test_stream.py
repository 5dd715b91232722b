import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.surfaces.responses.answer import chat_to_response
from shared.surfaces.responses.reply import MalformedChat
from shared.surfaces.responses.request import responses_to_chat
from shared.surfaces.responses.skeleton import response_skeleton
from shared.surfaces.responses.stream import ResponseEvents, encode, opening_events
from tests.surfaces.responses.chats import USAGE, answers, chunk, fragments, function, stream_bytes
from tests.surfaces.responses.judges import judge_event, judge_response, read_events

RESPONSE_ID = "resp_" + "0f" * 24
ASKED = {"model": "anthropic/claude-x", "input": "Hi", "metadata": {"a": "b"}}
FACTS = {"response_id": RESPONSE_ID, "created_at": 1795360000}


def translate(chunks, **more):
    stream = ResponseEvents(ASKED, **{**FACTS, **more})
    return read_events(stream.feed(stream_bytes(chunks)))


def types(events):
    return [event["type"].removeprefix("response.") for event in events]


@given(st.data())
def test_the_streamed_response_equals_the_answered_one_however_the_bytes_come(data):
    whole, chunks = data.draw(answers())
    background = data.draw(st.booleans())
    stream = ResponseEvents(ASKED, **FACTS, background=background, clock=lambda: 1795360007)

    sent = b"".join(stream.feed(piece) for piece in data.draw(fragments(stream_bytes(chunks))))

    events = read_events(sent)
    expected = chat_to_response(whole, ASKED, **FACTS, background=background, completed_at=1795360007)
    assert events[-1]["response"] == orjson.loads(orjson.dumps(expected)) == stream.response
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert stream.complete
    assert stream.usage == (expected["usage"] or {})
    for event in events:
        judge_event(event)
    judge_response(expected)


@given(answers())
def test_the_pieces_of_a_stream_make_its_items(answer):
    _, chunks = answer
    events = translate(chunks)

    texts, done = {}, {}
    for event in events:
        kind = event["type"]
        place = (event.get("output_index"), event.get("content_index"))
        if kind.endswith(".delta"):
            assert event["delta"]
            texts[(*place, kind)] = texts.get((*place, kind), "") + event["delta"]
        elif kind.endswith((".output_text.done", "_text.done", "refusal.done", "arguments.done")):
            text = event.get("text", event.get("refusal", event.get("arguments")))
            assert texts.pop((*place, kind.removesuffix("done") + "delta"), "") == text
        elif kind.endswith("output_item.done"):
            done[event["output_index"]] = event["item"]
    assert texts == {}
    assert [done[index] for index in sorted(done)] == events[-1]["response"]["output"]


def test_text_comes_as_the_sequence_that_openai_sends():
    events = translate(
        [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"}), chunk({"content": "lo"})]
    )

    assert types(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert events[2]["item"]["content"] == []
    assert events[3]["part"] == {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    assert events[6]["text"] == "Hello"


def test_reasoning_ends_when_the_answer_begins():
    block = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}
    events = translate(
        [
            chunk({"reasoning_content": "Hm"}),
            chunk({"reasoning_content": "."}),
            chunk({"thinking_blocks": [{"index": 0, **block}]}),
            chunk({"content": "Yes"}),
        ]
    )

    assert types(events)[2:10] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
    ]
    assert events[8]["item"]["summary"] == [{"type": "summary_text", "text": "Hm."}]
    again = responses_to_chat({"input": [{"role": "user", "content": "?"}, *events[-1]["response"]["output"]]})
    assert again["messages"][1] == {"role": "assistant", "content": "Yes", "thinking_blocks": [block]}


def test_reasoning_between_text_and_a_call_is_an_item_of_its_own_and_one_turn_when_it_goes_back():
    events = translate(
        [
            chunk({"reasoning_content": "First."}),
            chunk({"content": "I look."}),
            chunk({"reasoning_content": "Then."}),
            chunk({"tool_calls": [{"index": 0, **function("look", "{}")}]}),
            chunk({"content": " Soon."}),
        ]
    )

    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", "reasoning", "function_call"]
    assert len({item["id"] for item in output}) == 4
    for event in events:
        judge_event(event)
    again = responses_to_chat({"input": [{"role": "user", "content": "?"}, *output]}, reasoning="text")
    assert again["messages"][1:] == [
        {
            "role": "assistant",
            "content": "I look. Soon.",
            "reasoning_content": "First.Then.",
            "tool_calls": [function("look", "{}")],
        }
    ]


def test_parallel_calls_may_come_interleaved():
    events = translate(
        [
            chunk({"tool_calls": [{"index": 0, **function("a", "", "c0")}, {"index": 1, **function("b", "", "c1")}]}),
            chunk({"tool_calls": [{"index": 1, "function": {"arguments": '{"y":'}}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
            chunk({"tool_calls": [{"index": 1, "function": {"arguments": "1}"}}]}),
            chunk({}, "tool_calls"),
        ]
    )

    calls = events[-1]["response"]["output"]
    assert [(call["call_id"], call["name"], call["arguments"]) for call in calls] == [
        ("c0", "a", "{}"),
        ("c1", "b", '{"y":1}'),
    ]
    deltas = [event for event in events if event["type"].endswith("arguments.delta")]
    assert [event["output_index"] for event in deltas] == [1, 0, 1]


@pytest.mark.parametrize(
    "pieces",
    [
        [{"index": 0, **function("a", "{}", "c0")}, {"index": 0, **function("b", "[]", "c1")}],
        [function("a", "{}", "c0"), function("b", "[]", "c1")],
        [function("a", "{", "c0"), {"function": {"arguments": "}"}}, function("b", "[]", "c1")],
    ],
    ids=["one index for all", "no index", "no index, cut"],
)
def test_unnumbered_calls_are_distinguished(pieces):
    events = translate([chunk({"tool_calls": [piece]}) for piece in pieces])

    calls = events[-1]["response"]["output"]
    assert [(call["call_id"], call["arguments"]) for call in calls] == [("c0", "{}"), ("c1", "[]")]


def test_a_call_without_an_id_is_given_one():
    piece = {"index": 0, "function": {"name": "a", "arguments": "{}"}}
    (call,) = translate([chunk({"tool_calls": [piece]})])[-1]["response"]["output"]

    assert call["call_id"] == f"call_{'0f' * 24}_0"


def test_log_probabilities_of_chunks_without_text_are_kept():
    token = {"token": "\\xf0", "logprob": -1.0, "bytes": [240], "top_logprobs": []}
    with_token = {"logprobs": {"content": [token]}}
    events = translate(
        [chunk({"content": ""}, choice=with_token), chunk({"content": "😀"}), chunk({"content": ""}, choice=with_token)]
    )

    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == [token, token]


def test_a_job_is_queued_first_and_its_runner_need_not_repeat_what_was_announced():
    skeleton = response_skeleton(ASKED, **FACTS, background=True)
    opening = opening_events(skeleton)
    assert types(opening) == ["created", "queued", "in_progress"]
    assert [event["response"]["status"] for event in opening] == ["queued", "queued", "in_progress"]

    runner = ResponseEvents(ASKED, **FACTS, background=True, announced=2)
    rest = read_events(runner.start() + runner.feed(stream_bytes([chunk({"content": "x"})])))

    events = [*read_events(b"".join(map(encode, opening[:2]))), *rest]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert types(events)[:3] == ["created", "queued", "in_progress"]


def test_the_opening_is_sent_once():
    stream = ResponseEvents(ASKED, **FACTS)
    assert types(read_events(stream.start())) == ["created", "in_progress"]
    assert stream.start() == b""
    assert stream.feed(b": waiting\n\n") == b""
    assert types(read_events(stream.feed(stream_bytes([], done=False) + stream_bytes([chunk({})], done=False)))) == []


def test_a_stream_may_end_well_without_a_word():
    stream = ResponseEvents(ASKED, **FACTS)
    events = read_events(stream.finish())

    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == ""
    assert stream.finish() == stream.fail({}) == b""
    for event in events:
        judge_event(event)


def test_nothing_follows_the_end():
    stream = ResponseEvents(ASKED, **FACTS)
    events = read_events(stream.feed(stream_bytes([chunk({"content": "a"})]) + stream_bytes([chunk({"content": "b"})])))

    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "a"
    assert stream.feed(stream_bytes([chunk({"content": "c"})])) == b""


def test_an_error_in_the_stream_becomes_a_failed_response():
    error = {"message": "slow down", "type": "rate_limit_error", "code": "tokens"}
    stream = ResponseEvents(ASKED, **FACTS)
    begun = read_events(stream.feed(stream_bytes([chunk({"content": "a"}), {"error": error}, chunk({"content": "b"})])))

    assert "completed" not in types(begun)
    assert (stream.error, stream.complete) == (error, False)
    events = begun + read_events(stream.fail(stream.error))
    assert types(events)[-2:] == ["output_text.delta", "failed"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    response = judge_event(events[-1]).response
    assert (response.status, response.error.code, response.output) == ("failed", "rate_limit_exceeded", [])


def test_a_failure_before_the_first_event_is_an_error_event():
    stream = ResponseEvents(ASKED, **FACTS)
    assert stream.feed(stream_bytes([{"error": "overloaded"}])) == b""

    (event,) = read_events(stream.fail(stream.error))
    judge_event(event)
    assert event["message"] == event["error"]["message"] == "overloaded"
    assert event["sequence_number"] == 0


def test_events_before_malformed_bytes_are_still_sent():
    stream = ResponseEvents(ASKED, **FACTS)
    with pytest.raises(MalformedChat):
        stream.feed(stream_bytes([chunk({"content": "a"})], done=False) + b"data: {nonsense\n\n")

    events = read_events(stream.fail({"message": "broken", "type": "upstream_error"}))
    assert types(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "failed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(6))


@pytest.mark.parametrize(
    "event",
    [
        [],
        {"choices": 1},
        {"choices": [1]},
        chunk("x"),
        chunk({"content": 1}),
        {"choices": [{"index": 0, "delta": {}}, {"index": 1, "delta": {}}]},
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"name": "a", "arguments": {}}}]}),
        chunk({"tool_calls": [{"index": 0, "type": "custom", "custom": {}}]}),
    ],
)
def test_what_is_no_chat_stream_is_malformed(event):
    with pytest.raises(MalformedChat):
        ResponseEvents(ASKED, **FACTS).feed(stream_bytes([event]))


def test_an_endless_event_is_malformed():
    stream = ResponseEvents(ASKED, **FACTS)
    with pytest.raises(MalformedChat):
        stream.feed(b"data: " + b"x" * (17 * 1024 * 1024))


def test_usage_is_in_the_last_event():
    stream = ResponseEvents(ASKED, **FACTS)
    stream.feed(stream_bytes([chunk({"content": "a"}, "stop"), chunk(usage=USAGE)]))

    assert stream.usage == {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 2},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 29,
    }
