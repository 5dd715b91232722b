"""Content parts of input items as chat's content parts; what chat has no form for is refused by its place."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from shared.errors import InvalidRequest, UnsupportedParameter

Part = dict[str, Any]

# Marks of a part that chat's parts have too, under the same name.
_MARKS = ("prompt_cache_breakpoint", "cache_control")

# Said about a part by the API or by SDK helpers, not to the model.
_CONTENT_FIELDS = frozenset({"annotations", "logprobs", "parsed", "type"})


def refuse(path: str, what: str) -> NoReturn:
    """Say that chat cannot express something, by its place in the request.

    Raises:
        UnsupportedParameter: Always.
    """
    raise UnsupportedParameter(f"{path}: {what} cannot be expressed for this model's provider.", param=path)


def check_keys(value: Mapping[str, Any], known: frozenset[str], path: str) -> None:
    """Refuse what would otherwise be dropped in silence.

    Raises:
        UnsupportedParameter: A key with a value is not among the known.
    """
    for key, part in value.items():
        if key not in known and part is not None and part is not False:
            refuse(f"{path}.{key}" if path else key, f"the field {key!r}")


def text_of(value: Mapping[str, Any], key: str, path: str) -> str:
    """A required text.

    Raises:
        InvalidRequest: It is absent or no text.
    """
    text = value.get(key)
    if not isinstance(text, str):
        raise InvalidRequest(f"{path}.{key} must be a string.", param=f"{path}.{key}")
    return text


def chat_content(content: object, path: str, kinds: frozenset[str]) -> str | list[Part]:
    """Content of a message or of a tool's output.

    Args:
        content: A text, or a list of parts.
        path: Where it stands in the request.
        kinds: Types of parts that may stand there.

    Raises:
        InvalidRequest: It is no content.
        UnsupportedParameter: A part has no form in chat.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequest(f"{path} must be a string or a list of content parts.", param=path)
    parts = [_chat_part(part, f"{path}[{index}]", kinds) for index, part in enumerate(content)]
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return str(parts[0]["text"])
    return parts


def _chat_part(part: object, path: str, kinds: frozenset[str]) -> Part:
    if not isinstance(part, dict):
        raise InvalidRequest(f"{path} must be an object with a type.", param=path)
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in kinds:
        refuse(f"{path}.type", f"content of type {kind!r} here")
    known, convert = _PARTS[kind]
    check_keys(part, known | _CONTENT_FIELDS | frozenset(_MARKS), path)
    marks = {mark: part[mark] for mark in _MARKS if part.get(mark) is not None}
    return {**convert(part, path), **marks}


def _text(part: Mapping[str, Any], path: str) -> Part:
    return {"type": "text", "text": text_of(part, "text", path)}


def _refusal(part: Mapping[str, Any], path: str) -> Part:
    return {"type": "refusal", "refusal": text_of(part, "refusal", path)}


def _image(part: Mapping[str, Any], path: str) -> Part:
    image = {"url": text_of(part, "image_url", path)}
    if part.get("detail") is not None:
        image["detail"] = part["detail"]
    return {"type": "image_url", "image_url": image}


def _file(part: Mapping[str, Any], path: str) -> Part:
    named = {name: part[name] for name in ("file_id", "file_data", "filename") if part.get(name) is not None}
    if not named.keys() & {"file_id", "file_data"}:
        raise InvalidRequest(f"{path} needs file_data or file_id.", param=path)
    return {"type": "file", "file": named}


def _audio(part: Mapping[str, Any], path: str) -> Part:
    if not isinstance(part.get("input_audio"), dict):
        raise InvalidRequest(f"{path}.input_audio must be an object.", param=f"{path}.input_audio")
    return {"type": "input_audio", "input_audio": part["input_audio"]}


# Type of a part -> the fields that are translated (or, for a file's ``detail``, dropped by design), and how.
_PARTS: Mapping[str, tuple[frozenset[str], Callable[[Mapping[str, Any], str], Part]]] = {
    "input_text": (frozenset({"text"}), _text),
    "output_text": (frozenset({"text"}), _text),
    "text": (frozenset({"text"}), _text),
    "refusal": (frozenset({"refusal"}), _refusal),
    "input_image": (frozenset({"image_url", "detail"}), _image),
    "input_file": (frozenset({"file_id", "file_data", "filename", "detail"}), _file),
    "input_audio": (frozenset({"input_audio"}), _audio),
}

PROMPT_PARTS = frozenset({"input_text", "text", "input_image", "input_file", "input_audio"})
ANSWER_PARTS = frozenset({"output_text", "input_text", "text", "refusal"})
# Images and files are beyond what OpenAI's chat takes from tools; wires that can tell them do.
TOOL_PARTS = frozenset({"input_text", "output_text", "text", "input_image", "input_file"})
