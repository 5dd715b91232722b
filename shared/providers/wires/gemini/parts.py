"""Content parts of OpenAI's chat format as parts of Gemini's.

Source: https://ai.google.dev/api/caching#Part
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from shared.errors import InvalidRequest
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
        UnsupportedParameter: A part cannot be expressed; ``param`` is its place.
        InvalidRequest: It is not content at all.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [{"text": content}] if content else []
    parts = []
    for index, each in enumerate(need_list(content, path)):
        place = f"{path}[{index}]"
        part = _part(need_object(each, place), place)
        if part.get("text") != "":
            parts.append(part)
    return parts


def image_part(image: Mapping[str, Any], path: str) -> Part:
    """An image given by ``image_url``, a data URL or an address."""
    place = f"{path}.image_url"
    fields = need_object(image.get("image_url"), place)
    url = need_text(fields.get("url"), f"{place}.url")
    return _data_part(url, f"{place}.url", "image/") if url.startswith("data:") else _file_part(url, fields)


def _part(part: Mapping[str, Any], path: str) -> Part:
    kind = part.get("type")
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise unsupported(f"{path}.type", f"content of type {kind!r} cannot be sent to this provider.")
    return read(part, path) | _steering(part, path)


def _steering(part: Mapping[str, Any], path: str) -> Part:
    """What ``extra_content.google.part`` says of how the part is to be read: ``videoMetadata`` and the like."""
    extra = need_object(part.get("extra_content") or {}, f"{path}.extra_content")
    google = need_object(extra.get("google") or {}, f"{path}.extra_content.google")
    return dict(need_object(google.get("part") or {}, f"{path}.extra_content.google.part"))


def _text(part: Mapping[str, Any], path: str) -> Part:
    return {"text": need_text(part.get("text"), f"{path}.text")}


def _refusal(part: Mapping[str, Any], path: str) -> Part:
    return {"text": need_text(part.get("refusal"), f"{path}.refusal")}


def _audio(part: Mapping[str, Any], path: str) -> Part:
    audio = need_object(part.get("input_audio"), f"{path}.input_audio")
    data = need_text(audio.get("data"), f"{path}.input_audio.data")
    form = need_text(audio.get("format"), f"{path}.input_audio.format")
    if form not in _AUDIO_TYPES:
        raise unsupported(f"{path}.input_audio.format", f"{form!r} is none of {', '.join(_AUDIO_TYPES)}.")
    return {"inlineData": {"mimeType": _AUDIO_TYPES[form], "data": data}}


def _file(part: Mapping[str, Any], path: str) -> Part:
    place = f"{path}.file"
    file = need_object(part.get("file"), place)
    if file.get("file_id") is not None:
        uri = need_text(file["file_id"], f"{place}.file_id")
        if not uri.startswith(_FILE_SCHEMES):
            raise unsupported(f"{place}.file_id", "this provider knows files by address: https://, gs:// or files/.")
        return _file_part(uri, file)
    data = need_text(file.get("file_data"), f"{place}.file_data")
    if data.startswith("data:"):
        return _data_part(data, f"{place}.file_data")
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
    head, comma, data = url[5:].partition(",")
    media_type, *options = [each.strip().lower() for each in head.split(";")]
    if not comma:
        raise InvalidRequest(f"{path} must be a data URL: data:<type>;base64,<data>.", param=path)
    if not media_type.startswith(kind) or not media_type:
        raise unsupported(path, f"{media_type!r} is not a type that can stand here.")
    if "base64" not in options:
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return {"inlineData": {"mimeType": media_type, "data": data}}


_READERS: dict[str, Callable[[Mapping[str, Any], str], Part]] = {
    "text": _text,
    "refusal": _refusal,
    "image_url": image_part,
    "input_audio": _audio,
    "file": _file,
}
