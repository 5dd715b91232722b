"""Content parts of OpenAI's chat format as content blocks.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html
"""

import re
from collections.abc import Mapping
from typing import Any

from shared.providers.wires.messages import PartEncoder, encode_part
from shared.providers.wires.reading import read_data_url
from shared.surfaces.fields import need_list, need_object, need_text, unsupported

Block = dict[str, Any]

IMAGE_FORMATS: Mapping[str, str] = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
DOCUMENT_FORMATS: Mapping[str, str] = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}
AUDIO_FORMATS = frozenset({"mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "m4a", "pcm", "webm"})
# What the provider allows in a document's name; other characters become spaces, which must not be doubled.
_NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z\-()\[\]]+")
MAX_NAME_CHARS = 200


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
        return [{"text": content}] if content.strip() else []
    blocks: list[Block] = []
    for index, part in enumerate(need_list(content, path)):
        item_path = f"{path}[{index}]"
        block = encode_part(need_object(part, item_path), item_path, _ENCODERS)
        if block.get("text", "x").strip():
            blocks += [block, *cache_point(part)]
    return blocks


def cache_point(marked: Mapping[str, Any]) -> list[Block]:
    """The cache point after a part, tool or message that carries a mark, in either vendor's spelling.

    Source: https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
    """
    mark = marked.get("cache_control", marked.get("prompt_cache_breakpoint"))
    if not isinstance(mark, Mapping):
        return []
    ttl = mark.get("ttl")
    # OpenAI's breakpoints live for 30 minutes at least: an hour is the next that there is.
    kept = {"ttl": "5m" if ttl == "5m" else "1h"} if ttl is not None else {}
    return [{"cachePoint": {"type": "default", **kept}}]


def _encode_image(part: Mapping[str, Any], path: str) -> Block:
    item_path = f"{path}.image_url.url"
    url = need_text(need_object(part.get("image_url"), f"{path}.image_url").get("url"), item_path)
    if not url.startswith("data:"):
        raise unsupported(item_path, "this provider fetches no images; send a data URL.")
    media_type, data = read_data_url(url, item_path)
    if media_type not in IMAGE_FORMATS:
        raise unsupported(item_path, f"images must be PNG, JPEG, GIF or WebP, not {media_type!r}.")
    return {"image": {"format": IMAGE_FORMATS[media_type], "source": {"bytes": data}}}


def _encode_file(part: Mapping[str, Any], path: str) -> Block:
    file = need_object(part.get("file"), f"{path}.file")
    if file.get("file_id") is not None:
        raise unsupported(f"{path}.file.file_id", "this provider keeps no files; send file_data.")
    item_path = f"{path}.file.file_data"
    file_data = need_text(file.get("file_data"), item_path)
    # OpenAI takes bare base64 too; what it takes is PDF.
    bare = not file_data.startswith("data:")
    media_type, data = ("application/pdf", file_data) if bare else read_data_url(file_data, item_path)
    if media_type not in DOCUMENT_FORMATS:
        raise unsupported(item_path, f"documents of type {media_type!r} cannot be sent to this provider.")
    name = _document_name(need_text(file.get("filename") or "", f"{path}.file.filename"))
    return {"document": {"format": DOCUMENT_FORMATS[media_type], "name": name, "source": {"bytes": data}}}


def _document_name(filename: str) -> str:
    stem = filename.rpartition(".")[0] or filename
    return _NOT_IN_NAMES.sub(" ", stem).strip()[:MAX_NAME_CHARS].rstrip() or "document"


def _encode_audio(part: Mapping[str, Any], path: str) -> Block:
    audio = need_object(part.get("input_audio"), f"{path}.input_audio")
    audio_format = audio.get("format")
    if not isinstance(audio_format, str) or audio_format not in AUDIO_FORMATS:
        raise unsupported(f"{path}.input_audio.format", f"audio must be one of {', '.join(sorted(AUDIO_FORMATS))}.")
    data = need_text(audio.get("data"), f"{path}.input_audio.data")
    return {"audio": {"format": audio_format, "source": {"bytes": data}}}


_ENCODERS: Mapping[str, PartEncoder] = {
    "text": lambda part, path: {"text": need_text(part.get("text"), f"{path}.text")},
    "refusal": lambda part, path: {"text": need_text(part.get("refusal"), f"{path}.refusal")},
    "image_url": _encode_image,
    "file": _encode_file,
    "input_audio": _encode_audio,
}
