"""Recorded exchanges, read by eye once: request, chat request, chat answer and stream, Response and events."""

from pathlib import Path

import orjson
import pytest

from shared.surfaces.responses.answer import chat_to_response
from shared.surfaces.responses.request import responses_to_chat
from shared.surfaces.responses.stream import ResponseEvents
from tests.surfaces.responses.chats import stream_bytes
from tests.surfaces.responses.judges import judge_event, judge_response, read_events

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))
FACTS = {"response_id": "resp_" + "0123456789abcdef" * 3, "created_at": 1795360000}


@pytest.fixture(params=GOLDEN, ids=[path.stem for path in GOLDEN])
def exchange(request):
    return orjson.loads(request.param.read_bytes())


def test_the_request_is_the_recorded_one(exchange):
    assert responses_to_chat(exchange["request"], exchange["history"]) == exchange["chat_request"]


def test_the_answer_is_the_recorded_one(exchange):
    background = exchange["request"].get("background", False)
    response = chat_to_response(exchange["chat_answer"], exchange["request"], **FACTS, background=background)
    assert response == exchange["response"]
    judge_response(response)


def test_the_events_are_the_recorded_ones(exchange):
    background = exchange["request"].get("background", False)
    stream = ResponseEvents(exchange["request"], **FACTS, background=background)
    events = read_events(stream.feed(stream_bytes(exchange["chat_chunks"])))

    for event in events:
        judge_event(event)
    # Of a Response inside an event the file says the status, and of the last one that it is the recorded one.
    assert events[-1]["response"] == exchange["response"]
    short = [
        {**event, "response": {"status": event["response"]["status"]}} if "response" in event else event
        for event in events[:-1]
    ]
    assert [*short, {**events[-1], "response": "the same"}] == exchange["events"]
