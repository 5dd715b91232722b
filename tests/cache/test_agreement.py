"""When two answers say the same."""

import orjson
import pytest

from shared.cache.agreement import MOST_CHARS, answer_text, are_alike


def body(**message: object) -> bytes:
    return orjson.dumps({"choices": [{"message": message}]})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Open the page.", " open  the\npage. "),
        ("Open the account page and choose Cancel.", "Open the account page, and choose Cancel"),
    ],
)
def test_answers_that_say_the_same(one: str, other: str) -> None:
    assert are_alike(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It costs 10 dollars a month at most.", "It costs 100 dollars a month at most."),
        ("You can cancel the contract at any time.", "You can not cancel the contract at any time."),
        ("You can cancel the contract at any time.", "You can't cancel the contract at any time."),
        ("Yes, of course.", "Open the account page."),
    ],
)
def test_answers_that_differ(one: str, other: str) -> None:
    assert not are_alike(one, other)


def test_only_one_text_is_compared() -> None:
    assert answer_text(body(content="yes")) == "yes"
    two = orjson.dumps({"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]})
    too_long, tool = body(content="x" * (MOST_CHARS + 1)), body(content="yes", tool_calls=[{}])
    garbage = (b"", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[{"message":[]}]}')
    for other in (*garbage, body(content=""), body(content=None), too_long, tool, two):
        assert answer_text(other) is None
