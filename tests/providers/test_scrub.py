"""Secrets are removed from what providers say of errors, however they are written, and nothing else is changed."""

import base64
from urllib.parse import quote

import orjson
import pytest

from shared.providers.scrub import MAX_ANSWER_BYTES, Scrubber

SECRET = "sk-live/of+the=provider-0123456789"
OTHER = "another-configured-secret"
scrubber = Scrubber([SECRET, OTHER, "short"])


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        OTHER,
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        "token-of-this-call",
    ],
)
def test_a_secret_is_replaced_at_any_depth(text: str) -> None:
    error = {"message": f"<{text}>", "details": [{text: [text, 7, None]}]}
    assert scrubber.error(error, ["token-of-this-call"]) == {
        "message": "<[redacted]>",
        "details": [{"[redacted]": ["[redacted]", 7, None]}],
    }
    assert scrubber.headers({"x-key": text}, ["token-of-this-call"]) == {"x-key": "[redacted]"}


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:"])
@pytest.mark.parametrize("after", ["", "!", "!!"])
def test_a_secret_within_base64_is_replaced_but_for_two_characters_at_its_ends(encode, before: str, after: str) -> None:
    text = encode(f"{before}{SECRET}{after}".encode()).decode()
    (cleaned,) = scrubber.error({"message": text}).values()
    left, _, right = str(cleaned).partition("[redacted]")
    assert cleaned != text
    assert len(left) <= len(encode(before.encode()).rstrip(b"=")) + 1
    assert len(right.rstrip("=")) <= len(after) * 4 // 3 + 2


def test_short_values_and_answers_without_errors_are_left() -> None:
    assert scrubber.error({"message": "in short"}) == {"message": "in short"}
    assert Scrubber().error({"message": SECRET}) == {"message": SECRET}
    for body in (
        orjson.dumps({"text": SECRET}),
        orjson.dumps({"error": None, "text": SECRET}),
        b'{"error" : null, "text": "' + SECRET.encode() + b'"}',
        orjson.dumps({"text": f'"error": "{SECRET}"'}),
        b'{"error": {"message": "no secret"}, "spaces":   1}',
        b'"error": ' + SECRET.encode(),
        orjson.dumps({"error": SECRET, "large": "a" * MAX_ANSWER_BYTES}),
    ):
        assert scrubber.answer(body) == body
        assert scrubber.events(b"data: " + body + b"\n\n") == b"data: " + body + b"\n\n"


@pytest.mark.parametrize("escaped", [SECRET, SECRET.replace("/", "\\/"), SECRET.replace("+", "\\u002b")])
def test_an_answer_or_event_with_an_error_is_cleaned_however_its_json_is_escaped(escaped: str) -> None:
    body = b'{"response": {"error": {"message": "bad %b"}}}' % escaped.encode()
    cleaned = b'{"response":{"error":{"message":"bad [redacted]"}}}'
    assert scrubber.answer(body) == cleaned
    fine = b'data: {"error":null}\r\n\r\n'
    events = fine + b"event: response.failed\ndata: %b\n\n" % body + b": a comment\n\n"
    assert scrubber.events(events) == fine + b"event: response.failed\ndata: %b\n\n" % cleaned + b": a comment\n\n"
