"""Content parts of OpenAI's chat format as content blocks.

Source: https://platform.claude.com/docs/en/api/messages (text, image, document blocks)
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from shared.errors import InvalidRequest
from shared.providers.wires.messages import PartEncoder, encode_part
from shared.providers.wires.reading import read_data_url
from shared.surfaces.fields import need_list, need_object, need_text, unsupported

Block = dict[str, Any]

IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


def blocks_of(content: object, path: str) -> list[Block]:
    """The blocks of a message's content: null, a text, or parts.

    Blank texts are left out: the provider refuses them.

    Raises:
        UnsupportedParameter: A part cannot be expressed; ``param`` is its path.
        InvalidRequest: It is not content at all.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    blocks = []
    for index, part in enumerate(need_list(content, path)):
        item_path = f"{path}[{index}]"
        block = encode_part(need_object(part, item_path), item_path, _ENCODERS)
        if block["type"] != "text" or block["text"].strip():
            blocks.append(with_cache_mark(block, part))
    return blocks


def _encode_image(part: Mapping[str, Any], path: str) -> Block:
    item_path = f"{path}.image_url.url"
    url = need_text(need_object(part.get("image_url"), f"{path}.image_url").get("url"), item_path)
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media_type, data = read_data_url(url, item_path)
    if media_type not in IMAGE_TYPES:
        raise unsupported(item_path, f"images must be JPEG, PNG, GIF or WebP, not {media_type!r}.")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _encode_file(part: Mapping[str, Any], path: str) -> Block:
    file = need_object(part.get("file"), f"{path}.file")
    if file.get("file_id") is not None:
        source = {"type": "file", "file_id": need_text(file["file_id"], f"{path}.file.file_id")}
    else:
        source = _document_source(need_text(file.get("file_data"), f"{path}.file.file_data"), path)
    block: Block = {"type": "document", "source": source}
    if file.get("filename") is not None:
        block["title"] = need_text(file["filename"], f"{path}.file.filename")
    return block


def _document_source(file_data: str, path: str) -> dict[str, str]:
    item_path = f"{path}.file.file_data"
    # OpenAI takes bare base64 too; what it takes is PDF.
    media_type, data = (
        read_data_url(file_data, item_path) if file_data.startswith("data:") else ("application/pdf", file_data)
    )
    if media_type == "application/pdf":
        return {"type": "base64", "media_type": media_type, "data": data}
    if media_type == "text/plain":
        try:
            text = base64.b64decode(data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InvalidRequest(f"{item_path} must be base64 of UTF-8 text.", param=item_path) from error
        return {"type": "text", "media_type": media_type, "data": text}
    raise unsupported(item_path, f"documents must be PDF or plain text, not {media_type!r}.")


_ENCODERS: Mapping[str, PartEncoder] = {
    "text": lambda part, path: {"type": "text", "text": need_text(part.get("text"), f"{path}.text")},
    "refusal": lambda part, path: {"type": "text", "text": need_text(part.get("refusal"), f"{path}.refusal")},
    "image_url": _encode_image,
    "file": _encode_file,
}


def with_cache_mark(block: Block, marked: Mapping[str, Any]) -> Block:
    """The block, with the cache breakpoint of its part, tool or message, in either vendor's spelling.

    OpenAI's breakpoints live for 30 minutes at least, which is an hour here.
    Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching
    """
    mark = marked.get("cache_control")
    breakpoint_ = marked.get("prompt_cache_breakpoint")
    if mark is None and isinstance(breakpoint_, Mapping):
        mark = {"type": "ephemeral"} | ({"ttl": "1h"} if breakpoint_.get("ttl") is not None else {})
    if mark is not None:
        block["cache_control"] = mark
    return block
