"""Schemas for structured output."""

import pytest

from shared.errors import InvalidRequest
from tests.providers.wires.anthropic.request_cases import body_of


def test_unsupported_keywords_move_into_the_description():
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "title": "T",
        "additionalProperties": {"type": "string"},
        "properties": {
            "list": {"type": "array", "items": {"$ref": "#/$defs/one"}, "minItems": 2, "maxItems": 4},
            "some": {"type": "array", "items": True, "minItems": 1},
            "day": {"type": "string", "format": "date", "description": "A day."},
            "code": {"type": "string", "format": "regex", "pattern": "^a", "description": "A code."},
            "one": {"oneOf": [{"type": "null"}, {"const": 1}], "default": None},
            "both": {"anyOf": [{"type": "null"}], "oneOf": [{"const": 2}]},
            "all": {"allOf": [{"type": "integer"}]},
        },
        "$defs": {"one": {"enum": [1, 2]}},
    }
    named = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    fitted = body_of({"response_format": named})["output_config"]["format"]["schema"]
    assert fitted == {
        "type": "object",
        "title": "T",
        "additionalProperties": False,
        "properties": {
            "list": {
                "type": "array",
                "items": {"$ref": "#/$defs/one"},
                "description": "(minItems: 2, maxItems: 4)",
            },
            "some": {"type": "array", "items": {}, "minItems": 1},
            "day": {"type": "string", "format": "date", "description": "A day."},
            "code": {"type": "string", "description": 'A code.\n\n(format: "regex", pattern: "^a")'},
            "one": {"anyOf": [{"type": "null"}, {"const": 1}], "description": "(default: null)"},
            "both": {"anyOf": [{"type": "null"}], "description": '(oneOf: [{"const":2}])'},
            "all": {"allOf": [{"type": "integer"}]},
        },
        "$defs": {"one": {"enum": [1, 2]}},
    }


def test_absurdly_deep_schemas_are_refused():
    schema: dict = {}
    for _ in range(150):
        schema = {"type": "array", "items": schema}
    with pytest.raises(InvalidRequest, match="usable JSON schema"):
        body_of({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}})
