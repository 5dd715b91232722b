"""Media parts as content parts of OpenAI's chat format.

Source: https://ai.google.dev/api/caching#Part
"""

from typing import Any

from shared.surfaces.fields import need_text, unsupported
from shared.surfaces.genai.spelling import read_object, refuse_others

_AUDIO_FORMATS = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
    "audio/aac": "aac",
    "audio/aiff": "aiff",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
}
# What steers how media are read, and is not content: for Google's own models.
_STEERING = ("mediaResolution", "videoMetadata", "partMetadata")
_BESIDE = frozenset({*_STEERING, "thought", "thoughtSignature"})


def user_part(part: dict[str, Any], path: str) -> dict[str, Any]:
    """A text, image, sound or file of the user.

    Raises:
        UnsupportedParameter: The part has no counterpart.
        InvalidRequest: It is no part.
    """
    steering = {name: part[name] for name in _STEERING if name in part}
    return _content(part, path) | ({"extra_content": {"google": {"part": steering}}} if steering else {})


def _content(part: dict[str, Any], path: str) -> dict[str, Any]:
    kinds = part.keys() - _BESIDE
    if kinds == {"text"}:
        return {"type": "text", "text": need_text(part["text"], f"{path}.text")}
    if kinds == {"inlineData"}:
        return _inline(read_object(part["inlineData"], f"{path}.inlineData"), f"{path}.inlineData")
    if kinds == {"fileData"}:
        return _file(read_object(part["fileData"], f"{path}.fileData"), f"{path}.fileData")
    named = min(kinds, default="")
    raise unsupported(f"{path}.{named}" if named else path, "the gateway does not know content like this.")


def _inline(data: dict[str, Any], path: str) -> dict[str, Any]:
    refuse_others(data, {"mimeType", "data", "displayName"}, path)
    media_type = need_text(data.get("mimeType"), f"{path}.mimeType").lower()
    # The SDK spells bytes in the alphabet for URLs; the other formats do not know it.
    content = need_text(data.get("data"), f"{path}.data").replace("-", "+").replace("_", "/")
    if media_type in _AUDIO_FORMATS:
        return {"type": "input_audio", "input_audio": {"data": content, "format": _AUDIO_FORMATS[media_type]}}
    url = f"data:{media_type};base64,{content}"
    if media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    name = data.get("displayName") or f"file.{media_type.rpartition('/')[2]}"
    return {"type": "file", "file": {"filename": str(name), "file_data": url}}


def _file(data: dict[str, Any], path: str) -> dict[str, Any]:
    refuse_others(data, {"mimeType", "fileUri", "displayName"}, path)
    uri = need_text(data.get("fileUri"), f"{path}.fileUri")
    media_type = data.get("mimeType")
    form = {} if media_type is None else {"format": need_text(media_type, f"{path}.mimeType")}
    if str(media_type).startswith("image/"):
        return {"type": "image_url", "image_url": {"url": uri, **form}}
    return {"type": "file", "file": {"file_id": uri, **form}}
