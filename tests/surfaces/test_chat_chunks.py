from typing import Any

import orjson
import pytest

from shared.surfaces.chat_assembly import ChatAssembly
from shared.surfaces.chat_chunks import as_stream
from shared.surfaces.sse import DONE, EventSplitter

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
