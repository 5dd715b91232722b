"""Contents as messages of OpenAI's chat format.

Sources: https://ai.google.dev/api/caching#Content, https://ai.google.dev/gemini-api/docs/function-calling
"""

from typing import Any

from shared.errors import InvalidRequest
from shared.surfaces.fields import encode, need_list, need_object, need_text, unsupported
from shared.surfaces.genai.parts import user_part
from shared.surfaces.genai.spelling import read_object, refuse_others
from shared.surfaces.genai.thoughts import unsealed

Message = dict[str, Any]

_RESULT = frozenset({"id", "name", "response", "parts", "willContinue", "scheduling"})


def chat_messages(fields: dict[str, Any]) -> list[Message]:
    """The messages of a request: the system instruction, then its contents.

    Raises:
        UnsupportedParameter: Content without a counterpart; ``param`` is its path.
        InvalidRequest: It is not content.
    """
    conversation = _Conversation()
    if "systemInstruction" in fields:
        conversation.instruct(fields["systemInstruction"])
    for index, content in enumerate(need_list(fields.get("contents"), "contents")):
        conversation.add(content, f"contents[{index}]")
    return conversation.end()


class _Conversation:
    """Pairs results with the calls they answer: by id, or else by name and order, as the format allows.

    Neighbours of the model are one message: the SDK keeps every chunk of a stream as content of its own.
    """

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._turn: _Turn | None = None
        self._open: list[tuple[str, str]] = []
        self._calls = 0

    def end(self) -> list[Message]:
        """Return the messages, the model's last turn among them."""
        if self._turn is not None:
            self._messages.append(self._turn.message())
            self._turn = None
        return self._messages

    def instruct(self, instruction: object) -> None:
        texts = [{"type": "text", "text": instruction}] if isinstance(instruction, str) else _texts(instruction)
        if texts:
            content = texts[0]["text"] if len(texts) == 1 else texts
            self._messages.append({"role": "system", "content": content})

    def add(self, content: object, path: str) -> None:
        fields = read_object(content, path)
        refuse_others(fields, {"role", "parts"}, path)
        parts = _read_parts(fields, path)
        role = fields.get("role", "user")
        if role == "model":
            self._add_model(parts)
        elif role in ("user", "function"):
            self._add_user(parts)
        else:
            raise InvalidRequest(f"{path}.role must be user or model.", param=f"{path}.role")

    def _add_user(self, parts: list[tuple[str, dict[str, Any]]]) -> None:
        messages, content = self.end(), []
        for path, part in parts:
            if "functionResponse" in part:
                messages.append(self._result(part["functionResponse"], f"{path}.functionResponse"))
            else:
                content.append(user_part(part, path))
        if content:
            plain = len(content) == 1 and content[0].keys() == {"type", "text"}
            messages.append({"role": "user", "content": content[0]["text"] if plain else content})

    def _result(self, value: object, path: str) -> Message:
        result = read_object(value, path)
        refuse_others(result, _RESULT, path)
        name = need_text(result.get("name"), f"{path}.name")
        call_id = self._answered(result.get("id"), name, path)
        text = encode(need_object(result.get("response", {}), f"{path}.response"), f"{path}.response").decode()
        media = [
            user_part(read_object(part, item_path), item_path)
            for item_path, part in _with_paths(result.get("parts", []), f"{path}.parts")
        ]
        content = [{"type": "text", "text": text}, *media] if media else text
        return {"role": "tool", "tool_call_id": call_id, "content": content}

    def _answered(self, call_id: object, name: str, path: str) -> str:
        """The id of the call that the result belongs to, which is answered with it."""
        found = next((call for call in self._open if call[0] == call_id), None)
        found = found or next((call for call in self._open if call_id is None and call[1] == name), None)
        if found is None:
            raise InvalidRequest(f"{path} answers none of the calls before it.", param=path)
        self._open.remove(found)
        return found[0]

    def _add_model(self, parts: list[tuple[str, dict[str, Any]]]) -> None:
        self._turn = turn = self._turn or _Turn()
        for path, part in parts:
            if "functionCall" in part:
                turn.calls.append(self._call(part, path))
            else:
                turn.add(part, path)

    def _call(self, part: dict[str, Any], path: str) -> dict[str, Any]:
        item_path = f"{path}.functionCall"
        called = read_object(part["functionCall"], item_path)
        refuse_others(called, {"id", "name", "args"}, item_path)
        name = need_text(called.get("name"), f"{item_path}.name")
        self._calls += 1
        call_id = need_text(called.get("id") or f"call_{self._calls}", f"{item_path}.id")
        self._open.append((call_id, name))
        arguments = encode(need_object(called.get("args", {}), f"{item_path}.args"), f"{item_path}.args").decode()
        call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        return call | _signed(part)


class _Turn:
    """A turn of the model: its content between two contents of the user."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._blocks: list[dict[str, Any]] = []
        self._images: list[dict[str, Any]] = []
        self._google: dict[str, Any] = {}

    def add(self, part: dict[str, Any], path: str) -> None:
        signature = part.get("thoughtSignature")
        if isinstance(part.get("text"), str):
            self._add_text(part, signature)
        elif "inlineData" in part and (image := user_part(part, path))["type"] == "image_url":
            self._images.append(image | _signed(part))
        elif part.keys() - {"thoughtSignature", "thought"}:
            # Of tools that run at Google (executableCode, toolCall, ...): only there it has a meaning.
            self._google.setdefault("parts", []).append(part)
        elif signature is not None:
            self._google["thought_signature"] = signature

    def _add_text(self, part: dict[str, Any], signature: object) -> None:
        if part.get("thought") is not True:
            self._texts.append(part["text"])
        else:
            self._thoughts.append(part["text"])
            block = unsealed(signature, "".join(self._thoughts))
            if block is not None:
                self._blocks.append(block)
                self._thoughts.clear()
                return
        if signature is not None:
            self._google["thought_signature"] = signature

    def message(self) -> Message:
        message: Message = {"role": "assistant", "content": "".join(self._texts) or None}
        thought = "".join([*(block.get("thinking", "") for block in self._blocks), *self._thoughts])
        optional = {
            "reasoning_content": thought,
            "thinking_blocks": self._blocks,
            "images": self._images,
            "tool_calls": self.calls,
            "extra_content": {"google": self._google} if self._google else None,
        }
        return message | {name: value for name, value in optional.items() if value}


def _signed(part: dict[str, Any]) -> dict[str, Any]:
    signature = part.get("thoughtSignature")
    return {} if signature is None else {"extra_content": {"google": {"thought_signature": signature}}}


def _read_parts(fields: dict[str, Any], path: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (item_path, read_object(part, item_path))
        for item_path, part in _with_paths(fields.get("parts", []), f"{path}.parts")
    ]


def _with_paths(values: object, path: str) -> list[tuple[str, object]]:
    return [(f"{path}[{index}]", value) for index, value in enumerate(need_list(values, path))]


def _texts(instruction: object) -> list[dict[str, Any]]:
    path = "systemInstruction"
    parts = [user_part(part, item_path) for item_path, part in _read_parts(read_object(instruction, path), path)]
    if any(part["type"] != "text" for part in parts):
        raise unsupported(f"{path}.parts", "the system instruction can hold text only.")
    return parts
