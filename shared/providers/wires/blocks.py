"""Decoding of answers that come as content blocks, one after the other, as Anthropic's and Amazon's do."""

from collections.abc import Mapping
from typing import Any

from shared.providers.wires.base import MalformedAnswer
from shared.providers.wires.chunks import Delta

ANSWER_TOOL = "give_answer"
"""The tool whose input is the answer, for models without structured outputs."""


class BlockDecoder:
    """The state that block decoders share, and the deltas that they write in OpenAI's format.

    Args:
        answer_by_tool: The input of ``ANSWER_TOOL`` is the answer's text.
    """

    __slots__ = ("_answer_by_tool", "_has_text", "_open", "_thoughts", "_tools")

    def __init__(self, *, answer_by_tool: bool) -> None:
        self._answer_by_tool = answer_by_tool
        self._open: dict[int, dict[str, Any]] = {}
        self._has_text = False
        self._thoughts = 0
        self._tools = 0

    def _tool_deltas(self, state: dict[str, Any], name: str, call_id: str) -> list[Delta]:
        """Begin a tool call; the answer that comes as one begins with nothing."""
        state |= {"written": False, "tool": None}
        if self._answer_by_tool and name == ANSWER_TOOL:
            return []
        state["tool"] = self._tools
        self._tools += 1
        call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        return [{"tool_calls": [{"index": state["tool"], **call}]}]

    def _argument_deltas(self, state: dict[str, Any], piece: str) -> list[Delta]:
        """Append to the arguments of a tool call, or to the answer that comes as such."""
        state["written"] = True
        if state["tool"] is None:
            return self._text_deltas(piece)
        return [{"tool_calls": [{"index": state["tool"], "function": {"arguments": piece}}]}]

    def _text_deltas(self, piece: str) -> list[Delta]:
        self._has_text = self._has_text or bool(piece)
        return [{"content": piece}] if piece else []

    def _thought_delta(self, block: dict[str, str]) -> Delta:
        self._thoughts += 1
        return {"thinking_blocks": [{"index": self._thoughts - 1, **block}]}

    def _ending(self, reason: str) -> tuple[Delta, str]:
        """Return the last delta and the finish reason: no tool call without a tool, and never no content at all."""
        if reason == "tool_calls" and not self._tools:
            reason = "stop"
        return ({} if self._has_text or self._tools else {"content": ""}), reason


def text_of(fields: Mapping[str, Any], name: str) -> str:
    """Return a text of a provider's content block.

    Raises:
        MalformedAnswer: It is not a text.
    """
    value = fields.get(name)
    if not isinstance(value, str):
        raise MalformedAnswer(f"{name} of a content block is not a text")
    return value


def object_of(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object of a stream's event.

    Raises:
        MalformedAnswer: It is missing.
    """
    value = event.get(name)
    if not isinstance(value, Mapping):
        raise MalformedAnswer(f"an event without {name}")
    return value


def index_of(event: Mapping[str, Any], name: str) -> int:
    """Return which block an event belongs to.

    Raises:
        MalformedAnswer: It does not say so.
    """
    index = event.get(name)
    if not isinstance(index, int):
        raise MalformedAnswer("an event without the index of its block")
    return index
