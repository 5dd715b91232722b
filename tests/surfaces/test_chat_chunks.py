from typing import Any

import orjson
import pytest

from shared.surfaces.chat_assembly import ChatAssembly
from shared.surfaces.chat_chunks import as_stream, replayed
from shared.surfaces.sse import DONE, EventSplitter, event_data

CALLS = [
    {"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in ("first", "second")
]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "assistant", "content": "Hi", "reasoning_content": "Hm."},
    ],
)
def test_the_stream_of_a_whole_answer_is_that_answer(message: dict[str, Any]) -> None:
    whole = {"refusal": None, "annotations": [], **message}
    choices = [{"index": at, "message": whole, "finish_reason": "stop", "logprobs": None} for at in (0, 1)]
    whole = {"id": "c", "object": "chat.completion", "model": "m", "choices": choices, "usage": {"total_tokens": 5}}
    *events, last = EventSplitter().feed(as_stream(whole))
    assembly = ChatAssembly()
    for event in events:
        assembly.add(event)
    assert orjson.loads(assembly.completion()) == whole
    assert last == DONE


def test_an_answer_without_choices_is_an_empty_stream() -> None:
    assert b'"choices":[]' in as_stream({"id": "c"})


def test_a_whole_answer_is_replayed_as_a_provider_streams_it() -> None:
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "refusal": None, "annotations": [], "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": None}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": {"a": 1}}
    *events, last = replayed(whole, include_usage=False)
    assert last == b"data: [DONE]\n\n"
    first, end = (orjson.loads(event_data(event)) for event in events)
    assert first["object"] == end["object"] == "chat.completion.chunk"
    assert first["choices"][0]["delta"] == {"role": "assistant", "tool_calls": [{**call, "index": 0}]}
    assert (first["choices"][0]["finish_reason"], end["choices"][0]["finish_reason"]) == (None, "tool_calls")
    assert end["choices"][0]["delta"] == {}
    assert "usage" not in first
    *_, usage, _ = replayed(whole, include_usage=True)
    assert orjson.loads(event_data(usage)) == {
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": {"a": 1}
    }  # fmt: skip
    assembly = ChatAssembly()
    for event in replayed(whole, include_usage=True):
        assembly.add(event)
    assert orjson.loads(assembly.completion()) == whole
