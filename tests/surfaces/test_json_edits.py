"""Members of a JSON object are changed in its text; every other byte stays."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.surfaces.json_edits import member_of, with_members, with_model
from shared.surfaces.large_json import STEP_BYTES

BODY = b'{ "a" : [1,{"model":"x"}], "model" :"m\\"}",\n"f":[1.0, 2] , "z":{"a":"}"} }\n'


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model": b'"n"'}, BODY.replace(b'"m\\"}"', b'"n"')),
        ({"z": b"1e1"}, BODY.replace(b'{"a":"}"}', b"1e1")),
        ({"f": None}, b'{ "a" : [1,{"model":"x"}], "model" :"m\\"}" , "z":{"a":"}"} }\n'),
        ({"a": None}, b'{ "model" :"m\\"}",\n"f":[1.0, 2] , "z":{"a":"}"} }\n'),
        ({"z": None, "new": b"true"}, b'{ "a" : [1,{"model":"x"}], "model" :"m\\"}",\n"f":[1.0, 2],"new":true }\n'),
        (dict.fromkeys(("a", "model", "f", "z")), b"{  }\n"),
        ({}, BODY),
        ({"absent": None}, BODY),
    ],
)
def test_members_change_and_no_other_byte(changes: dict[str, bytes | None], expected: bytes) -> None:
    assert with_members(BODY, changes) == expected


def test_an_empty_object_gets_a_member() -> None:
    assert with_members(b" { } ", {"a": b"1", "b": b"2"}) == b' { "a":1,"b":2} '


def test_a_key_is_known_however_it_is_written() -> None:
    assert with_members(b'{"mod\\u0065l":1}', {"model": b"2"}) == b'{"mod\\u0065l":2}'
    assert with_model(b'{"t":{"model":1},"mod\\u0065l":"a"}', "b") == b'{"t":{"model":1},"mod\\u0065l":"b"}'


def test_the_text_of_a_member_is_found() -> None:
    assert member_of(BODY, "f") == b"[1.0, 2]"


@pytest.mark.parametrize("text", [b"x" * 2 * STEP_BYTES, b'\\"' * STEP_BYTES, b"\\\\" * STEP_BYTES])
def test_long_strings_are_passed_over(text: bytes) -> None:
    body = b'{"x":"' + text + b'","t":{"model":1}, "model": "a"}'
    assert with_model(body, "b") == body.replace(b'"a"}', b'"b"}')
    once = body.replace(b'"t":{"model":1}', b'"t":{}')
    assert with_model(once, "b") == once.replace(b'"a"}', b'"b"}')


VALUES = st.recursive(
    st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text('{}[]:,"\\é\n'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('m"\\{:'), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(("a", 'b"', "model", "", "é"))


@given(st.dictionaries(NAMES, VALUES), st.dictionaries(NAMES, st.none() | VALUES), st.sampled_from((None, 1)))
def test_it_is_what_parsing_and_writing_again_would_give(
    fields: dict[str, Any], changes: dict[str, Any], indent: int | None
) -> None:
    body = json.dumps(fields, indent=indent).encode()
    written = {name: None if value is None else orjson.dumps(value) for name, value in changes.items()}
    kept = {name: value for name, value in fields.items() if changes.get(name, 1) is not None}
    expected = kept | {name: value for name, value in changes.items() if value is not None}
    assert orjson.loads(with_members(body, written)) == orjson.loads(orjson.dumps(expected))
