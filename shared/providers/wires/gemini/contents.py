"""A conversation in OpenAI's chat format as a system instruction and contents.

Source: https://ai.google.dev/gemini-api/docs/function-calling, https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.errors import InvalidRequest
from shared.providers.wires.gemini.models import Traits
from shared.providers.wires.gemini.parts import Part, encode_image, parts_of
from shared.providers.wires.messages import read_tool_calls, refuse_audio_and_functions
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
        InvalidRequest: The messages are not of OpenAI's format, or hold no content.
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
            self.system += _encode_system(message, path)
        elif role == "user":
            self._append("user", parts_of(message.get("content"), f"{path}.content"))
        elif role == "assistant":
            self._append("model", self._encode_assistant(message, path))
        elif role == "tool":
            self._append("tool", [self._encode_result(message, path)])
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

    def _encode_assistant(self, message: Mapping[str, Any], path: str) -> list[Part]:
        refuse_audio_and_functions(message, path)
        google = google_content(message, path)
        parts = [dict(need_object(part, path)) for part in need_list(google.get("parts") or [], path)]
        parts += _signed(self._texts(message, path), google)
        for index, each in enumerate(need_list(message.get("images") or [], f"{path}.images")):
            at = f"{path}.images[{index}]"
            image = need_object(each, at)
            parts.append(encode_image(image, at) | _signature(google_content(image, at)))
        return parts + self._encode_calls(message, path)

    def _texts(self, message: Mapping[str, Any], path: str) -> list[Part]:
        refusal = parts_of(message.get("refusal"), f"{path}.refusal")
        return parts_of(message.get("content"), f"{path}.content") + refusal

    def _encode_calls(self, message: Mapping[str, Any], path: str) -> list[Part]:
        parts = []
        for call in read_tool_calls(message, path):
            self._names[call.id] = call.name
            part: Part = {"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}
            parts.append(part | _signature(google_content(call.fields, call.path)))
        if parts and self._traits.signed and not any("thoughtSignature" in part for part in parts):
            parts[0]["thoughtSignature"] = UNSIGNED
        return parts

    def _encode_result(self, message: Mapping[str, Any], path: str) -> Part:
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


def _encode_system(message: Mapping[str, Any], path: str) -> list[Part]:
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


def _result_object(text: str) -> dict[str, Any]:
    """The result as an object, which the format demands: what is none stands under ``result``."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) else {"result": text}
