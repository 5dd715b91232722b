"""Lines: cut out of pieces as if there were none, and written as one line whatever is in them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.batches.file_scan import MAX_MODELS, FileScan, without_prefix
from shared.batches.lines import LineSplitter, LineTooLong, answered, endpoint_of, never_run, tokens_of


def cut(pieces: list[bytes]) -> list[tuple[bytes, int]]:
    splitter = LineSplitter(max_bytes=1000)
    lines = [line for number, piece in enumerate(pieces) for line in splitter.feed(piece, number)]
    return [(line.text, line.physical) for line in (*lines, *splitter.finish())]


@given(st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r\n", b" ", b"\n\n"]), max_size=30), st.data())
def test_lines_do_not_depend_on_part_boundaries(tokens: list[bytes], data: st.DataObject):
    content = b"".join(tokens)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=5)))
    pieces = [content[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    expected = [(text.strip(), number) for number, text in enumerate(content.split(b"\n"), 1) if text.strip()]
    assert cut(pieces) == expected


@given(st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\n\n"]), max_size=20), st.integers(1, 7))
def test_reading_goes_on_where_a_line_ended(tokens: list[bytes], size: int):
    content = b"".join(tokens)
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    whole = [text for text, _ in cut(pieces)]
    splitter = LineSplitter(max_bytes=1000)
    for number, piece in enumerate(pieces):
        for line in splitter.feed(piece, number):
            following = [pieces[line.next.part][line.next.offset :], *pieces[line.next.part + 1 :]]
            assert [text for text, _ in cut(following)] == whole[line.next.line :]


def test_a_byte_order_mark_is_no_part_of_the_first_line():
    assert cut([b"\xef\xbb\xbf{}\n{}"]) == [(b"{}", 1), (b"{}", 2)]


def test_a_line_has_its_limit_across_pieces():
    splitter = LineSplitter(max_bytes=10)
    assert list(splitter.feed(b"123456789\n12345")) != []
    with pytest.raises(LineTooLong):
        list(splitter.feed(b"678901"))


@pytest.mark.parametrize("url", ["/v1/chat/completions", "/chat/completions", "chat/completions"])
def test_an_endpoint_may_omit_its_version(url: str):
    assert endpoint_of(url) == "/v1/chat/completions"


@pytest.mark.parametrize("url", ["", "/v2/chat/completions", "/v1/v1/chat/completions", 5, None, "/v1/images/edits"])
def test_unsupported_endpoints_are_empty(url: object):
    assert not endpoint_of(url)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{\n  "a": "x\\ny",\r\n "b": 1e400}', None),
        (b'{"a": 1}', {"a": 1}),
        (b"no json \xff\n", "no json �\n"),
        (b"", ""),
    ],
)
def test_an_answer_is_one_line_whatever_it_is(body: bytes, expected: object):
    text = answered("id", "c", 200, body)
    assert text.count(b"\n") == 1
    found = json.loads(text)
    assert (found["id"], found["custom_id"], found["error"]) == ("id", "c", None)
    if expected is not None:
        assert found["response"] == {"status_code": 200, "request_id": "id", "body": expected}


def test_a_line_that_never_ran_has_its_reason():
    found = json.loads(never_run("id", "c", "batch_expired"))
    assert found["response"] is None
    assert found["error"]["code"] == "batch_expired"


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({}, (0, 0, 0, 0)),
        ({"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}, (5, 2, 3, 0)),
        ({"input_tokens": 5, "output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 1}}, (5, 0, 3, 1)),
        ({"input_tokens": "x", "output_tokens": -1, "input_tokens_details": None}, (0, 0, 0, 0)),
    ],
)
def test_tokens_are_read_from_both_usage_formats(usage: dict[str, object], tokens: tuple[int, ...]):
    assert tokens_of(usage) == tokens


def test_a_scan_stops_at_an_invalid_line():
    scan_file = FileScan(max_line_bytes=1000)
    scan_file.feed(b"\n".join(b'{"body":{"model":"m%d"}}' % number for number in range(MAX_MODELS + 2)))
    assert not scan_file.plain
    scan_file.feed(b"more")
    long = FileScan(max_line_bytes=10)
    long.feed(b"x" * 11)
    long.finish()
    assert not long.plain


def test_a_prefix_is_stripped_from_models_only():
    nested = b"[" * 500 + b"]" * 500
    deep = b'{"body":{"model":"openai/x","a":' + nested + b"}}"
    lines = [
        b'{"body":{"model":"openai/x","user":"openai/y"}}',
        b'{"body":{"model":5,"a":"openai/"}}',
        b"openai/",
        deep,
    ]
    stripped = without_prefix(b"\n".join(lines), "openai").split(b"\n")
    assert json.loads(stripped[0])["body"] == {"model": "x", "user": "openai/y"}
    assert stripped[1:] == lines[1:]
