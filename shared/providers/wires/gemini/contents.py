"""A conversation in OpenAI's chat format as a system instruction and contents.

Source: https://ai.google.dev/gemini-api/docs/function-calling, https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.errors import InvalidRequest
from shared.providers.wires.gemini.models import Traits
from shared.providers.wires.gemini.parts import Part, image_part, parts_of
from shared.surfaces.fields import need_list, need_object, need_text, unsupported

Content = dict[str, Any]

# What Google names for function calls that another model made; a missing signature is a 400 from Gemini 3 on.
UNSIGNED = "skip_thought_signature_validator"


def read_conversation(messages: object, traits: Traits) -> tuple[list[Part], list[Content]]:
    """The parts of the system instruction and the contents of a conversation.

    System and developer messages are joined wherever they stand; neighbours of one kind become one content, so that
    the results of parallel calls stand together, as the provider demands.

    Raises:
        UnsupportedParameter: Content that the format cannot express.
        InvalidRequest: The messages are not of OpenAI's format, or nothing is said in them.
    """
    conversation = _Conversation(traits)
    for index, message in enumerate(need_list(messages, "messages")):
        path = f"messages[{index}]"
        conversation.add(need_object(message, path), path)
    if not conversation.contents:
        raise unsupported("messages", "this provider needs a message of the user that is not empty.")
    return conversation.system, conversation.contents


class _Conversation:
    def __init__(self, traits: Traits) -> None:
        self.system: list[Part] = []
        self.contents: list[Content] = []
        self._traits = traits
        self._kind = ""
        self._names: dict[str, str] = {}

    def add(self, message: Mapping[str, Any], path: str) -> None:
        role = message.get("role")
        if role in ("system", "developer"):
            self.system += _text_only(message, path)
        elif role == "user":
            self._append("user", parts_of(message.get("content"), f"{path}.content"))
        elif role == "assistant":
            self._append("model", self._said(message, path))
        elif role == "tool":
            self._append("tool", [self._result(message, path)])
        else:
            raise unsupported(f"{path}.role", f"messages of role {role!r} cannot be sent to this provider.")

    def _append(self, kind: str, parts: list[Part]) -> None:
        if not parts:
            return
        if self._kind == kind:
            self.contents[-1]["parts"] += parts
        else:
            self.contents.append({"role": "model" if kind == "model" else "user", "parts": parts})
        self._kind = kind

    def _said(self, message: Mapping[str, Any], path: str) -> list[Part]:
        for name in ("audio", "function_call"):
            if message.get(name) is not None:
                raise unsupported(f"{path}.{name}", "it cannot be sent to this provider.")
        google = google_content(message, path)
        parts = [dict(need_object(part, path)) for part in need_list(google.get("parts") or [], path)]
        parts += _signed(self._texts(message, path), google)
        for index, image in enumerate(need_list(message.get("images") or [], f"{path}.images")):
            place = f"{path}.images[{index}]"
            shown = need_object(image, place)
            parts.append(image_part(shown, place) | _signature(google_content(shown, place)))
        return parts + self._calls(message, path)

    def _texts(self, message: Mapping[str, Any], path: str) -> list[Part]:
        refusal = parts_of(message.get("refusal"), f"{path}.refusal")
        return parts_of(message.get("content"), f"{path}.content") + refusal

    def _calls(self, message: Mapping[str, Any], path: str) -> list[Part]:
        parts = []
        for index, each in enumerate(need_list(message.get("tool_calls") or [], f"{path}.tool_calls")):
            place = f"{path}.tool_calls[{index}]"
            call = need_object(each, place)
            part = _function_call(call, place)
            self._names[part["functionCall"]["id"]] = part["functionCall"]["name"]
            parts.append(part | _signature(google_content(call, place)))
        if parts and self._traits.signed and not any("thoughtSignature" in part for part in parts):
            parts[0]["thoughtSignature"] = UNSIGNED
        return parts

    def _result(self, message: Mapping[str, Any], path: str) -> Part:
        call_id = need_text(message.get("tool_call_id"), f"{path}.tool_call_id")
        name = self._names.get(call_id) or message.get("name")
        if not isinstance(name, str):
            raise InvalidRequest(
                f"{path}.tool_call_id names none of the tool calls before it.", param=f"{path}.tool_call_id"
            )
        parts = parts_of(message.get("content"), f"{path}.content")
        media = [part for part in parts if "text" not in part]
        if media and not self._traits.media_results:
            raise unsupported(f"{path}.content", "this model takes results of tools as text only.")
        text = "\n".join(part["text"] for part in parts if "text" in part)
        response: Part = {"id": call_id, "name": name, "response": _result_object(text)}
        return {"functionResponse": response | ({"parts": media} if media else {})}


def google_content(fields: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """``extra_content.google``: where what only Google knows travels in OpenAI's format."""
    extra = need_object(fields.get("extra_content") or {}, f"{path}.extra_content")
    return need_object(extra.get("google") or {}, f"{path}.extra_content.google")


def _text_only(message: Mapping[str, Any], path: str) -> list[Part]:
    parts = parts_of(message.get("content"), f"{path}.content")
    if any("text" not in part for part in parts):
        raise unsupported(f"{path}.content", "system and developer messages can hold text only.")
    return parts


def _signature(google: Mapping[str, Any]) -> Part:
    signature = google.get("thought_signature")
    return {} if signature is None else {"thoughtSignature": signature}


def _signed(texts: list[Part], google: Mapping[str, Any]) -> list[Part]:
    """The texts, the last one with the signature that came with them; a signature alone has an empty text."""
    signature = _signature(google)
    if not signature:
        return texts
    return [*texts[:-1], (texts[-1] if texts else {"text": ""}) | signature]


def _function_call(call: Mapping[str, Any], path: str) -> Part:
    if call.get("type", "function") != "function":
        raise unsupported(f"{path}.type", f"tool calls of type {call.get('type')!r} cannot be sent to this provider.")
    function = need_object(call.get("function"), f"{path}.function")
    called = {
        "id": need_text(call.get("id"), f"{path}.id"),
        "name": need_text(function.get("name"), f"{path}.function.name"),
        "args": _read_arguments(function.get("arguments"), f"{path}.function.arguments"),
    }
    return {"functionCall": called}


def _read_arguments(value: object, path: str) -> dict[str, Any]:
    """The arguments as an object; a function without parameters is often called with an empty text."""
    text = need_text(value, path)
    try:
        arguments = orjson.loads(text) if text.strip() else {}
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"{path} must be JSON.", param=path) from error
    if not isinstance(arguments, dict):
        raise InvalidRequest(f"{path} must be a JSON object.", param=path)
    return arguments


def _result_object(text: str) -> dict[str, Any]:
    """The result as an object, which the format demands: what is none stands under ``result``."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) else {"result": text}
