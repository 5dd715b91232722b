"""The pure parts: texts, schemas, modifiers, forms, routes."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.faults import COUNTED_MODELS_LIMIT, Behaviour, Script, behaviour_of, read_behaviour
from simulator.form import parse_form
from simulator.model.json_schema import fill_schema
from simulator.model.mentions import Mentions, find_mentions
from simulator.model.text import ANY_OBJECT, Ask, compose, lorem, split_text
from simulator.store import Shelf
from tests.examples import examples

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYWORDS = st.sampled_from(["type", "properties", "items", "required", "enum", "const", "anyOf", "oneOf", "allOf"])
BOUNDS = st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength"])
COUNTS = st.sampled_from(["maxLength", "minItems", "maxItems", "prefixItems", "$ref", "format"])
TYPES = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null", ["null", "integer"]])
SCHEMAS = st.recursive(
    st.dictionaries(KEYWORDS | BOUNDS | COUNTS, JSON | TYPES, max_size=4),
    lambda inner: st.fixed_dictionaries(
        {"type": TYPES},
        optional={
            "properties": st.dictionaries(st.text(max_size=3), inner, max_size=3),
            "items": inner,
            "prefixItems": st.lists(inner, max_size=2),
            "anyOf": st.lists(inner, max_size=2),
            "allOf": st.lists(inner, max_size=2),
            "$ref": st.sampled_from(["#", "#/properties/a", "#/items", "#/nowhere"]),
        },
    ),
    max_leaves=6,
)


@given(text=st.text())
def test_pieces_join_to_the_same_text(text):
    assert "".join(split_text(text)) == text


@given(seed=st.integers(0, 2**32), count=st.integers(0, 50))
def test_a_text_has_as_many_words_as_tokens(seed, count):
    pieces = lorem(seed, count)
    assert len(pieces) == count == len("".join(pieces).split())
    assert pieces == lorem(seed, count)


@examples(300)
@given(schema=SCHEMAS | JSON, seed=st.integers(0, 2**32))
def test_no_schema_makes_the_filler_fail(schema, seed):
    assert len(orjson.dumps(fill_schema(schema, seed))) < 1_000_000


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": 5}, 5),
        ({"enum": ["a", "b"]}, "b"),
        ({"type": "integer", "minimum": 200}, 200),
        ({"type": "integer", "exclusiveMinimum": 200}, 201),
        ({"type": "integer", "exclusiveMinimum": 3, "minimum": 300}, 300),
        ({"type": "integer", "maximum": 4}, 4),
        ({"type": "integer", "exclusiveMaximum": 4}, 3),
        ({"type": "integer", "minimum": 7, "multipleOf": 5}, 10),
        ({"type": "integer", "multipleOf": 5}, 0),
        ({"type": "integer"}, 7),
        ({"type": "number", "maximum": True}, 7.5),
        ({"type": "boolean"}, False),
        ({"type": "null"}, None),
        ({"type": ["null", "string"], "maxLength": 4}, "text"),
        ({"type": ["null"]}, None),
        ({"type": "string", "format": "date"}, "2026-01-02"),
        ({"type": "string", "minLength": 8}, "text 7xx"),
        ({"type": "array", "items": {"type": "null"}}, [None]),
        ({"items": {"const": 1}, "minItems": 3}, [1, 1, 1]),
        ({"type": "array", "items": {"const": 1}, "maxItems": 0}, []),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}]}, [1, 2]),
        ({"type": "object"}, {}),
        ({"properties": {"a": {"const": 1}}}, {"a": 1}),
        ({"anyOf": [{"type": "null"}, {"const": 1}]}, None),
        ({"oneOf": [{"const": 1}]}, 1),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 3}}}, 3),
        ({"$ref": "#/nowhere/else", "const": 1}, 1),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]}, {"a": 1, "b": 2}),
    ],
)
def test_a_schema_is_filled_with_what_it_allows(schema, value):
    assert fill_schema(schema, 7) == value


@pytest.mark.parametrize(
    ("text", "integer", "quoted"),
    [
        ("What is f(3)? Use the tool.", 3, ()),
        ("From 2 to -40", -40, ()),
        ("v1.5 of x2, or 3.7", None, ()),
        ("Name it 'ä b', or \"c\".", None, ("ä b", "c")),
        ("it's what they'd say", None, ()),
        ("", None, ()),
    ],
)
def test_what_a_text_names_is_found(text, integer, quoted):
    assert find_mentions(text) == Mentions(integer, quoted)


def test_a_schema_is_filled_with_what_was_named_as_far_as_it_allows():
    named = Mentions(3, ("Ada", "Grace"))
    fields = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}}
    assert fill_schema(fields, 7, named) == {"a": 3, "b": "Ada"}
    assert fill_schema({"type": "integer", "minimum": 5}, 7, named) == 5
    assert fill_schema({"type": "string", "maxLength": 2}, 7, named) == "Ad"


def test_an_object_of_no_schema_has_the_fields_that_the_user_quoted():
    def fields(text: str) -> set[str]:
        return set(orjson.loads(compose(Ask("m", text, text, schema=ANY_OBJECT), Behaviour()).text))

    assert fields("Use the keys 'setup' and 'punch_line', not 'that one'.") == {"setup", "punch_line"}
    assert fields("Say something.") == {"answer"}


@given(text=st.text())
def test_no_text_makes_the_finding_fail(text):
    assert all(find_mentions(text).quoted)


def test_a_recursive_schema_ends_with_null_or_without_the_optional():
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}
    value, depth = fill_schema({**node, "required": ["next"]}, 1), 0
    while value:
        value, depth = value["next"], depth + 1
    assert value is None
    assert depth <= 14
    wide = {"type": "object", "properties": {str(key): {"$ref": "#"} for key in range(20)}}
    assert len(orjson.dumps(fill_schema(wide, 1))) < 1_000_000
    assert fill_schema({"allOf": [{"required": ["a"]}, {"required": ["b"], "type": "object"}]}, 1) == {}
    tree = {"type": "array", "items": {"$ref": "#"}}
    assert str(fill_schema(tree, 1)).count("[") <= 14


@pytest.mark.parametrize("name", ["gpt-4o", "claude-3@20240620", "text@", "a@b,c", ""])
def test_an_ordinary_name_asks_for_nothing(name):
    assert behaviour_of(name) == Behaviour()


def test_modifiers_are_read_from_behind_the_last_at():
    assert behaviour_of("claude@20240620@latency=2.5, tool") == Behaviour(latency_s=2.5, tool=True)
    assert behaviour_of("m@reset=false,hang=TRUE") == Behaviour(hang=True)


@pytest.mark.parametrize(
    "modifiers",
    ["latency", "latency=-1", "latency=nan", "latency=x", "tps=0", "tokens=0", "tokens=1.5", "tokens=100001",
     "status=200", "status=600", "times=0", "cut", "cut=-1", "reset=maybe", "tool,x", "=1"],
)  # fmt: skip
def test_wrong_modifiers_are_refused(modifiers):
    with pytest.raises(ValueError, match="behaviour"):
        behaviour_of(f"m@{modifiers}")


@pytest.mark.parametrize("value", [None, [], True, {}])
def test_a_number_must_be_one(value):
    with pytest.raises(ValueError, match="number"):
        read_behaviour({"latency": value})
    with pytest.raises(ValueError, match="true or false"):
        read_behaviour({"reset": 1.5})


def test_counts_of_models_are_bounded():
    script = Script()
    for number in range(COUNTED_MODELS_LIMIT + 1):
        script.decide("/", f"m@status=500,times={number + 1}")
    assert len(script._seen) == COUNTED_MODELS_LIMIT


def test_a_full_shelf_forgets_its_oldest():
    shelf: Shelf[int] = Shelf(limit=2)
    for number in range(3):
        shelf.put(str(number), number)
    assert shelf.newest_first() == [2, 1]
    assert shelf.get("0") is None
    assert shelf.drop("1")
    assert not shelf.drop("1")


BOUNDARY = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("multipart/form-data", b"", "no boundary"),
        (BOUNDARY, b"", "last boundary"),
        (BOUNDARY, b"garbage", ".+"),
        (BOUNDARY, b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\nx', "last boundary"),
        (BOUNDARY, b"--b\r\ncontent-disposition: form-data\r\n\r\nx\r\n--b--\r\n", "without a name"),
        (BOUNDARY, b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\nx\r\n' * 1001 + b"--b--", "parts"),
    ],
)
def test_a_broken_form_is_refused(kind, body, message):
    with pytest.raises(ValueError, match=message):
        parse_form(kind, body)


async def test_a_broken_form_gets_the_envelope(http):
    reply = await http.post("/files", content=b"x", headers={"content-type": BOUNDARY})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_multipart")
