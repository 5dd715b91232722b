"""What of a stream is stored."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from shared.cache.recording import StreamRecording
from shared.surfaces.request_types import CHAT, RESPONSES, RequestType
from shared.surfaces.sse import DONE, encode_event

Stored = list[tuple[bytes, Mapping[str, Any]]]
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "service_tier": "flex"}


def chunk(content: str, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return encode_event(orjson.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice], **more}))


def recorded(
    *events: bytes, request_type: RequestType = CHAT, most_bytes: int = 1000, usage: Mapping[str, Any] = USAGE
) -> Stored:
    stored: Stored = []
    recording = StreamRecording(request_type, most_bytes, lambda body, usage: stored.append((body, usage)))
    for some in events:
        recording.add(some)
    recording.complete(usage)
    recording.complete(usage)
    return stored


def test_a_chat_is_stored_whole_with_its_usage() -> None:
    ((body, usage),) = recorded(chunk("Hel") + chunk("lo"), chunk("", "stop"), DONE)
    whole = orjson.loads(body)
    assert whole["choices"][0]["message"]["content"] == "Hello"
    assert whole["usage"] == {"prompt_tokens": 1, "completion_tokens": 2}
    assert usage == USAGE


def test_the_usage_of_its_own_chunks_stays() -> None:
    last = encode_event(orjson.dumps({"id": "c", "choices": [], "usage": {"total_tokens": 9}}))
    ((body, _),) = recorded(chunk("Hi", "stop"), last, DONE, usage={})
    assert orjson.loads(body)["usage"] == {"total_tokens": 9}


@pytest.mark.parametrize(
    "events",
    [
        (),
        (chunk("Hi"), DONE),
        (chunk("", "stop"), DONE),
        (chunk("Hi", "content_filter"), DONE),
        (b"data: {broken\n\n",),
        (encode_event(b'{"choices":[3]}'),),
    ],
)
def test_incomplete_filtered_and_malformed_chats_are_not_stored(events: tuple[bytes, ...]) -> None:
    assert recorded(*events) == []


def test_a_chat_without_any_usage_is_not_stored() -> None:
    assert recorded(chunk("Hi", "stop"), usage={}) == []


def test_a_long_stream_is_dropped() -> None:
    assert recorded(*[chunk("x" * 1000)] * 40, chunk("", "stop")) == []


def response(status: str) -> bytes:
    data = {"type": f"response.{status}", "response": {"id": "resp_1", "status": status, "output": [{}]}}
    return encode_event(orjson.dumps(data), name=f"response.{status}")


def test_a_complete_response_is_stored_as_it_came() -> None:
    events = [encode_event(b'{"type":"response.output_text.delta","delta":"Hi"}'), response("completed")]
    ((body, _),) = recorded(*events, request_type=RESPONSES)
    assert body == b"".join(events)


@pytest.mark.parametrize("events", [response("incomplete"), encode_event(b'{"type":"x"}'), b": comment\n\n"])
def test_other_responses_are_not_stored(events: bytes) -> None:
    assert recorded(events, request_type=RESPONSES) == []
