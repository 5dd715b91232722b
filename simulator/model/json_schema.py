"""Fills a JSON schema with values, the same ones for the same seed, as a model with structured output would."""

import math
from typing import Any

from simulator.model.mentions import NONE, Mentions

Json = Any  # a decoded JSON value: what it is, is found out by looking

DEPTH_LIMIT = 12
NODES_LIMIT = 5_000
ITEMS_LIMIT = 100
CHARS_LIMIT = 10_000
EXACT_MAX = 2**53
SMALLEST_MULTIPLE = 1e-9
_FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT5M",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def fill_schema(schema: Json, seed: int, named: Mentions = NONE) -> Json:
    """A value that satisfies the schema: keywords of OpenAI's structured outputs, without `pattern`.

    Whole numbers and texts are what the user named, as far as the schema allows, and made up otherwise.

    Recursive schemas end after 12 levels, and after 5,000 values nothing optional is added: a hostile
    schema cannot make the answer big.
    """
    return _Filler(schema, seed, named).fill(schema, 0)


class _Filler:
    def __init__(self, root: Json, seed: int, named: Mentions) -> None:
        self._root = root
        self._seed = seed
        self._integer = seed % 100 if named.integer is None else named.integer
        self._text = named.quoted[0] if named.quoted else f"text {seed % 1000}"
        self._nodes = 0

    def fill(self, schema: Json, depth: int) -> Json:
        self._nodes += 1
        if not isinstance(schema, dict) or depth > 2 * DEPTH_LIMIT or self._nodes > 2 * NODES_LIMIT:
            return None
        schema = self._resolve(schema, depth)
        if "const" in schema:
            return schema["const"]
        if isinstance(options := schema.get("enum"), list) and options:
            return options[self._seed % len(options)]
        kind = _kind_of(schema, nullable=self._tired(depth))
        makers = {"object": self._object, "array": self._array, "string": self._string}
        if kind in makers:
            return makers[kind](schema, depth)
        return self._scalar(kind, schema)

    def _tired(self, depth: int) -> bool:
        return depth > DEPTH_LIMIT or self._nodes > NODES_LIMIT

    def _resolve(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """Follow `$ref`, merge `allOf`, choose from `anyOf` and `oneOf`."""
        for _ in range(DEPTH_LIMIT):
            if isinstance(schema.get("$ref"), str):
                target = self._target(schema["$ref"])
                schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
            elif _list_of_schemas(schema.get("allOf")):
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                for part in schema["allOf"]:
                    rest = _merge(rest, part)
                schema = rest
            elif options := _list_of_schemas(schema.get("anyOf")) or _list_of_schemas(schema.get("oneOf")):
                rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
                nulls = [option for option in options if option.get("type") == "null"]
                schema = _merge(rest, nulls[0] if nulls and self._tired(depth) else options[0])
            else:
                break
        return schema

    def _target(self, reference: str) -> dict[str, Any]:
        node = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            node = node.get(key) if isinstance(node, dict) else None
        return node if isinstance(node, dict) else {}

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return {}
        required = schema.get("required")
        if self._tired(depth):
            needed = required if isinstance(required, list) else []
            properties = {name: value for name, value in properties.items() if name in needed}
        return {name: self.fill(value, depth + 1) for name, value in properties.items()}

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        prefix = _list_of_schemas(schema.get("prefixItems")) or []
        values = [self.fill(item, depth + 1) for item in prefix[:ITEMS_LIMIT]]
        least = _bound(schema, "minItems", 0)
        if isinstance(schema.get("items"), dict):
            wanted = max(least, 0 if self._tired(depth) else 1)
            if "maxItems" in schema:
                wanted = min(wanted, _bound(schema, "maxItems", wanted))
            while len(values) < min(wanted, ITEMS_LIMIT):
                values.append(self.fill(schema["items"], depth + 1))
        return values

    def _string(self, schema: dict[str, Any], _depth: int) -> str:
        text = _FORMATS.get(str(schema.get("format")), self._text)
        least = min(_bound(schema, "minLength", 0), CHARS_LIMIT)
        return text.ljust(least, "x")[: _bound(schema, "maxLength", CHARS_LIMIT)]

    def _scalar(self, kind: str, schema: dict[str, Any]) -> float | int | bool | None:
        if kind == "boolean":
            return self._seed % 2 == 0
        if kind == "integer":
            return math.ceil(_number_within(schema, self._integer, 1))
        if kind == "number":
            return float(_number_within(schema, self._seed % 100 + 0.5, 0.5))
        return None


def _list_of_schemas(value: Json) -> list[dict[str, Any]] | None:
    """The value if it is a list of schemas and not empty."""
    return value if isinstance(value, list) and value and all(isinstance(item, dict) for item in value) else None


def _merge(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    merged = {**left, **right}
    if isinstance(left.get("properties"), dict) and isinstance(right.get("properties"), dict):
        merged["properties"] = {**left["properties"], **right["properties"]}
    if isinstance(left.get("required"), list) and isinstance(right.get("required"), list):
        merged["required"] = [*left["required"], *right["required"]]
    return merged


def _kind_of(schema: dict[str, Any], *, nullable: bool) -> str:
    kind = schema.get("type")
    if isinstance(kind, list) and kind:
        others = [str(each) for each in kind if each != "null"]
        return "null" if not others or (nullable and "null" in kind) else others[0]
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _bound(schema: dict[str, Any], name: str, default: int) -> int:
    value = schema.get(name)
    return value if isinstance(value, int) and value >= 0 else default


def _limit(schema: dict[str, Any], name: str) -> float | None:
    """A numeric keyword, if JSON can carry the numbers around it exactly (RFC 8259, section 6)."""
    value = schema.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= EXACT_MAX:
        return None
    return value


def _number_within(schema: dict[str, Any], wish: float, step: float) -> float:
    """Return the requested number, or the nearest allowed one."""
    lows = [_limit(schema, "minimum"), _beside(schema, "exclusiveMinimum", step)]
    highs = [_limit(schema, "maximum"), _beside(schema, "exclusiveMaximum", -step)]
    low = max((each for each in lows if each is not None), default=None)
    high = min((each for each in highs if each is not None), default=None)
    wish = wish if high is None else min(wish, high)
    wish = wish if low is None else max(wish, low)
    multiple = _limit(schema, "multipleOf")
    if multiple is not None and multiple >= SMALLEST_MULTIPLE:
        wish = math.ceil((0 if low is None else low) / multiple) * multiple
    return wish


def _beside(schema: dict[str, Any], name: str, step: float) -> float | None:
    bound = _limit(schema, name)
    return None if bound is None else bound + step
