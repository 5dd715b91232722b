"""Content blocks as OpenAI's deltas: the one place that maps answers, streamed or whole.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from collections.abc import Callable, Mapping
from typing import Any

from shared.providers.wires.base import MalformedAnswer
from shared.providers.wires.blocks import BlockDecoder, text_of
from shared.providers.wires.chunks import Delta
from shared.providers.wires.reading import write_arguments

FINISH_REASONS: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class ContentDecoder(BlockDecoder):
    """Decodes one answer, block by block; each step gives its deltas in OpenAI's format.

    A whole block is one that is opened and closed with nothing in between.

    Args:
        answer_by_tool: The input of ``ANSWER_TOOL`` is the answer's text.
    """

    __slots__ = ()

    def open(self, index: int, block: Mapping[str, Any]) -> list[Delta]:
        """Begin a block, with the content it already has."""
        kind = block.get("type")
        opener = _OPENERS.get(kind) if isinstance(kind, str) else None
        if opener is None:
            raise MalformedAnswer(f"a content block of unknown type {kind!r}")
        self._open[index] = state = {"kind": kind}
        return opener(self, state, block)

    def extend(self, index: int, delta: Mapping[str, Any]) -> list[Delta]:
        """Append to a block."""
        kind = delta.get("type")
        extender = _EXTENDERS.get(kind) if isinstance(kind, str) else None
        state = self._open.get(index)
        if extender is None or state is None or state["kind"] != extender[0]:
            raise MalformedAnswer(f"a delta of type {kind!r} for no block that takes it")
        return extender[1](self, state, delta)

    def close(self, index: int) -> list[Delta]:
        """End a block."""
        state = self._open.pop(index, None)
        if state is None:
            raise MalformedAnswer("a content block ends that never began")
        if state["kind"] == "tool_use" and not state["written"]:
            return self._argument_deltas(state, "{}")
        if state["kind"] == "thinking":
            block = {"type": "thinking", "thinking": state["thinking"], "signature": state["signature"]}
            return [self._thought_delta(block)]
        return []

    def finish(self, ending: Mapping[str, Any]) -> tuple[Delta, str, Mapping[str, Any]]:
        """The last delta, the finish reason, and what else the choice says of the end.

        Args:
            ending: ``stop_reason``, ``stop_sequence`` and ``stop_details`` of the message.
        """
        last, reason = self._ending(FINISH_REASONS.get(str(ending.get("stop_reason")), "stop"))
        details = ending.get("stop_details")
        refusal = details.get("explanation") if isinstance(details, Mapping) else None
        stopped_by = ending.get("stop_sequence")
        more = {"stop_reason": stopped_by} if isinstance(stopped_by, str) else {}
        if reason == "content_filter" and isinstance(refusal, str):
            return {"refusal": refusal}, reason, more
        return last, reason, more

    def _decode_text(self, _state: dict[str, Any], block: Mapping[str, Any]) -> list[Delta]:
        return self._text_deltas(text_of(block, "text"))

    def _decode_thinking(self, state: dict[str, Any], block: Mapping[str, Any]) -> list[Delta]:
        state["thinking"] = text_of(block, "thinking")
        state["signature"] = "" if block.get("signature") is None else text_of(block, "signature")
        return [{"reasoning_content": state["thinking"]}] if state["thinking"] else []

    def _decode_redacted(self, _state: dict[str, Any], block: Mapping[str, Any]) -> list[Delta]:
        return [self._thought_delta({"type": "redacted_thinking", "data": text_of(block, "data")})]

    def _decode_tool(self, state: dict[str, Any], block: Mapping[str, Any]) -> list[Delta]:
        given = block.get("input")
        deltas = self._tool_deltas(state, text_of(block, "name"), text_of(block, "id"))
        return deltas + (self._argument_deltas(state, write_arguments(given)) if given else [])

    def _extend_text(self, _state: dict[str, Any], delta: Mapping[str, Any]) -> list[Delta]:
        return self._text_deltas(text_of(delta, "text"))

    def _extend_thinking(self, state: dict[str, Any], delta: Mapping[str, Any]) -> list[Delta]:
        piece = text_of(delta, "thinking")
        state["thinking"] += piece
        return [{"reasoning_content": piece}] if piece else []

    def _extend_signature(self, state: dict[str, Any], delta: Mapping[str, Any]) -> list[Delta]:
        state["signature"] += text_of(delta, "signature")
        return []

    def _extend_input(self, state: dict[str, Any], delta: Mapping[str, Any]) -> list[Delta]:
        piece = text_of(delta, "partial_json")
        return self._argument_deltas(state, piece) if piece else []


_OPENERS: Mapping[str, Callable[[ContentDecoder, dict[str, Any], Mapping[str, Any]], list[Delta]]] = {
    "text": ContentDecoder._decode_text,  # noqa: SLF001 - its own table
    "thinking": ContentDecoder._decode_thinking,  # noqa: SLF001
    "redacted_thinking": ContentDecoder._decode_redacted,  # noqa: SLF001
    "tool_use": ContentDecoder._decode_tool,  # noqa: SLF001
}
_EXTENDERS: Mapping[str, tuple[str, Callable[[ContentDecoder, dict[str, Any], Mapping[str, Any]], list[Delta]]]] = {
    "text_delta": ("text", ContentDecoder._extend_text),  # noqa: SLF001
    "thinking_delta": ("thinking", ContentDecoder._extend_thinking),  # noqa: SLF001
    "signature_delta": ("thinking", ContentDecoder._extend_signature),  # noqa: SLF001
    "input_json_delta": ("tool_use", ContentDecoder._extend_input),  # noqa: SLF001
}
