"""Content blocks as OpenAI's deltas: the one place that maps what a model said, streamed or whole.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from shared.providers.wires.anthropic.tools import ANSWER_TOOL
from shared.providers.wires.base import MalformedAnswer

Delta = dict[str, Any]

FINISH_REASONS: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class ContentDecoder:
    """One answer being said, block by block; each step gives the deltas that it means in OpenAI's format.

    A whole block is one that is opened and closed with nothing in between.

    Args:
        answer_by_tool: The input of ``ANSWER_TOOL`` is the answer's text.
    """

    __slots__ = ("_answer_by_tool", "_open", "_said", "_thoughts", "_tools")

    def __init__(self, *, answer_by_tool: bool = False) -> None:
        self._answer_by_tool = answer_by_tool
        self._open: dict[int, dict[str, Any]] = {}
        self._said = False
        self._thoughts = 0
        self._tools = 0

    def open(self, index: int, block: Mapping[str, Any]) -> list[Delta]:
        """A block begins, with what it holds already."""
        kind = block.get("type")
        opener = _OPENERS.get(kind) if isinstance(kind, str) else None
        if opener is None:
            raise MalformedAnswer(f"a content block of unknown type {kind!r}")
        self._open[index] = state = {"kind": kind}
        return opener(self, state, block)

    def extend(self, index: int, delta: Mapping[str, Any]) -> list[Delta]:
        """A block grows."""
        kind = delta.get("type")
        extender = _EXTENDERS.get(kind) if isinstance(kind, str) else None
        state = self._open.get(index)
        if extender is None or state is None or state["kind"] != extender[0]:
            raise MalformedAnswer(f"a delta of type {kind!r} for no block that takes it")
        return extender[1](self, state, delta)

    def close(self, index: int) -> list[Delta]:
        """A block ends."""
        state = self._open.pop(index, None)
        if state is None:
            raise MalformedAnswer("a content block ends that never began")
        if state["kind"] == "tool_use" and not state["written"]:
            return self._write(state, "{}")
        if state["kind"] == "thinking":
            block = {"type": "thinking", "thinking": state["thinking"], "signature": state["signature"]}
            return [self._thought(block)]
        return []

    def finish(self, ending: Mapping[str, Any]) -> tuple[Delta, str, Mapping[str, Any]]:
        """The last delta, the finish reason, and what else the choice says of the end.

        Args:
            ending: ``stop_reason``, ``stop_sequence`` and ``stop_details`` of the message.
        """
        reason = FINISH_REASONS.get(str(ending.get("stop_reason")), "stop")
        if reason == "tool_calls" and not self._tools:
            reason = "stop"
        details = ending.get("stop_details")
        refusal = details.get("explanation") if isinstance(details, Mapping) else None
        stopped_by = ending.get("stop_sequence")
        more = {"stop_reason": stopped_by} if isinstance(stopped_by, str) else {}
        if reason == "content_filter" and isinstance(refusal, str):
            return {"refusal": refusal}, reason, more
        return ({} if self._said or self._tools else {"content": ""}), reason, more

    def _open_text(self, _state: dict[str, Any], block: Mapping[str, Any]) -> list[Delta]:
        return self._text(_text(block, "text"))

    def _open_thinking(self, state: dict[str, Any], block: Mapping[str, Any]) -> list[Delta]:
        state["thinking"] = _text(block, "thinking")
        state["signature"] = "" if block.get("signature") is None else _text(block, "signature")
        return [{"reasoning_content": state["thinking"]}] if state["thinking"] else []

    def _open_redacted(self, _state: dict[str, Any], block: Mapping[str, Any]) -> list[Delta]:
        return [self._thought({"type": "redacted_thinking", "data": _text(block, "data")})]

    def _open_tool(self, state: dict[str, Any], block: Mapping[str, Any]) -> list[Delta]:
        name, given = _text(block, "name"), block.get("input")
        state["written"] = False
        state["tool"] = None
        deltas: list[Delta] = []
        if not (self._answer_by_tool and name == ANSWER_TOOL):
            state["tool"] = self._tools
            self._tools += 1
            function = {"name": name, "arguments": ""}
            call = {
                "index": state["tool"],
                "id": _text(block, "id"),
                "type": "function",
                "function": function,
            }
            deltas.append({"tool_calls": [call]})
        return deltas + (self._write(state, orjson.dumps(given).decode()) if given else [])

    def _more_text(self, _state: dict[str, Any], delta: Mapping[str, Any]) -> list[Delta]:
        return self._text(_text(delta, "text"))

    def _more_thinking(self, state: dict[str, Any], delta: Mapping[str, Any]) -> list[Delta]:
        piece = _text(delta, "thinking")
        state["thinking"] += piece
        return [{"reasoning_content": piece}] if piece else []

    def _sign(self, state: dict[str, Any], delta: Mapping[str, Any]) -> list[Delta]:
        state["signature"] += _text(delta, "signature")
        return []

    def _more_input(self, state: dict[str, Any], delta: Mapping[str, Any]) -> list[Delta]:
        piece = _text(delta, "partial_json")
        return self._write(state, piece) if piece else []

    def _write(self, state: dict[str, Any], piece: str) -> list[Delta]:
        """A piece of a tool's arguments, or of the answer that comes as such."""
        state["written"] = True
        if state["tool"] is None:
            return self._text(piece)
        return [{"tool_calls": [{"index": state["tool"], "function": {"arguments": piece}}]}]

    def _text(self, piece: str) -> list[Delta]:
        self._said = self._said or bool(piece)
        return [{"content": piece}] if piece else []

    def _thought(self, block: dict[str, str]) -> Delta:
        self._thoughts += 1
        return {"thinking_blocks": [{"index": self._thoughts - 1, **block}]}


_OPENERS: Mapping[str, Callable[[ContentDecoder, dict[str, Any], Mapping[str, Any]], list[Delta]]] = {
    "text": ContentDecoder._open_text,  # noqa: SLF001 - its own table
    "thinking": ContentDecoder._open_thinking,  # noqa: SLF001
    "redacted_thinking": ContentDecoder._open_redacted,  # noqa: SLF001
    "tool_use": ContentDecoder._open_tool,  # noqa: SLF001
}
_EXTENDERS: Mapping[str, tuple[str, Callable[[ContentDecoder, dict[str, Any], Mapping[str, Any]], list[Delta]]]] = {
    "text_delta": ("text", ContentDecoder._more_text),  # noqa: SLF001
    "thinking_delta": ("thinking", ContentDecoder._more_thinking),  # noqa: SLF001
    "signature_delta": ("thinking", ContentDecoder._sign),  # noqa: SLF001
    "input_json_delta": ("tool_use", ContentDecoder._more_input),  # noqa: SLF001
}


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise MalformedAnswer(f"{name} of a content block is no text")
    return value


def join_deltas(deltas: Sequence[Delta]) -> dict[str, Any]:
    """The message that the deltas of a whole answer make."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    for delta in deltas:
        for name, value in delta.items():
            if name == "tool_calls":
                _join_calls(message.setdefault("tool_calls", []), value)
            elif name == "thinking_blocks":
                blocks = [{key: each for key, each in block.items() if key != "index"} for block in value]
                message.setdefault("thinking_blocks", []).extend(blocks)
            else:
                message[name] = (message.get(name) or "") + value
    return message


def _join_calls(calls: list[dict[str, Any]], pieces: Sequence[Mapping[str, Any]]) -> None:
    for piece in pieces:
        if "id" in piece:
            calls.append({"id": piece["id"], "type": "function", "function": dict(piece["function"])})
        else:
            calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
