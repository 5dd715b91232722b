"""Puts a streamed chat completion together again: the body that the same call would have had without ``stream``. Pure.

Every chunk carries the head; each choice's ``delta`` carries a piece of its message. Text is joined, objects are
merged, lists are merged by the items' ``index`` or appended, anything else is replaced: unknown fields are kept.
Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from typing import Any

import orjson

from shared.surfaces.sse import event_data

# Text that says the same in every chunk instead of a further piece of it.
_REPEATED = frozenset({"id", "type", "role", "object", "name"})
# Keys of chunks alone.
_CHUNK_ONLY = frozenset({"choices", "obfuscation"})


class ChatAssembly:
    """Takes the events of a chat stream, gives the deltas' text and, at the end, the whole completion."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, event: bytes) -> str:
        """Take one event.

        Returns:
            The text that it adds to the first choice; empty for everything else.
        """
        data = event_data(event)
        if not data or data == b"[DONE]":
            return ""
        chunk = orjson.loads(data)
        if not isinstance(chunk, dict):
            return ""
        for key, value in chunk.items():
            if key not in _CHUNK_ONLY and (value is not None or key not in self._head):
                self._head[key] = value
        return "".join(self._add_choice(choice) for choice in chunk.get("choices") or ())

    def _add_choice(self, piece: dict[str, Any]) -> str:
        index = piece.get("index", 0)
        choice = self._choices.setdefault(index, {"index": index, "message": {}})
        delta = piece.get("delta") or {}
        _merge(choice["message"], delta)
        rest = {key: value for key, value in piece.items() if key not in {"index", "delta"}}
        finish = rest.pop("finish_reason", None)
        choice["finish_reason"] = finish or choice.get("finish_reason")
        _merge(choice, rest)
        text = delta.get("content")
        return text if index == 0 and isinstance(text, str) else ""

    def completion(self) -> bytes:
        """The whole body, in OpenAI's non-streamed form."""
        choices = [_whole(self._choices[index]) for index in sorted(self._choices)]
        return orjson.dumps({**self._head, "object": "chat.completion", "choices": choices})


def _whole(choice: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": None, "refusal": None, "annotations": [], **choice["message"]}
    for numbered in (*(message.get("tool_calls") or ()), *(message.get("thinking_blocks") or ())):
        numbered.pop("index", None)
    if message["content"] == "" and message.get("tool_calls"):
        message["content"] = None
    return {"logprobs": None, **choice, "message": message}


def _merge(into: dict[str, Any], piece: dict[str, Any]) -> None:
    for key, value in piece.items():
        known = into.get(key)
        if known is None:
            into[key] = _opened(value)
        elif value is not None:
            into[key] = _joined(key, known, value)


def _opened(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """A first piece, as something that later pieces can be merged into."""
    if isinstance(value, list):
        opened: list[Any] = []
        _merge_list(opened, value)
        return opened
    return value


def _joined(key: str, known: Any, value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(known, str) and isinstance(value, str):
        return known or value if key in _REPEATED else known + value
    if isinstance(known, dict) and isinstance(value, dict):
        _merge(known, value)
        return known
    if isinstance(known, list) and isinstance(value, list):
        _merge_list(known, value)
        return known
    return value


def _merge_list(known: list[Any], pieces: list[Any]) -> None:
    for piece in pieces:
        index = piece.get("index") if isinstance(piece, dict) else None
        twin = next((item for item in known if isinstance(item, dict) and item.get("index") == index), None)
        if index is None or twin is None:
            known.append(piece)
        else:
            _merge(twin, {key: value for key, value in piece.items() if key != "index"})
