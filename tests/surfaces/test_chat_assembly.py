from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.surfaces.chat_assembly import ChatAssembly
from shared.surfaces.sse import DONE, encode_event

HEAD = {"id": "chatcmpl-1", "created": 1, "model": "m", "system_fingerprint": "fp", "x_unknown": {"a": 1}}


def chunk(*choices: dict[str, Any], **more: Any) -> bytes:
    return encode_event(orjson.dumps({**HEAD, "object": "chat.completion.chunk", "choices": choices, **more}))


def piece(delta: dict[str, Any], index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish, **more}


def assembled(*events: bytes) -> dict[str, Any]:
    assembly = ChatAssembly()
    for event in events:
        assembly.add(event)
    return orjson.loads(assembly.completion())


@given(st.lists(st.text()), st.lists(st.text(), min_size=1))
def test_text_is_joined_however_it_is_cut(texts: list[str], thoughts: list[str]) -> None:
    assembly = ChatAssembly()
    seen = [assembly.add(chunk(piece({"role": "assistant", "content": text}))) for text in texts]
    for thought in thoughts:
        assert assembly.add(chunk(piece({"reasoning_content": thought}))) == ""
    assembly.add(chunk(piece({}, finish="stop")))
    assembly.add(chunk(usage={"total_tokens": 3}))
    assert assembly.add(DONE) == ""
    assert assembly.add(b": keepalive\n\n") == ""
    body = orjson.loads(assembly.completion())
    message = body["choices"][0]["message"]
    assert "".join(seen) == "".join(texts) == (message["content"] or "")
    assert message["reasoning_content"] == "".join(thoughts)
    assert body["usage"] == {"total_tokens": 3}
    assert body["object"] == "chat.completion"
    assert {key: body[key] for key in HEAD} == HEAD


def test_tool_calls_are_joined_by_their_index() -> None:
    first = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "f", "arguments": ""}}
    second = {"index": 1, "id": "call_b", "type": "function", "function": {"name": "g", "arguments": "{}"}}
    body = assembled(
        chunk(piece({"role": "assistant", "content": "", "tool_calls": [first]})),
        chunk(piece({"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}, second]})),
        chunk(piece({"tool_calls": [{"index": 0, "id": "call_a", "function": {"arguments": ":1}"}}]})),
        chunk(piece({}, finish="tool_calls")),
    )
    message = body["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "call_b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert body["choices"][0]["finish_reason"] == "tool_calls"


def test_choices_and_logprobs_are_kept_apart() -> None:
    log = {"content": [{"token": "a"}], "refusal": None}
    body = assembled(
        chunk(piece({"content": "a"}, 1, logprobs=log), piece({"content": "x"})),
        chunk(piece({"content": "b"}, 1, "stop", logprobs={"content": [{"token": "b"}], "refusal": None})),
        chunk(piece({"content": None}, 0, "length", content_filter_results={"hate": {"filtered": False}})),
    )
    assert [choice["message"]["content"] for choice in body["choices"]] == ["x", "ab"]
    assert body["choices"][0]["content_filter_results"] == {"hate": {"filtered": False}}
    assert [token["token"] for token in body["choices"][1]["logprobs"]["content"]] == ["a", "b"]


def test_what_is_no_chunk_changes_nothing() -> None:
    assert assembled(b"data: 1\n\n", chunk(piece({"content": "a", "n": 1}, finish="stop"))) == assembled(
        chunk(piece({"content": "a", "n": 0})), chunk(piece({"n": 1}, finish="stop"))
    )


@pytest.mark.parametrize("value", [[{"a": 1}], [1, 2]])
def test_lists_without_an_index_grow(value: list[Any]) -> None:
    body = assembled(chunk(piece({"annotations": value})), chunk(piece({"annotations": value})))
    assert body["choices"][0]["message"]["annotations"] == value + value
