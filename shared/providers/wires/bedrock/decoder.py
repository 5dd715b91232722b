"""Content blocks as OpenAI's deltas: the one place that maps what a model said, streamed or whole.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlockDelta.html
"""

from collections.abc import Mapping
from typing import Any

from shared.providers.wires.base import MalformedAnswer
from shared.providers.wires.bedrock.tools import ANSWER_TOOL
from shared.providers.wires.chunks import Delta
from shared.providers.wires.reading import write_arguments

FINISH_REASONS: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "malformed_model_output": "stop",
    "malformed_tool_use": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}


class ContentDecoder:
    """One answer being said, block by block; each step gives the deltas that it means in OpenAI's format.

    Args:
        answer_by_tool: The input of ``ANSWER_TOOL`` is the answer's text.
    """

    __slots__ = ("_answer_by_tool", "_open", "_said", "_thoughts", "_tools")

    def __init__(self, *, answer_by_tool: bool) -> None:
        self._answer_by_tool = answer_by_tool
        self._open: dict[int, dict[str, Any]] = {}
        self._said = False
        self._thoughts = 0
        self._tools = 0

    def whole(self, index: int, block: Mapping[str, Any]) -> list[Delta]:
        """A complete block."""
        use, reasoning = block.get("toolUse"), block.get("reasoningContent")
        if isinstance(use, Mapping):
            given = use.get("input")
            deltas = self.open(index, {"toolUse": use})
            if given:
                deltas += self.extend(index, {"toolUse": {"input": write_arguments(given)}})
        elif isinstance(reasoning, Mapping):
            deltas = self._whole_thought(index, reasoning)
        else:
            deltas = self.extend(index, block)
        return deltas + self.close(index)

    def open(self, index: int, start: Mapping[str, Any]) -> list[Delta]:
        """A block begins that says so; texts and thoughts do not."""
        use = start.get("toolUse")
        if not isinstance(use, Mapping):
            raise MalformedAnswer(f"a content block of unknown type {_kind(start)!r}")
        name = _text(use, "name")
        state: dict[str, Any] = {"kind": "tool", "written": False, "tool": None}
        self._open[index] = state
        if self._answer_by_tool and name == ANSWER_TOOL:
            return []
        state["tool"] = self._tools
        self._tools += 1
        call = {"id": _text(use, "toolUseId"), "type": "function", "function": {"name": name, "arguments": ""}}
        return [{"tool_calls": [{"index": state["tool"], **call}]}]

    def extend(self, index: int, delta: Mapping[str, Any]) -> list[Delta]:
        """A block grows, or begins without having said so."""
        if isinstance(delta.get("text"), str):
            self._open.setdefault(index, {"kind": "text"})
            return self._text(delta["text"])
        if isinstance(delta.get("reasoningContent"), Mapping):
            return self._think(index, delta["reasoningContent"])
        use = delta.get("toolUse")
        state = self._open.get(index, {})
        if not isinstance(use, Mapping) or state.get("kind") != "tool":
            raise MalformedAnswer(f"content of type {_kind(delta)!r} for no block that takes it")
        piece = _text(use, "input")
        return self._write(state, piece) if piece else []

    def close(self, index: int) -> list[Delta]:
        """A block ends; one that held nothing may end without ever having begun."""
        state = self._open.pop(index, {"kind": "text"})
        if state["kind"] == "tool" and not state["written"]:
            return self._write(state, "{}")
        if state["kind"] == "thought" and state["redacted"]:
            return [self._thought({"type": "redacted_thinking", "data": state["redacted"]})]
        if state["kind"] == "thought" and state["signature"]:
            # Thoughts without a signature cannot go back to the model; they are reasoning_content only.
            block = {"type": "thinking", "thinking": state["text"], "signature": state["signature"]}
            return [self._thought(block)]
        return []

    def finish(self, stop_reason: object) -> tuple[Delta, str]:
        """The last delta and the finish reason."""
        reason = FINISH_REASONS.get(str(stop_reason), "stop")
        if reason == "tool_calls" and not self._tools:
            reason = "stop"
        return ({} if self._said or self._tools else {"content": ""}), reason

    def _whole_thought(self, index: int, reasoning: Mapping[str, Any]) -> list[Delta]:
        plain = reasoning.get("reasoningText")
        if not isinstance(plain, Mapping):
            return self._think(index, reasoning)
        pieces = [{name: plain[name]} for name in ("text", "signature") if plain.get(name) is not None]
        return [delta for piece in pieces for delta in self._think(index, piece)]

    def _think(self, index: int, piece: Mapping[str, Any]) -> list[Delta]:
        state = self._open.setdefault(index, {"kind": "thought", "text": "", "signature": "", "redacted": ""})
        names = {"text": "text", "signature": "signature", "redactedContent": "redacted"}
        name = next((name for name in names if isinstance(piece.get(name), str)), None)
        if name is None or state["kind"] != "thought":
            raise MalformedAnswer(f"reasoning of type {_kind(piece)!r} for no block that takes it")
        state[names[name]] += piece[name]
        return [{"reasoning_content": piece[name]}] if name == "text" and piece[name] else []

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


def _kind(union: Mapping[str, Any]) -> str:
    return ", ".join(str(name)[:40] for name in list(union)[:3])


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise MalformedAnswer(f"{name} of a content block is no text")
    return value
