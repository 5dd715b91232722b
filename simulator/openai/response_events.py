"""The event stream of a response: every event of the reference in its order, numbered without gaps."""

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from simulator.calls import Stream
from simulator.model.json_schema import Json
from simulator.model.text import Composition

Item = dict[str, Any]
Events = Iterator[tuple[bool, bytes]]  # whether a token goes out with it, and the frame


class _Numbered:
    """Makes frames, each with the next sequence number."""

    def __init__(self) -> None:
        self._next = 0

    def frame(self, kind: str, **fields: Json) -> bytes:
        """`event:` and `data:` lines of one event."""
        event = {"type": kind, "sequence_number": self._next, **fields}
        self._next += 1
        return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"


def stream_events(
    body: dict[str, Any], final: dict[str, Any], composition: Composition, when_done: Callable[[], None]
) -> Stream:
    """The stream from `response.created` to `response.completed` or `response.incomplete`."""
    numbered = _Numbered()
    frames = [
        (0, numbered.frame("response.created", response=body)),
        (0, numbered.frame("response.in_progress", response=body)),
    ]
    token = 0
    for index, item in enumerate(final["output"]):
        events = _ITEM_EVENTS[item["type"]](numbered, index, item, composition)
        for is_token, frame in events:
            token += is_token
            frames.append((token if is_token else max(token, 1), frame))
    end = numbered.frame(f"response.{final['status']}", response=final)
    return Stream(frames, end, _error_frame, when_done=when_done)


def _error_frame(sent: int) -> bytes:
    event = {
        "type": "error",
        "sequence_number": sent,
        "code": "server_error",
        "message": "The simulated model failed in the middle.",
        "param": None,
    }
    return b"event: error\ndata: " + orjson.dumps(event) + b"\n\n"


def _reasoning_events(numbered: _Numbered, index: int, item: Item, composition: Composition) -> Events:
    part = item["summary"][0]
    place = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    kind = "response.reasoning_summary"
    yield False, numbered.frame("response.output_item.added", output_index=index, item={**item, "summary": []})
    yield False, numbered.frame(f"{kind}_part.added", **place, part={**part, "text": ""})
    for piece in composition.reasoning:
        yield True, numbered.frame(f"{kind}_text.delta", **place, delta=piece)
    yield False, numbered.frame(f"{kind}_text.done", **place, text=part["text"])
    yield False, numbered.frame(f"{kind}_part.done", **place, part=part)
    yield False, numbered.frame("response.output_item.done", output_index=index, item=item)


def _message_events(numbered: _Numbered, index: int, item: Item, composition: Composition) -> Events:
    part = item["content"][0]
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    begun = {**item, "status": "in_progress", "content": []}
    yield False, numbered.frame("response.output_item.added", output_index=index, item=begun)
    yield False, numbered.frame("response.content_part.added", **place, part={**part, "text": ""})
    for piece in composition.pieces:
        yield True, numbered.frame("response.output_text.delta", **place, delta=piece, logprobs=[])
    yield False, numbered.frame("response.output_text.done", **place, text=part["text"], logprobs=[])
    yield False, numbered.frame("response.content_part.done", **place, part=part)
    yield False, numbered.frame("response.output_item.done", output_index=index, item=item)


def _call_events(numbered: _Numbered, index: int, item: Item, composition: Composition) -> Events:
    place = {"item_id": item["id"], "output_index": index}
    begun = {**item, "status": "in_progress", "arguments": ""}
    done = {"name": item["name"], "arguments": item["arguments"]}
    yield False, numbered.frame("response.output_item.added", output_index=index, item=begun)
    for piece in composition.pieces:
        yield True, numbered.frame("response.function_call_arguments.delta", **place, delta=piece)
    yield False, numbered.frame("response.function_call_arguments.done", **place, **done)
    yield False, numbered.frame("response.output_item.done", output_index=index, item=item)


_ITEM_EVENTS = {
    "reasoning": _reasoning_events,
    "message": _message_events,
    "function_call": _call_events,
}
