"""Input items, one after the other, as the turns of a chat."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from shared.errors import InvalidRequest
from shared.surfaces.responses.content import (
    ANSWER_PARTS,
    PROMPT_PARTS,
    TOOL_PARTS,
    Part,
    chat_content,
    check_keys,
    refuse,
    text_of,
)
from shared.surfaces.responses.encrypted_content import Carried, unseal

Reasoning = Literal["signed", "text", "none"]
DeveloperRole = Literal["developer", "system"]

# Said about an item by the API or by SDK helpers, not to the model.
_CONTENT_FIELDS = frozenset({"type", "id", "status", "phase", "created_by", "caller", "parsed_arguments"})
_MESSAGE = _CONTENT_FIELDS | {"role", "content"}
_CALL = _CONTENT_FIELDS | {"call_id", "name", "arguments", "extra_content"}
_OUTPUT = _CONTENT_FIELDS | {"call_id", "name", "output"}
_REASONING = _CONTENT_FIELDS | {"summary", "content", "encrypted_content"}


class Conversation:
    """Chat messages being made of items.

    One turn of the model (reasoning, text, calls) becomes one assistant message, as chat demands.

    Args:
        developer_role: The role of instructions; not every chat knows ``developer``.
        reasoning: Which earlier reasoning is sent again: what a provider signed, its text too, or nothing.
    """

    def __init__(self, developer_role: DeveloperRole, reasoning: Reasoning) -> None:
        self.messages: list[dict[str, Any]] = []
        self._developer_role = developer_role
        self._reasoning = reasoning
        self._turn: dict[str, Any] | None = None
        self._thought: dict[str, Any] = {}
        self._calls: set[str] = set()

    def instruct(self, text: str) -> None:
        """Instructions for the model."""
        self._add_message({"role": self._developer_role, "content": text})

    def add(self, item: object, path: str) -> None:
        """The next item.

        Raises:
            InvalidRequest: It is no item.
            UnsupportedParameter: Chat cannot express it.
        """
        if not isinstance(item, dict):
            raise InvalidRequest(f"{path} must be an object.", param=path)
        kind = item.get("type") or ("message" if "role" in item else None)
        take = self._takers().get(kind) if isinstance(kind, str) else None
        if take is None:
            refuse(f"{path}.type", f"an item of type {kind!r}")
        take(item, path)

    def close(self) -> list[dict[str, Any]]:
        """The messages, after the last item."""
        self._end_turn()
        return self.messages

    def _takers(self) -> Mapping[str, Callable[[Mapping[str, Any], str], None]]:
        return {
            "message": self._take_message,
            "function_call": self._take_call,
            "function_call_output": self._take_output,
            "reasoning": self._take_reasoning,
        }

    def _add_message(self, message: dict[str, Any]) -> None:
        self._end_turn()
        self.messages.append(message)

    def _end_turn(self) -> None:
        if self._turn is not None:
            self._remember(self._turn)
        # Reasoning that no text follows cannot stand in a chat.
        self._turn, self._thought = None, {}

    def _remember(self, turn: dict[str, Any]) -> None:
        """Put the reasoning that came since into the assistant's turn."""
        for name, thought in self._thought.items():
            turn[name] = turn[name] + thought if name in turn else thought
        self._thought = {}

    def _open_turn(self) -> dict[str, Any]:
        if self._turn is None:
            self._turn = {"role": "assistant", "content": None}
            self.messages.append(self._turn)
        self._remember(self._turn)
        return self._turn

    def _take_message(self, item: Mapping[str, Any], path: str) -> None:
        check_keys(item, _MESSAGE, path)
        role = item.get("role")
        if role == "assistant":
            self._take_answer(item.get("content"), path)
        elif role == "user":
            self._add_message(
                {"role": role, "content": chat_content(item.get("content"), f"{path}.content", PROMPT_PARTS)}
            )
        elif role == "system" or role == "developer":  # noqa: PLR1714 - it may be unhashable
            content = chat_content(item.get("content"), f"{path}.content", PROMPT_PARTS)
            self._add_message({"role": "system" if role == "system" else self._developer_role, "content": content})
        else:
            raise InvalidRequest(f"{path}.role must be user, assistant, system or developer.", param=f"{path}.role")

    def _take_answer(self, content: object, path: str) -> None:
        parts = chat_content(content, f"{path}.content", ANSWER_PARTS)
        if self._turn is not None and self._turn["content"] is not None and "tool_calls" not in self._turn:
            # A message of its own, not the rest of one.
            thought, self._thought = self._thought, {}
            self._end_turn()
            self._thought = thought
        turn = self._open_turn()
        turn["content"] = parts if turn["content"] is None else _parts_of(turn["content"]) + _parts_of(parts)

    def _take_call(self, item: Mapping[str, Any], path: str) -> None:
        check_keys(item, _CALL, path)
        function = {"name": text_of(item, "name", path), "arguments": text_of(item, "arguments", path)}
        call_id = text_of(item, "call_id", path)
        call: dict[str, Any] = {"id": call_id, "type": "function", "function": function}
        if isinstance(item.get("extra_content"), dict):
            call["extra_content"] = item["extra_content"]
        self._open_turn().setdefault("tool_calls", []).append(call)
        self._calls.add(call_id)

    def _take_output(self, item: Mapping[str, Any], path: str) -> None:
        check_keys(item, _OUTPUT, path)
        call_id = text_of(item, "call_id", path)
        if call_id not in self._calls:
            raise InvalidRequest(
                f"{path}: no function call with call_id {call_id[:64]!r} comes before this output.",
                param=f"{path}.call_id",
            )
        output = chat_content(item.get("output"), f"{path}.output", TOOL_PARTS)
        self._add_message({"role": "tool", "tool_call_id": call_id, "content": output})

    def _take_reasoning(self, item: Mapping[str, Any], path: str) -> None:
        check_keys(item, _REASONING, path)
        if self._reasoning == "none":
            return
        thought: dict[str, Any] = dict(_carried(item))
        text = _reasoning_text(item)
        if self._reasoning == "text" and text:
            thought["reasoning_content"] = text
        for name, value in thought.items():
            self._thought[name] = self._thought[name] + value if name in self._thought else value


def _carried(item: Mapping[str, Any]) -> Carried:
    return unseal(item.get("encrypted_content"))


def _reasoning_text(item: Mapping[str, Any]) -> str:
    for parts in (item.get("content"), item.get("summary")):
        if isinstance(parts, list) and parts:
            texts = [part.get("text") for part in parts if isinstance(part, dict)]
            return "".join(text for text in texts if isinstance(text, str))
    return ""


def _parts_of(content: str | list[Part]) -> list[Part]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
