"""Content blocks as OpenAI's deltas: the one place that maps answers, streamed or whole.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlockDelta.html
"""

from collections.abc import Mapping
from typing import Any

from shared.providers.wires.base import MalformedAnswer
from shared.providers.wires.blocks import BlockDecoder, text_of
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


class ContentDecoder(BlockDecoder):
    """Decodes one answer, block by block; each step gives its deltas in OpenAI's format.

    Args:
        answer_by_tool: The input of ``ANSWER_TOOL`` is the answer's text.
    """

    __slots__ = ()

    def decode_block(self, index: int, block: Mapping[str, Any]) -> list[Delta]:
        """Decode a complete block."""
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
        """Begin a block that is announced; texts and thoughts are not."""
        use = start.get("toolUse")
        if not isinstance(use, Mapping):
            raise MalformedAnswer(f"a content block of unknown type {_kind(start)!r}")
        self._open[index] = state = {"kind": "tool"}
        return self._tool_deltas(state, text_of(use, "name"), text_of(use, "toolUseId"))

    def extend(self, index: int, delta: Mapping[str, Any]) -> list[Delta]:
        """Append to a block, or begin one that was not announced."""
        if isinstance(delta.get("text"), str):
            self._open.setdefault(index, {"kind": "text"})
            return self._text_deltas(delta["text"])
        if isinstance(delta.get("reasoningContent"), Mapping):
            return self._decode_thought(index, delta["reasoningContent"])
        use = delta.get("toolUse")
        state = self._open.get(index, {})
        if not isinstance(use, Mapping) or state.get("kind") != "tool":
            raise MalformedAnswer(f"content of type {_kind(delta)!r} for no block that takes it")
        piece = text_of(use, "input")
        return self._argument_deltas(state, piece) if piece else []

    def close(self, index: int) -> list[Delta]:
        """End a block; an empty one may end without having begun."""
        state = self._open.pop(index, {"kind": "text"})
        if state["kind"] == "tool" and not state["written"]:
            return self._argument_deltas(state, "{}")
        if state["kind"] == "thought" and state["redacted"]:
            return [self._thought_delta({"type": "redacted_thinking", "data": state["redacted"]})]
        if state["kind"] == "thought" and state["signature"]:
            # Thoughts without a signature cannot go back to the model; they are reasoning_content only.
            block = {"type": "thinking", "thinking": state["text"], "signature": state["signature"]}
            return [self._thought_delta(block)]
        return []

    def finish(self, stop_reason: object) -> tuple[Delta, str]:
        """Return the last delta and the finish reason."""
        return self._ending(FINISH_REASONS.get(str(stop_reason), "stop"))

    def _whole_thought(self, index: int, reasoning: Mapping[str, Any]) -> list[Delta]:
        plain = reasoning.get("reasoningText")
        if not isinstance(plain, Mapping):
            return self._decode_thought(index, reasoning)
        pieces = [{name: plain[name]} for name in ("text", "signature") if plain.get(name) is not None]
        return [delta for piece in pieces for delta in self._decode_thought(index, piece)]

    def _decode_thought(self, index: int, piece: Mapping[str, Any]) -> list[Delta]:
        state = self._open.setdefault(index, {"kind": "thought", "text": "", "signature": "", "redacted": ""})
        names = {"text": "text", "signature": "signature", "redactedContent": "redacted"}
        name = next((name for name in names if isinstance(piece.get(name), str)), None)
        if name is None or state["kind"] != "thought":
            raise MalformedAnswer(f"reasoning of type {_kind(piece)!r} for no block that takes it")
        state[names[name]] += piece[name]
        return [{"reasoning_content": piece[name]}] if name == "text" and piece[name] else []


def _kind(union: Mapping[str, Any]) -> str:
    return ", ".join(str(name)[:40] for name in list(union)[:3])
