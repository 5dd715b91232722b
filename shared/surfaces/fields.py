"""Reading untrusted JSON: each read checks the type and names the field that is wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from shared.errors import InvalidRequest, UnsupportedParameter

MISSHAPEN = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What reading JSON of another shape than expected raises."""


def need_object(value: object, path: str) -> Mapping[str, Any]:
    """The value if it is a JSON object.

    Raises:
        InvalidRequest: It is not; ``param`` is the path.
    """
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"{path} must be an object.", param=path)
    return value


def need_list(value: object, path: str) -> Sequence[Any]:
    """The value if it is a JSON array.

    Raises:
        InvalidRequest: It is not; ``param`` is the path.
    """
    if not isinstance(value, list | tuple):
        raise InvalidRequest(f"{path} must be an array.", param=path)
    return value


def need_text(value: object, path: str) -> str:
    """The value if it is a string.

    Raises:
        InvalidRequest: It is not; ``param`` is the path.
    """
    if not isinstance(value, str):
        raise InvalidRequest(f"{path} must be a string.", param=path)
    return value


def need_number(value: object, path: str) -> float:
    """The value if it is a number.

    Raises:
        InvalidRequest: It is not; ``param`` is the path.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"{path} must be a number.", param=path)
    return value


def need_whole(value: object, path: str) -> int:
    """The value if it is an integer.

    Raises:
        InvalidRequest: It is not; ``param`` is the path.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest(f"{path} must be an integer.", param=path)
    return value


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that say something: null means absent, in both formats."""
    return {name: value for name, value in fields.items() if value is not None}


def encode(value: object, path: str) -> bytes:
    """The JSON of something that was read from JSON.

    Raises:
        InvalidRequest: It is nested deeper than the encoder goes, which reads more than it writes.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"{path} is nested too deeply.", param=path) from error


def unsupported(path: str, why: str) -> UnsupportedParameter:
    """The error for content that the other format cannot express."""
    return UnsupportedParameter(f"{path}: {why}", param=path)
