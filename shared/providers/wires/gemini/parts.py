"""Content parts of OpenAI's chat format as parts of Gemini's.

Source: https://ai.google.dev/api/caching#Part
"""

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from shared.providers.wires.messages import PartEncoder, encode_part
from shared.providers.wires.reading import split_data_url
from shared.surfaces.fields import need_list, need_object, need_text, unsupported

Part = dict[str, Any]

_AUDIO_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mp3",
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
}
# What an address ends in; an address without it goes on without a type, which the provider may know by itself.
_TYPES_BY_ENDING = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "html": "text/html",
    "csv": "text/csv",
    "json": "application/json",
    "mp4": "video/mp4",
    "mov": "video/mov",
    "webm": "video/webm",
    "mpeg": "video/mpeg",
    **_AUDIO_TYPES,
}
_FILE_SCHEMES = ("https://", "http://", "gs://", "files/")


def parts_of(content: object, path: str) -> list[Part]:
    """The parts of a message's content: null, a text, or parts.

    Empty texts are left out: the provider refuses them.

    Raises:
        UnsupportedParameter: A part cannot be expressed; ``param`` is its path.
        InvalidRequest: It is not content at all.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [{"text": content}] if content else []
    parts = []
    for index, each in enumerate(need_list(content, path)):
        item_path = f"{path}[{index}]"
        fields = need_object(each, item_path)
        part = encode_part(fields, item_path, _ENCODERS) | _steering(fields, item_path)
        if part.get("text") != "":
            parts.append(part)
    return parts


def encode_image(image: Mapping[str, Any], path: str) -> Part:
    """An image given by ``image_url``, a data URL or an address."""
    item_path = f"{path}.image_url"
    fields = need_object(image.get("image_url"), item_path)
    url = need_text(fields.get("url"), f"{item_path}.url")
    return _data_part(url, f"{item_path}.url", "image/") if url.startswith("data:") else _file_part(url, fields)


def _steering(part: Mapping[str, Any], path: str) -> Part:
    """What ``extra_content.google.part`` says of how the part is to be read: ``videoMetadata`` and the like."""
    extra = need_object(part.get("extra_content") or {}, f"{path}.extra_content")
    google = need_object(extra.get("google") or {}, f"{path}.extra_content.google")
    return dict(need_object(google.get("part") or {}, f"{path}.extra_content.google.part"))


def _encode_audio(part: Mapping[str, Any], path: str) -> Part:
    audio = need_object(part.get("input_audio"), f"{path}.input_audio")
    data = need_text(audio.get("data"), f"{path}.input_audio.data")
    form = need_text(audio.get("format"), f"{path}.input_audio.format")
    if form not in _AUDIO_TYPES:
        raise unsupported(f"{path}.input_audio.format", f"{form!r} is none of {', '.join(_AUDIO_TYPES)}.")
    return {"inlineData": {"mimeType": _AUDIO_TYPES[form], "data": data}}


def _encode_file(part: Mapping[str, Any], path: str) -> Part:
    item_path = f"{path}.file"
    file = need_object(part.get("file"), item_path)
    if file.get("file_id") is not None:
        uri = need_text(file["file_id"], f"{item_path}.file_id")
        if not uri.startswith(_FILE_SCHEMES):
            raise unsupported(
                f"{item_path}.file_id", "this provider knows files by address: https://, gs:// or files/."
            )
        return _file_part(uri, file)
    data = need_text(file.get("file_data"), f"{item_path}.file_data")
    if data.startswith("data:"):
        return _data_part(data, f"{item_path}.file_data")
    # OpenAI takes bare base64 too; what it takes is PDF.
    return {"inlineData": {"mimeType": "application/pdf", "data": data}}


def _file_part(uri: str, fields: Mapping[str, Any]) -> Part:
    """A file at an address, with the type that is given (``format``) or that the address shows."""
    ending = urlsplit(uri).path.rpartition(".")[2].lower()
    media_type = fields.get("format") or _TYPES_BY_ENDING.get(ending)
    data: Part = {"fileUri": uri}
    return {"fileData": data | ({"mimeType": str(media_type)} if media_type else {})}


def _data_part(url: str, path: str, kind: str = "") -> Part:
    """The media type and data of a data URL (RFC 2397)."""
    media_type, data, in_base64 = split_data_url(url, path)
    if not media_type.startswith(kind) or not media_type:
        raise unsupported(path, f"{media_type!r} is not a type that can stand here.")
    if not in_base64:
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return {"inlineData": {"mimeType": media_type, "data": data}}


_ENCODERS: Mapping[str, PartEncoder] = {
    "text": lambda part, path: {"text": need_text(part.get("text"), f"{path}.text")},
    "refusal": lambda part, path: {"text": need_text(part.get("refusal"), f"{path}.refusal")},
    "image_url": encode_image,
    "input_audio": _encode_audio,
    "file": _encode_file,
}
