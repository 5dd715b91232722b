"""Which requests are equal."""

import json
from itertools import product
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cache.identity import LEFT_OUT, canonical, named_scope, request_hash, scope_hash
from shared.cache.near import near_question
from shared.surfaces.request_types import CHAT
from tests.examples import IS_THOROUGH, examples

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


def test_no_two_of_100_000_requests_share_a_key_unless_they_are_equal() -> None:
    """As many with ``HYPOTHESIS_PROFILE=thorough``, a tenth of them at each run."""
    random, equal, keys = Random(14), {}, {}
    values: list[Any] = [0, 1, 1.5, True, False, None, "", "1", "a", [], [1], {}, {"a": 1}, {"b": [1, "a"]}]
    names = ["model", "temperature", "seed", "tools", "tool_choice", "user", "stream", "metadata", "a", "é", 'q"']
    for _ in range(100_000 if IS_THOROUGH else 10_000):
        chosen = random.sample(names, random.randint(0, 5))  # in any order
        fields = {name: random.choice(values) for name in chosen}
        meant = json.dumps({name: value for name, value in fields.items() if name not in LEFT_OUT}, sort_keys=True)
        found = key(fields)
        assert equal.setdefault(meant, found) == found, fields
        assert keys.setdefault(found, meant) == meant, fields


def test_no_answer_crosses_scopes_cache_keys_models_prompts_or_parameters() -> None:
    """10,000 requests for the same words, none of which may be served the answer of another one."""
    systems = [[], [{"role": "system", "content": "Be brief."}], [{"role": "system", "content": "Be long."}]]
    parameters: list[dict[str, Any]] = [
        {}, {"temperature": 0}, {"temperature": 0.5}, {"tools": [{"a": 1}]}, {"tool_choice": "none"}, {"seed": 1},
        {"response_format": {"type": "json_object"}}, {"max_tokens": 5}, {"reasoning_effort": "low"}, {"top_p": 0.1},
    ]  # fmt: skip
    words = {"type": "text", "text": "How are you today?"}
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    contents: list[Any] = ["How are you today?", [words, picture], [words, words]]
    ids, near, count = set(), set(), 0
    for scope, cache_key, model in product("abcdef", ["", "one", "two", "one\0"], ["p/m", "p/n", "q/m", "q/n", "r/m"]):
        for system, more, content in product(systems, parameters, contents):
            fields = {"messages": [*system, {"role": "user", "content": content}], **more}
            ids.add(f"{scope}-{request_hash('chat.completions', model, cache_key, fields)}")
            if count % 7 == 0 and not more.get("tools") and content is contents[0]:
                found = near_question(CHAT, fields, scope=scope, target=model, partition=cache_key)
                assert found is not None and found.key not in near
                near.add(found.key)
            count += 1
    assert len(ids) == count > 10_000
    assert len(near) > 300


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
