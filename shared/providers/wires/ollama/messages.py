"""A conversation in OpenAI's chat format as Ollama's messages.

Source: https://docs.ollama.com/api/chat
"""

from collections.abc import Mapping
from typing import Any

from shared.providers.wires.messages import read_tool_calls, refuse_audio_and_functions
from shared.providers.wires.reading import read_data_url
from shared.surfaces.fields import need_list, need_object, need_text, unsupported

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}


def read_messages(messages: object) -> list[dict[str, Any]]:
    """The messages, one for one.

    Raises:
        UnsupportedParameter: Content that the format cannot express.
        InvalidRequest: The messages are not of OpenAI's format.
    """
    names: dict[str, str] = {}
    read = []
    for index, message in enumerate(need_list(messages, "messages")):
        path = f"messages[{index}]"
        read.append(_message(need_object(message, path), path, names))
    return read


def _message(message: Mapping[str, Any], path: str, names: dict[str, str]) -> dict[str, Any]:
    """One message; ``names`` holds which function each call so far was to, for the results say it here."""
    role = _role(message, path)
    content = message.get("content")
    if content is None:
        content = message.get("refusal")
    text, images = _content(content, f"{path}.content")
    made: dict[str, Any] = {"role": role, "content": text}
    if images:
        made["images"] = images
    if message.get("reasoning_content"):
        made["thinking"] = need_text(message["reasoning_content"], f"{path}.reasoning_content")
    calls = _encode_calls(message, path, names)
    if calls:
        made["tool_calls"] = calls
    if role == "tool":
        made["tool_call_id"] = call_id = need_text(message.get("tool_call_id"), f"{path}.tool_call_id")
        made["tool_name"] = names.get(call_id, call_id)
    return made


def _role(message: Mapping[str, Any], path: str) -> str:
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise unsupported(f"{path}.role", f"messages of role {role!r} cannot be sent to this provider.")
    refuse_audio_and_functions(message, path)
    return _ROLES[role]


def _content(content: object, path: str) -> tuple[str, list[str]]:
    """The text, and the images in base64."""
    if content is None or isinstance(content, str):
        return content or "", []
    texts: list[str] = []
    images: list[str] = []
    for index, part in enumerate(need_list(content, path)):
        item_path = f"{path}[{index}]"
        fields = need_object(part, item_path)
        kind = fields.get("type")
        if kind in ("text", "refusal"):
            texts.append(need_text(fields.get(kind), f"{item_path}.{kind}"))
        elif kind == "image_url":
            images.append(_image(fields, item_path))
        else:
            raise unsupported(f"{item_path}.type", f"content of type {kind!r} cannot be sent to this provider.")
    return "\n".join(texts), images


def _image(part: Mapping[str, Any], path: str) -> str:
    item_path = f"{path}.image_url.url"
    url = need_text(need_object(part.get("image_url"), f"{path}.image_url").get("url"), item_path)
    if not url.startswith("data:"):
        raise unsupported(item_path, "this provider fetches no images; send a data URL.")
    return read_data_url(url, item_path)[1]


def _encode_calls(message: Mapping[str, Any], path: str, names: dict[str, str]) -> list[dict[str, Any]]:
    calls = []
    for call in read_tool_calls(message, path):
        names[call.id] = call.name
        calls.append({"id": call.id, "function": {"name": call.name, "arguments": call.arguments}})
    return calls
