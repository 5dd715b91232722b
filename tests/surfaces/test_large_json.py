"""The stepwise parser reads what the usual one reads, refuses what it refuses, and never does much at once."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.surfaces import large_json
from shared.surfaces.large_json import DUMPED_LEVELS, dump_object, parse_large
from shared.surfaces.request_body import read_object

ENOUGH = 1_000_000


@pytest.fixture(autouse=True, scope="module")
def small_steps():
    """So small that bodies of a few bytes are cut everywhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_json, "STEP_BYTES", 16)
        patch.setattr(large_json, "STEP_VALUES", 3)
        patch.setattr(large_json, "LIFTED_BYTES", 5)
        yield


def parsed(body: bytes, max_values: int = ENOUGH) -> tuple[Any, int]:
    """The object, and the number of pauses."""
    steps, pauses = parse_large(body, max_values), 0
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value, pauses
        pauses += 1


TEXTS = st.text(max_size=40) | st.text(alphabet='\\"u0dD8eé€😀 \n', max_size=60)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=5),
    max_leaves=20,
)
NAMES = st.sampled_from(["messages", "a", "input", "model"])


@given(
    st.dictionaries(NAMES, VALUES),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_it_reads_what_the_usual_parser_reads(fields: dict[str, Any], escaped: bool, indent: int | None) -> None:
    body = json.dumps(fields, ensure_ascii=escaped, indent=indent).encode("utf-8", "surrogatepass")
    try:
        expected = orjson.loads(body)
    except orjson.JSONDecodeError:  # lone surrogates
        with pytest.raises(InvalidRequest):
            parsed(body)
        return
    assert parsed(body)[0] == expected


PIECES = [*map(str.encode, '"\\{}[]:,1-eu é😀\n\0'), b"\xff", b"\\ud83d", b"\\ude00", b"\\u0041", b"true", b"null"]
PIECES += [b'"model"', b'"\\u006dodel"', b'"%b"' % (b"a" * 24)]


@given(st.lists(st.sampled_from(PIECES), max_size=30), st.booleans())
@example([b'{"a":"', b"\\ud83d", b"\\ude00", b'"}'], False)
def test_malformed_text_is_refused_where_the_usual_parser_refuses_it(pieces: list[bytes], inside: bool) -> None:
    body = b"".join(pieces)
    body = b'{"a":"%b"}' % body if inside else b"{%b}" % body
    try:
        expected = read_object(body)
    except InvalidRequest as error:
        reason = "more than once" if "more than once" in str(error) else "not valid JSON"
        with pytest.raises(InvalidRequest, match=reason):
            parsed(body)
    else:
        assert parsed(body)[0] == expected


@pytest.mark.parametrize("unit", ["a", "é", "€", "😀", '"', "\\", "\n", "\\ud83d"])
def test_a_long_string_is_read_in_pieces_wherever_they_are_cut(unit: str) -> None:
    for length in range(1, 40):
        for escaped in (False, True):
            body = json.dumps({"a": "x" * (length % 7) + unit * length}, ensure_ascii=escaped).encode()
            assert parsed(body)[0] == orjson.loads(body)


def test_it_pauses_in_proportion_to_the_body() -> None:
    for body in (b'{"a":"%b"}' % (b"a" * 1600), b'{"a":[%b1]}' % (b"1," * 800), b'{"a":[%b{}]}' % (b"{}," * 500)):
        assert parsed(body)[1] > len(body) / 32


def test_a_placeholder_cannot_be_forged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_json.secrets, "token_hex", lambda size: "m" * size * 2)
    lifted = "a long string"
    assert parsed(orjson.dumps({"a": lifted, "b": "mm"}))[0] == {"a": lifted, "b": "mm"}
    monkeypatch.undo()
    marks = {large_json._Scan(b"", 1)._mark for _ in range(100)}
    assert len(marks) == 100
    assert {len(mark) for mark in marks} == {10}


@pytest.mark.parametrize(
    "body", [b'{"a":[%b1]}' % (b"1," * 98), b'{"a":[%b[]]}' % (b"[]," * 48), b'{"a":1%b}' % (b',"b":{}' * 48)]
)
def test_values_are_counted_by_commas_and_brackets(body: bytes) -> None:
    assert parsed(body, 101)[0]
    with pytest.raises(InvalidRequest, match=r"more than 90 JSON values, .*max_json_values"):
        parsed(body, 90)


def test_text_does_not_count_as_values() -> None:
    assert parsed(orjson.dumps({"a": "1,2,{[" * 100}), 5)[0]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a":"%b' % (b"a" * 100), "a string does not end"),
        (b'{"%b":1}' % (b"k" * 100), "a key is longer than a megabyte"),
        (b'{"a" "%b"}' % (b"a" * 100), "not valid JSON"),
        (b'["%b"]' % (b"a" * 100), "must be a JSON object, not an array"),
        (b'{"a":%b1%b}' % (b"[" * 200, b"]" * 200), "nested deeper than 200"),
        (b'{"model":"a","b":{"model":1},"\\u006Dodel":"b"}', "more than once"),
        (b'"' * 3000, "JSON values"),
        (b"", "not valid JSON"),
    ],
)
def test_what_no_caller_sends_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        parsed(body, 300)


def test_the_model_may_stand_in_several_objects_and_in_strings() -> None:
    body = b'{"model" : "a", "b":[{"\\u006dodel":1},{"model":2}], "c":"\\"model\\":", "d":"model"}'
    assert parsed(body)[0] == orjson.loads(body)


def test_a_number_of_absurd_length_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_json, "STEP_BYTES", 1024 * 1024)
    with pytest.raises(InvalidRequest, match="a number has more than 1024 characters"):
        parsed(b'{"a":%b}' % (b"1" * 2000))


@pytest.mark.parametrize("step", [16, 2000, 1024 * 1024])
def test_runs_of_white_space_are_skipped_but_still_separate_values(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_json, "STEP_BYTES", step)
    spaces = b" \n\t" * 1000
    assert parsed(b'{"a":' + spaces + b"1" + spaces + b',"b":2' + spaces + b"}")[0] == {"a": 1, "b": 2}
    with pytest.raises(InvalidRequest):
        parsed(b'{"a":1' + spaces + b"2}")


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
@example({})
@example({"messages": [{"content": [{"text": "a" * 100, "more": {"b": ["c" * 50, [], {}]}}]}, "d", None]})
@example({"many": ["x"] * 200})
def test_an_object_is_written_in_pieces_as_it_is_at_once(fields: dict[str, Any]) -> None:
    assert dump_object(fields, 1_000_000) == orjson.dumps(fields) == dump_object(fields, 0)
    for _ in range(DUMPED_LEVELS):
        fields = {"inner": [fields]}
    assert dump_object(fields, 1_000_000) == orjson.dumps(fields)
