"""JSON schemas made fit for structured outputs, which know fewer keywords than OpenAI's.

Keywords that the provider would refuse go into the description, for the model to read.
Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from shared.errors import InvalidRequest

MAX_DEPTH = 100
_FORMATS = frozenset(
    {
        "date-time",
        "time",
        "date",
        "duration",
        "email",
        "hostname",
        "uri",
        "ipv4",
        "ipv6",
        "uuid",
    }
)
_KEPT = frozenset({"type", "enum", "const", "$ref", "required", "title", "description"})


def fit_schema(schema: object, path: str, depth: int = 0) -> dict[str, Any]:
    """The schema with objects closed and unsupported keywords moved into descriptions.

    Raises:
        InvalidRequest: A place that needs a schema holds something else, or the nesting is absurd.
    """
    if schema is True:
        return {}
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        raise InvalidRequest(f"{path} holds something that is not a usable JSON schema.", param=path)

    def inner(value: object) -> dict[str, Any]:
        return fit_schema(value, path, depth + 1)

    fitted: dict[str, Any] = {}
    hints = {keyword: value for keyword, value in schema.items() if not _keep(fitted, str(keyword), value, inner)}
    if fitted.get("type") == "object" or "properties" in fitted:
        fitted.setdefault("properties", {})
        fitted["additionalProperties"] = False
        hints.pop("additionalProperties", None)
    if hints:
        _describe(fitted, hints)
    return fitted


def _keep(fitted: dict[str, Any], keyword: str, value: object, inner: Callable[[object], dict[str, Any]]) -> bool:
    """Put one supported keyword where it belongs; False: it is not supported."""
    if keyword in _KEPT:
        fitted[keyword] = value
    elif keyword in {"properties", "$defs", "definitions"} and isinstance(value, Mapping):
        fitted[keyword] = {name: inner(each) for name, each in value.items()}
    elif keyword in {"anyOf", "allOf"} and isinstance(value, list):
        fitted[keyword] = [inner(each) for each in value]
    elif keyword == "oneOf" and "anyOf" not in fitted and isinstance(value, list):
        # It differs from anyOf only in what it forbids besides.
        fitted["anyOf"] = [inner(each) for each in value]
    elif keyword == "items":
        fitted["items"] = inner(value)
    elif (keyword == "minItems" and value in (0, 1)) or (keyword == "format" and str(value) in _FORMATS):
        fitted[keyword] = value
    else:
        # These two say nothing about which values are valid.
        return keyword in {"$schema", "$id"}
    return True


def _describe(fitted: dict[str, Any], hints: Mapping[str, Any]) -> None:
    text = ", ".join(f"{keyword}: {orjson.dumps(value).decode()}" for keyword, value in hints.items())
    before = f"{fitted['description']}\n\n" if fitted.get("description") else ""
    fitted["description"] = f"{before}({text})"
