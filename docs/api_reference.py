"""Renders the OpenAPI document of the application as Markdown, one page per tag."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

OpenApi = Mapping[str, Any]
INTRODUCTION = """# API reference

Generated from `/openapi.json` of a running gateway, which is also here: [openapi.json](../openapi.json). Paths that differ only in
their prefix are described once.

| section | operations |
| --- | --- |
"""


def reference(document: OpenApi) -> dict[str, str]:
    """Render the pages of the reference.

    Args:
        document: The OpenAPI document; each operation has exactly one tag.

    Returns:
        Markdown by file name: one page per tag, and ``index.md``.
    """
    pages = {f"{tag}.md": _page(tag, document, operations) for tag, operations in _by_tag(document).items()}
    index = "".join(f"| [{tag}]({tag}.md) | {len(found)} |\n" for tag, found in sorted(_by_tag(document).items()))
    return {"index.md": INTRODUCTION + index} | pages


def _by_tag(document: OpenApi) -> dict[str, list[tuple[str, str, Mapping[str, Any]]]]:
    tags: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tags.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    return tags


def _page(tag: str, document: OpenApi, operations: list[tuple[str, str, Mapping[str, Any]]]) -> str:
    alike: dict[str, list[tuple[str, str]]] = {}
    known: dict[str, Mapping[str, Any]] = {}
    for method, path, operation in operations:
        described = {name: value for name, value in operation.items() if name != "operationId"}
        key = method + json.dumps(described, sort_keys=True)
        alike.setdefault(key, []).append((method, path))
        known[key] = operation
    sections = (_section(document, paths, known[key]) for key, paths in alike.items())
    return f"# {tag[0].upper()}{tag[1:]}\n\n" + "\n".join(sections)


def _section(document: OpenApi, paths: list[tuple[str, str]], operation: Mapping[str, Any]) -> str:
    """One operation, on all its paths; the shortest one is its heading."""
    method, path = min(paths, key=lambda pair: len(pair[1]))
    lines = [f"## {operation.get('summary', path)}", "", f"`{method} {path}`", ""]
    if others := [other for _, other in paths if other != path]:
        lines += ["Also at " + ", ".join(f"`{other}`" for other in others) + ".", ""]
    if description := operation.get("description"):
        lines += [description, ""]
    if any("AdminKey" in scheme for scheme in operation.get("security", ())):
        lines += ["Requires the admin key.", ""]
    lines += _parameters(operation)
    lines += _body(document, operation)
    lines += _responses(operation)
    return "\n".join(lines)


def _parameters(operation: Mapping[str, Any]) -> list[str]:
    rows = [
        (f"`{entry['name']}`", entry["in"], _type(entry.get("schema", {})), entry.get("description", ""))
        for entry in operation.get("parameters", ())
    ]
    return _table(("parameter", "in", "type", "meaning"), rows)


def _body(document: OpenApi, operation: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(document, content.get("schema", {}))
        lines += [f"Request body: `{media_type}`", ""]
        required = schema.get("required", ())
        rows = [
            (f"`{name}`", _type(field), "yes" if name in required else "", field.get("description", ""))
            for name, field in schema.get("properties", {}).items()
        ]
        lines += _table(("field", "type", "required", "meaning"), rows)
    return lines


def _responses(operation: Mapping[str, Any]) -> list[str]:
    rows = [
        (status, answer.get("description", ""), ", ".join(f"`{kind}`" for kind in answer.get("content", {})))
        for status, answer in sorted(operation.get("responses", {}).items())
    ]
    return _table(("status", "meaning", "content"), rows)


def _resolved(document: OpenApi, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema, or the one that its ``$ref`` names."""
    reference = schema.get("$ref")
    return document["components"]["schemas"][reference.rpartition("/")[2]] if reference else schema


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for joined in ("anyOf", "oneOf"):
        if joined in schema:
            return " or ".join(_type(one) for one in schema[joined])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"array of {_type(schema.get('items', {}))}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    return ["| " + " | ".join(line) + " |" for line in _lines(head, rows)] + [""] if rows else []


def _lines(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    yield head
    yield ("---",) * len(head)
    for row in rows:
        yield tuple(cell.replace("|", "\\|").replace("\n", " ") for cell in row)
