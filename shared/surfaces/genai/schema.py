"""Google's schemas as JSON schemas.

They are those of OpenAPI 3.0 with types in capital letters; ``responseJsonSchema`` and ``parametersJsonSchema`` are
JSON schemas already.
Source: https://ai.google.dev/api/caching#Schema
"""

from collections.abc import Callable, Mapping
from typing import Any

from shared.errors import InvalidRequest
from shared.surfaces.genai.spelling import read_object

MAX_DEPTH = 100
# Of no meaning to a JSON schema.
_LEFT_OUT = frozenset({"nullable", "propertyOrdering"})
_COUNTS = frozenset({"maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties"})
_RENAMED = {"ref": "$ref", "defs": "$defs"}


def json_schema(schema: object, path: str, depth: int = 0) -> dict[str, Any]:
    """The JSON schema that means the same.

    Raises:
        InvalidRequest: A place that needs a schema holds something else, or the nesting is absurd.
    """
    if depth > MAX_DEPTH:
        raise InvalidRequest(f"{path} is nested too deeply.", param=path)
    fields = read_object(schema, path)

    def inner(value: object) -> dict[str, Any]:
        return json_schema(value, path, depth + 1)

    made = {_RENAMED.get(name, name): _read(name, value, inner) for name, value in fields.items()}
    made = {name: value for name, value in made.items() if name not in _LEFT_OUT}
    return _nullable(made) if fields.get("nullable") is True else made


def _read(name: str, value: object, inner: Callable[[object], dict[str, Any]]) -> Any:  # noqa: ANN401 - JSON
    if name in {"properties", "defs", "$defs"} and isinstance(value, Mapping):
        return {key: inner(each) for key, each in value.items()}
    if name in {"anyOf", "prefixItems"} and isinstance(value, list):
        return [inner(each) for each in value]
    if name == "items" or (name == "additionalProperties" and isinstance(value, Mapping)):
        return inner(value)
    if name == "type" and isinstance(value, str):
        return value.lower()
    if name in _COUNTS and isinstance(value, str) and value.isdecimal():
        return int(value)  # protobuf's JSON spells 64-bit integers as text
    return value


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema.get("type"), str):
        made = schema | {"type": [schema["type"], "null"]}
        return made | ({"enum": [*made["enum"], None]} if isinstance(made.get("enum"), list) else {})
    return {"anyOf": [schema, {"type": "null"}]}


def fits_strict(schema: Mapping[str, Any]) -> bool:
    """Whether OpenAI's strict mode takes the schema: every object closed, every property required."""
    left: list[Any] = [schema]
    while left:
        each = left.pop()
        if isinstance(each, list):
            left += each
        elif isinstance(each, Mapping):
            left += each.values()
            if each.get("type") in ("object", ["object", "null"]) and not _closed(each):
                return False
    return True


def _closed(schema: Mapping[str, Any]) -> bool:
    properties, required = schema.get("properties"), schema.get("required")
    named = properties.keys() if isinstance(properties, Mapping) else set()
    listed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
    return schema.get("additionalProperties") is False and set(named) <= listed
