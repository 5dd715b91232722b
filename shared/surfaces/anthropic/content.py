"""Content blocks of a Messages request as OpenAI's messages.

Source: https://platform.claude.com/docs/en/api/messages
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from shared.surfaces.fields import need_list, need_object, need_text, unsupported

Part = dict[str, Any]
Message = dict[str, Any]


def text_parts(content: object, path: str) -> str | list[Part]:
    """Content that can hold text only (system): a string, or text parts where a block carries a cache mark.

    Raises:
        UnsupportedParameter: A block is something else.
        InvalidRequest: It is not content.
    """
    if isinstance(content, str):
        return content
    parts = []
    for index, block in enumerate(need_list(content, path)):
        item_path = f"{path}[{index}]"
        fields = need_object(block, item_path)
        if fields.get("type") != "text":
            raise unsupported(f"{item_path}.type", f"only text is expected here, not {fields.get('type')!r}.")
        parts.append(_marked(_text(fields, item_path), fields))
    return _plain(parts)


def user_messages(content: object, path: str) -> list[Message]:
    """A user's turn: the results of tools as messages of their own, then what the user says.

    Images in results follow in the user's message: OpenAI's tool messages hold text only.

    Raises:
        UnsupportedParameter: A block has no counterpart.
        InvalidRequest: It is not content.
    """
    if isinstance(content, str):
        return [{"role": "user", "content": content}]
    results: list[Message] = []
    attachments: list[Part] = []
    parts: list[Part] = []
    for index, block in enumerate(need_list(content, path)):
        item_path = f"{path}[{index}]"
        fields = need_object(block, item_path)
        if fields.get("type") == "tool_result":
            result, images = _tool_message(fields, item_path)
            results.append(result)
            attachments += images
        else:
            parts += _parts(fields, item_path)
    if attachments or parts:
        results.append({"role": "user", "content": _plain(attachments + parts)})
    return results


def assistant_message(content: object, path: str) -> Message:
    """An assistant's turn: text, tool calls, and thoughts, which stay signed in ``thinking_blocks``.

    Raises:
        UnsupportedParameter: A block has no counterpart.
        InvalidRequest: It is not content.
    """
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    message: Message = {"role": "assistant", "content": None}
    parts: list[Part] = []
    for index, block in enumerate(need_list(content, path)):
        item_path = f"{path}[{index}]"
        fields = need_object(block, item_path)
        kind = fields.get("type")
        if kind == "text":
            parts.append(_marked(_text(fields, item_path), fields))
        elif kind == "tool_use":
            message.setdefault("tool_calls", []).append(_tool_call(fields, item_path))
        elif kind in ("thinking", "redacted_thinking"):
            _add_thought(message, fields, item_path)
        else:
            raise unsupported(f"{item_path}.type", f"{kind!r} cannot be sent to this model.")
    if parts:
        message["content"] = _plain(parts)
    elif "tool_calls" not in message:
        message["content"] = ""
    return message


def _plain(parts: list[Part]) -> str | list[Part]:
    """One string where that says the same: every provider takes it."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return str(parts[0]["text"])
    return parts


def _marked(part: Part, block: Mapping[str, Any]) -> Part:
    if block.get("cache_control") is not None:
        part["cache_control"] = block["cache_control"]
    return part


def _add_thought(message: Message, block: Mapping[str, Any], path: str) -> None:
    """Thoughts without signature (of other providers) have no use but as text."""
    if block["type"] == "redacted_thinking":
        thought = {"type": "redacted_thinking", "data": need_text(block.get("data"), f"{path}.data")}
        message.setdefault("thinking_blocks", []).append(thought)
        return
    text = need_text(block.get("thinking"), f"{path}.thinking")
    signature = need_text(block.get("signature", ""), f"{path}.signature")
    message["reasoning_content"] = message.get("reasoning_content", "") + text
    if signature:
        thought = {"type": "thinking", "thinking": text, "signature": signature}
        message.setdefault("thinking_blocks", []).append(thought)


def _tool_call(block: Mapping[str, Any], path: str) -> dict[str, Any]:
    given = need_object(block.get("input"), f"{path}.input")
    function = {
        "name": need_text(block.get("name"), f"{path}.name"),
        "arguments": orjson.dumps(given).decode(),
    }
    call = {"id": need_text(block.get("id"), f"{path}.id"), "type": "function", "function": function}
    return _marked(call, block)


def _tool_message(block: Mapping[str, Any], path: str) -> tuple[Message, list[Part]]:
    message: Message = {
        "role": "tool",
        "tool_call_id": need_text(block.get("tool_use_id"), f"{path}.tool_use_id"),
        "content": "",
    }
    images: list[Part] = []
    content = block.get("content")
    if isinstance(content, str):
        message["content"] = content
    elif content is not None:
        parts = []
        for index, inner in enumerate(need_list(content, f"{path}.content")):
            item_path = f"{path}.content[{index}]"
            parts += _parts(need_object(inner, item_path), item_path)
        texts = [part for part in parts if part["type"] == "text"]
        images = [part for part in parts if part["type"] != "text"]
        message["content"] = _plain(texts) if texts else ""
    if block.get("is_error") is True:
        message["is_error"] = True
    return _marked(message, block), images


def _parts(block: Mapping[str, Any], path: str) -> list[Part]:
    kind = block.get("type")
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise unsupported(f"{path}.type", f"{kind!r} cannot be sent to this model.")
    parts = read(block, path)
    if parts:
        _marked(parts[-1], block)
    return parts


def _text(block: Mapping[str, Any], path: str) -> Part:
    return {"type": "text", "text": need_text(block.get("text"), f"{path}.text")}


def _image(block: Mapping[str, Any], path: str) -> list[Part]:
    source = need_object(block.get("source"), f"{path}.source")
    if source.get("type") == "url":
        url = need_text(source.get("url"), f"{path}.source.url")
    elif source.get("type") == "base64":
        url = _data_url(source, f"{path}.source")
    else:
        raise unsupported(f"{path}.source.type", f"images from {source.get('type')!r} cannot be sent to this model.")
    return [{"type": "image_url", "image_url": {"url": url}}]


def _document(block: Mapping[str, Any], path: str) -> list[Part]:
    if need_object(block.get("citations") or {}, f"{path}.citations").get("enabled"):
        raise unsupported(f"{path}.citations", "this model gives no citations.")
    source = need_object(block.get("source"), f"{path}.source")
    item_path = f"{path}.source"
    kind = source.get("type")
    title, context = (need_text(block.get(name) or "", f"{path}.{name}") for name in ("title", "context"))
    if kind == "text":
        text = need_text(source.get("data"), f"{item_path}.data")
        return [{"type": "text", "text": "\n\n".join(each for each in (title, context, text) if each)}]
    about = [{"type": "text", "text": context}] if context else []
    if kind == "content":
        about += [{"type": "text", "text": title}] if title else []
        return about + _inner(source.get("content"), f"{item_path}.content")
    if kind == "base64":
        file = {"filename": title or "document.pdf", "file_data": _data_url(source, item_path)}
    elif kind == "file":
        file = {"file_id": need_text(source.get("file_id"), f"{item_path}.file_id")}
    else:
        raise unsupported(f"{item_path}.type", f"documents from {kind!r} cannot be sent to this model.")
    return [*about, {"type": "file", "file": file}]


def _inner(content: object, path: str) -> list[Part]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    parts: list[Part] = []
    for index, block in enumerate(need_list(content, path)):
        item_path = f"{path}[{index}]"
        fields = need_object(block, item_path)
        if fields.get("type") not in ("text", "image"):
            raise unsupported(f"{item_path}.type", "documents are made of text and images.")
        parts += _parts(fields, item_path)
    return parts


def _data_url(source: Mapping[str, Any], path: str) -> str:
    media_type = need_text(source.get("media_type"), f"{path}.media_type")
    return f"data:{media_type};base64,{need_text(source.get('data'), f'{path}.data')}"


def _texts(block: Mapping[str, Any], path: str) -> list[Part]:
    return [_text(block, path)]


_READERS: dict[str, Callable[[Mapping[str, Any], str], list[Part]]] = {
    "text": _texts,
    "image": _image,
    "document": _document,
}
