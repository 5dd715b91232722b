"""Content of an answer as OpenAI's deltas: a whole answer is a stream of one line.

Source: https://docs.ollama.com/api/chat
"""

from collections.abc import Mapping
from typing import Any

from shared.providers.wires.base import MalformedAnswer, ProviderRequest
from shared.providers.wires.chunks import Delta
from shared.providers.wires.reading import write_arguments


class ContentDecoder:
    """Decodes one answer, line by line, into deltas of OpenAI's format."""

    __slots__ = ("_answer_id", "_has_text", "_tools")

    def __init__(self, request: ProviderRequest) -> None:
        self._answer_id = request.answer_id
        self._has_text = False
        self._tools = 0

    def decode(self, line: Mapping[str, Any]) -> list[Delta]:
        """Decode a line."""
        message = line.get("message")
        if not isinstance(message, Mapping):
            raise MalformedAnswer("a line of the answer holds no message")
        deltas: list[Delta] = []
        for theirs, ours in (("thinking", "reasoning_content"), ("content", "content")):
            piece = message.get(theirs)
            if piece is not None and not isinstance(piece, str):
                raise MalformedAnswer(f"{theirs} of the answer is not a text")
            if piece:
                deltas.append({ours: piece})
                self._has_text = self._has_text or ours == "content"
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list):
            raise MalformedAnswer("tool_calls of the answer are not a list")
        return deltas + [self._decode_call(call) for call in calls]

    def finish(self, line: Mapping[str, Any]) -> tuple[Delta, str]:
        """The last delta and the finish reason."""
        if self._tools:
            return {}, "tool_calls"
        reason = "length" if line.get("done_reason") == "length" else "stop"
        return ({} if self._has_text else {"content": ""}), reason

    def _decode_call(self, call: object) -> Delta:
        function = call.get("function") if isinstance(call, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(call, Mapping) or not isinstance(function, Mapping) or not isinstance(name, str):
            raise MalformedAnswer("a tool call names no function")
        index = self._tools
        self._tools += 1
        arguments = write_arguments(function.get("arguments") or {})
        made = {
            "index": index,
            # Older servers give none.
            "id": str(call.get("id") or f"call_{index}_{self._answer_id}"),
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        return {"tool_calls": [made]}
