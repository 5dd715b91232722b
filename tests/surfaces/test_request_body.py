"""Reading requests: what routing needs, and what no provider could serve (the API's tests show the rest)."""

import orjson
import pytest

from shared.errors import InvalidRequest
from shared.surfaces.request_body import digest_of, read_request
from shared.surfaces.request_types import (
    CHAT,
    EMBEDDINGS,
    IMAGE_EDITS,
    IMAGE_GENERATIONS,
    MODERATIONS,
    RESPONSES,
    SPEECH,
    TRANSCRIPTIONS,
)

MESSAGES = [{"role": "user", "content": "hi"}]


def read(request_type, **fields):
    return read_request(request_type, orjson.dumps(fields), "application/json")


def filename(name: str) -> str:
    return '; filename="a"' if name.removesuffix("[]") in {"file", "image"} else ""


def form(boundary: str, **fields: str) -> tuple[bytes, str]:
    parts = "".join(
        f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"{filename(name)}\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    return f"{parts}--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def test_the_bytes_are_kept_as_they_came():
    raw = b' { "model" : "m", "messages": [{}], "unknown": 1e2 } '
    request = read_request(CHAT, raw, "")
    assert (request.raw, request.model, request.stream) == (raw, "m", False)
    assert request.fields["unknown"] == 100.0


def test_where_a_model_may_be_missing():
    assert read(MODERATIONS, input="x").model == "omni-moderation-latest"
    assert read(IMAGE_GENERATIONS, prompt="x").model == "gpt-image-1"
    assert read(RESPONSES, prompt={"id": "p"}).model == ""
    with pytest.raises(InvalidRequest):
        read(EMBEDDINGS, input="x")


@pytest.mark.parametrize(
    ("request_type", "fields", "stream"),
    [
        (CHAT, {"messages": MESSAGES, "stream": True}, True),
        (CHAT, {"messages": MESSAGES, "stream": None}, False),
        (EMBEDDINGS, {"input": "x", "stream": True}, False),
        (SPEECH, {"input": "x", "voice": "v", "stream": True}, False),
        (SPEECH, {"input": "x", "voice": "v", "stream_format": "sse"}, True),
    ],
)
def test_what_asks_for_a_stream(request_type, fields, stream: bool):
    assert read(request_type, model="m", **fields).stream is stream


@pytest.mark.parametrize(("word", "stream"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_how_a_form_asks_for_a_stream(word: str, stream: bool):
    body, content_type = form("b", model="m", file="x", stream=word)
    assert read_request(TRANSCRIPTIONS, body, content_type).stream is stream


def test_a_form_may_hold_several_images():
    for name in ("image", "image[]"):
        body, content_type = form("b", prompt="p", **{name: "x"})
        assert read_request(IMAGE_EDITS, body, content_type).model == "gpt-image-1"


def test_equal_forms_have_one_digest_whatever_their_boundary():
    digests = {digest_of(read_request(TRANSCRIPTIONS, *form(name, model="m", file="x"))) for name in ("aa", "b-b")}
    other = digest_of(read_request(TRANSCRIPTIONS, *form("aa", model="m", file="y")))
    assert len(digests) == 1
    assert other not in digests
    assert digest_of(read(CHAT, model="m", messages=MESSAGES)) == ""
