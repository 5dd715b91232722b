"""Which requests are equal."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cache.identity import LEFT_OUT, canonical, named_scope, request_hash, scope_hash
from tests.examples import examples

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | TEXT
    | st.floats(allow_nan=False, allow_infinity=False)
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
FIELDS = st.dictionaries(
    TEXT | st.sampled_from(["temperature", "messages", "seed", *sorted(LEFT_OUT)]), JSON, max_size=4
)


def key(fields: dict[str, Any], **changes: Any) -> str:
    given = {"request_type": "chat.completions", "target": "p/m", "partition": "", **changes}
    return request_hash(given["request_type"], given["target"], given["partition"], fields)


def plain(value: Any) -> Any:
    """What two JSON values must have in common to be equal, told apart by type where JSON does."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return (type(value).__name__, value)
    return ("number", value)


@examples(400)
@given(FIELDS, FIELDS)
def test_keys_are_equal_exactly_when_the_requests_are(one: dict[str, Any], other: dict[str, Any]) -> None:
    def counted(fields: dict[str, Any]) -> Any:
        # As they arrive: floats that are too large are integers to nobody.
        read = orjson.loads(orjson.dumps(fields))
        return plain({name: value for name, value in read.items() if name not in LEFT_OUT})

    assert (key(one) == key(other)) is (counted(one) == counted(other))


@examples(200)
@given(FIELDS, st.randoms(use_true_random=False))
def test_order_spelling_and_escapes_do_not_matter(fields: dict[str, Any], random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = [(name, shuffled(item)) for name, item in value.items()]
            random.shuffle(items)
            return dict(items)
        if isinstance(value, list):
            return [shuffled(item) for item in value]
        return float(value) if type(value) is int and random.random() < 0.5 else value

    spelt = json.dumps(shuffled(fields), ensure_ascii=True, indent=random.choice([None, 2]))
    assert key(orjson.loads(spelt)) == key(orjson.loads(orjson.dumps(fields)))


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_fields_that_no_answer_depends_on_are_left_out(name: str) -> None:
    assert key({"messages": [], name: "any"}) == key({"messages": []})
    assert key({"messages": [{name: "any"}]}) != key({"messages": [{}]})


@pytest.mark.parametrize(
    "change", [{"request_type": "responses"}, {"target": "p/n"}, {"partition": "a"}, {"target": "p/m\0a"}]
)
def test_type_target_and_partition_count(change: dict[str, str]) -> None:
    assert key({"a": 1}, **change) != key({"a": 1})


def test_streams_are_told_apart_where_they_are_stored_as_they_came() -> None:
    def as_streamed(**fields: Any) -> str:
        return request_hash("responses", "p/m", "", {"input": "x", **fields}, as_streamed=True)

    assert as_streamed(stream=True) != as_streamed()
    assert as_streamed(user="me") == as_streamed()


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ('{"a":1}', '{"a":1.0}', True),
        ('{"a":1000}', '{"a":1e3}', True),
        ('{"a":-0.0}', '{"a":0}', True),
        ('{"a":[0.5]}', '{"a":[0.50]}', True),
        ('{"a":1}', '{"a":true}', False),
        ('{"a":"1"}', '{"a":1}', False),
        ('{"a":null}', "{}", False),
        ('{"a":"1.0,"}', '{"a":"1,"}', False),
        ('{"a":10000000000000000000000}', '{"a":1e22}', True),
    ],
)
def test_numbers_are_equal_by_value(one: str, other: str, equal: bool) -> None:
    assert (canonical(orjson.loads(one)) == canonical(orjson.loads(other))) is equal


@pytest.mark.parametrize(
    ("name", "kind", "scope"),
    [
        ("key:a", "team", ("key", "a")),
        ("team:red:1", "key", ("team", "red:1")),
        ("customer:acme", "key", ("customer", "acme")),
        ("shared", "key", ("shared", "")),
        ("a", "key", ("key", "a")),
        ("red", "team", ("team", "red")),
    ],
)
def test_a_scope_is_named_by_kind_and_name(name: str, kind: str, scope: tuple[str, str]) -> None:
    assert named_scope(name, kind) == scope_hash(*scope)


@pytest.mark.parametrize(("name", "kind"), [("planet:earth", "key"), ("key:", "key"), ("a", "shared")])
def test_an_unknown_scope_has_no_hash(name: str, kind: str) -> None:
    assert named_scope(name, kind) == ""


def test_scopes_of_another_kind_or_name_differ() -> None:
    names = [("key", "a"), ("key", "b"), ("team", "a"), ("shared", "")]
    assert len({scope_hash(*name) for name in names}) == len(names)
