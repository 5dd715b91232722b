"""Readings of OpenAI's chat format that more than one wire needs. Pure.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.errors import InvalidRequest
from shared.providers.wires.base import MalformedAnswer
from shared.surfaces.fields import need_list, need_object, need_text, need_whole, unsupported

JSON_HINT = "Answer with a single JSON object and nothing else: no explanation, no code fence."


def read_data_url(url: str, path: str) -> tuple[str, str]:
    """Media type and base64 of a data URL (RFC 2397); see ``split_data_url``.

    Raises:
        InvalidRequest: It is not a data URL, or not in base64.
    """
    media_type, data, in_base64 = split_data_url(url, path)
    if not in_base64:
        raise _not_a_data_url(path)
    return media_type, data


def split_data_url(url: str, path: str) -> tuple[str, str, bool]:
    """Media type (lower case, ``image/jpg`` as ``image/jpeg``), data, and whether that is base64.

    Raises:
        InvalidRequest: It is not a data URL.
    """
    head, comma, data = url.removeprefix("data:").partition(",")
    media_type, *options = [each.strip().lower() for each in head.split(";")]
    if not url.startswith("data:") or not comma:
        raise _not_a_data_url(path)
    return ("image/jpeg" if media_type == "image/jpg" else media_type), data, "base64" in options


def _not_a_data_url(path: str) -> InvalidRequest:
    return InvalidRequest(f"{path} must be a data URL in base64: data:<type>;base64,<data>.", param=path)


def read_arguments(text: object, path: str) -> dict[str, Any]:
    """The arguments of a function call, which OpenAI's format carries as text; an empty text means none.

    Raises:
        InvalidRequest: They are not a JSON object in a text.
    """
    try:
        arguments = orjson.loads(need_text(text, path).strip() or "{}")
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"{path} must be JSON.", param=path) from error
    if not isinstance(arguments, dict):
        raise InvalidRequest(f"{path} must be a JSON object.", param=path)
    return arguments


def read_stops(value: object, *, blank: bool = True) -> list[str]:
    """The ``stop`` field as a list.

    Args:
        value: The field.
        blank: Whether the provider takes sequences of white space only.

    Raises:
        UnsupportedParameter: An empty sequence: it would stop everything; or a blank one.
        InvalidRequest: Not a text or an array of texts.
    """
    if value is None:
        return []
    texts = [value] if isinstance(value, str) else need_list(value, "stop")
    for index, text in enumerate(texts):
        path = "stop" if isinstance(value, str) else f"stop[{index}]"
        if not need_text(text, path):
            raise unsupported(path, "this provider takes no empty stop sequences.")
        if not blank and not text.strip():
            raise unsupported(path, "this provider takes no blank stop sequences.")
    return list(texts)


def read_limit(fields: Mapping[str, Any]) -> int | None:
    """The most tokens of the answer; None where the caller sets none."""
    for name in ("max_completion_tokens", "max_tokens"):
        if fields.get(name) is not None:
            return need_whole(fields[name], name)
    return None


def read_schema(wanted: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Name, description and JSON schema of a ``response_format`` of type ``json_schema``.

    Raises:
        InvalidRequest: It is not of OpenAI's format.
    """
    path = "response_format.json_schema"
    named = need_object(wanted.get("json_schema"), path)
    schema = dict(need_object(named.get("schema") or {"type": "object"}, f"{path}.schema"))
    name = need_text(named.get("name") or "answer", f"{path}.name")
    return name, need_text(named.get("description") or "", f"{path}.description"), schema


def refuse_unknown(
    fields: Mapping[str, Any], *, read: frozenset[str], dropped: frozenset[str], refused: Mapping[str, tuple[Any, ...]]
) -> None:
    """Let nothing through that would be lost in silence.

    Args:
        read: Names of the fields that reach the provider.
        dropped: Those that do not, by design, as documented.
        refused: Those whose loss would be noticed, with the values that ask for nothing.

    Raises:
        UnsupportedParameter: A field cannot be expressed.
    """
    for name, value in fields.items():
        if name in refused:
            if value not in refused[name]:
                raise unsupported(name, "this provider has nothing like it.")
        elif name not in read and name not in dropped:
            raise unsupported(name, "this provider does not know the field.")


def plain_names(dropped: Mapping[str, str]) -> frozenset[str]:
    """The top-level fields in a table of what is dropped; its keys may name several, and places further inside."""
    names = (name for key in dropped for name in key.split(", "))
    return frozenset(name for name in names if "." not in name and "[" not in name)


def read_json_object(data: bytes, what: str) -> dict[str, Any]:
    """The JSON object in a provider's bytes.

    Raises:
        MalformedAnswer: There is none.
    """
    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MalformedAnswer(f"{what} is not JSON") from error
    if not isinstance(fields, dict):
        raise MalformedAnswer(f"{what} is not a JSON object")
    return fields


def read_count(counts: Mapping[str, Any], name: str) -> int:
    """A provider's count of tokens; 0 where it says none.

    Raises:
        MalformedAnswer: It is no count.
    """
    value = counts.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise MalformedAnswer(f"{name} is not a count")
    return value


def write_arguments(arguments: object) -> str:
    """The arguments of a function call as text, which is how OpenAI's format carries them.

    Raises:
        MalformedAnswer: They are nested too deeply.
    """
    try:
        return orjson.dumps(arguments).decode()
    except orjson.JSONEncodeError as error:
        raise MalformedAnswer("the arguments of a tool call cannot be written as JSON") from error


def plain_text(body: bytes) -> str:
    """The beginning of an error's body that is not JSON; empty for HTML, which tells callers nothing."""
    text = body[:500].decode("utf-8", "replace").strip()
    return "" if text.startswith("<") else text
