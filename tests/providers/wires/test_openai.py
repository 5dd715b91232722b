import itertools
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.providers.wires.base import MalformedAnswer, ProviderRequest
from shared.providers.wires.openai import MAX_PART_BYTES, OpenAIWire
from shared.surfaces.large_json import STEP_BYTES
from shared.surfaces.request_types import CHAT, EMBEDDINGS, RESPONSES, SPEECH, TRANSCRIPTIONS, RequestType

WIRE = OpenAIWire()
FORM = (
    b'--X\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    b'\x00\xff--not\r\n--a--boundary\r\n--X\r\nContent-Disposition: form-data; name="model"\r\n\r\n%s\r\n--X--\r\n'
)


def request_of(body: bytes, model: str, request_type: RequestType = CHAT) -> ProviderRequest:
    fields = {"model": "sim/gpt"} if request_type.form == "multipart" else orjson.loads(body)
    return ProviderRequest(request_type=request_type, model=model, body=body, fields=fields)


@pytest.mark.parametrize("before", [0, 1000, STEP_BYTES - 60, STEP_BYTES, 3 * STEP_BYTES])
@pytest.mark.parametrize("header", [0, 2 * MAX_PART_BYTES])
def test_the_model_of_a_large_form_is_found_wherever_it_stands(before: int, header: int) -> None:
    form = (
        b'--X\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n%b\r\n'
        b'--X\r\nContent-Disposition: form-data; name="model"\r\nX-Long: %b\r\n\r\n%%b\r\n--X--\r\n'
    ) % (b"a" * before, b"b" * header)
    request = request_of(form % b"sim/gpt", "w-1", TRANSCRIPTIONS)
    assert WIRE.request(request).body == form % b"w-1"


NUMBERS = b'{"object":"list","data":[' + b"0.125," * 200_000 + b"0.5]"


@pytest.mark.parametrize(
    ("end", "tokens"),
    [
        (b',"model":"x","usage":{"prompt_tokens":7,"total_tokens":7}}', 7),
        (b', "usage" : {"prompt_tokens": 7, "details": {"a": 1}}, "model": "x" }\n', 7),
        (b',"usage":{"prompt_tokens":7},"more":[1]}', 7),  # parsed as a whole, as is any other
        (b',"usage":{"prompt_tokens":7,}}', None),
        (b',"usage":null}', 0),
        (b"}", 0),
    ],
)
def test_the_usage_of_large_embeddings_is_read_from_their_end(end: bytes, tokens: int | None) -> None:
    request = request_of(b'{"model":"x","input":"a"}', "x", EMBEDDINGS)
    if tokens is None:
        with pytest.raises(MalformedAnswer):
            WIRE.answer(request, NUMBERS + end, "application/json")
        return
    answer = WIRE.answer(request, NUMBERS + end, "application/json")
    assert answer.body == NUMBERS + end
    assert answer.usage.get("prompt_tokens", 0) == tokens


def test_a_body_that_needs_no_change_is_the_callers_bytes() -> None:
    body = b'{ "model" : "gpt", "x": 1.10, "y": [ ] }'
    assert WIRE.request(request_of(body, "gpt")).body is body
    assert WIRE.request(request_of(b'{"input": 1}', "gpt")).body == b'{"input": 1}'


def test_only_the_model_changes_in_the_callers_bytes() -> None:
    body = b'{ "model" : "sim/gp\\"t", "x": 1.10, "big": 123456789012345678901234567890 }'
    assert (
        WIRE.request(request_of(body, 'gp"t')).body
        == b'{ "model" : "gp\\"t", "x": 1.10, "big": 123456789012345678901234567890 }'
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages": [{"x": "\\"model\\": 1", "model": "keep"}], "model": "sim/gpt", "b": 1234567890123456789012}',
        b'{"model": "sim/gpt", "fallbacks": ["a/b"], "messages": []}',
        b'{"mod\\u0065l": "sim/gpt"}',
        b'{"tool": {"model": "keep"}, "mod\\u0065l": "sim/gpt"}',
    ],
)
def test_a_body_with_two_models_is_rewritten(body: bytes) -> None:
    sent = json.loads(WIRE.request(request_of(body, "gpt")).body)
    expected = {**json.loads(body), "model": "gpt"}
    expected.pop("fallbacks", None)
    assert sent == expected


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5)))
def test_everything_but_the_model_is_kept(fields: dict[str, object]) -> None:
    fields.pop("fallbacks", None)
    body = json.dumps({**fields, "model": "sim/gpt"}).encode()
    request = ProviderRequest(request_type=CHAT, model="gpt", body=body, fields=json.loads(body))
    assert json.loads(WIRE.request(request).body) == {**fields, "model": "gpt"}


def test_the_model_of_a_form_changes_and_its_file_does_not() -> None:
    request = WIRE.request(request_of(FORM % b"sim/gpt", "gpt", TRANSCRIPTIONS))
    assert request.body == FORM % b"gpt"
    assert request.path == "/audio/transcriptions"
    assert WIRE.request(request_of(FORM % b"sim/gpt", "sim/gpt", TRANSCRIPTIONS)).body == FORM % b"sim/gpt"


def test_an_answer_is_the_providers_bytes_and_its_usage_is_read() -> None:
    body = b'{"id": "x", "usage": {"total_tokens": 3}}'
    answer = WIRE.answer(request_of(b"{}", "gpt"), body, "application/json; charset=utf-8")
    assert answer.body is body
    assert answer.usage == {"total_tokens": 3}
    assert WIRE.answer(request_of(b"{}", "gpt"), b"[1]", "application/json").usage == {}
    assert WIRE.answer(request_of(b"{}", "gpt"), b'{"usage": 1}', "application/json").usage == {}
    assert WIRE.answer(request_of(b"{}", "gpt", SPEECH), b"\x00", "audio/mpeg").content_type == "audio/mpeg"


def test_json_that_is_none_is_no_answer() -> None:
    with pytest.raises(MalformedAnswer):
        WIRE.answer(request_of(b"{}", "gpt"), b"<html>", "application/json")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error": {"message": "m", "code": "c"}}', {"message": "m", "code": "c"}),
        (b'{"error": "text"}', {"message": "text"}),
        (b'{"detail": "Not Found"}', {"message": "Not Found"}),
        (b'{"message": "bare"}', {"message": "bare"}),
        (b"[1]", {"message": "[1]"}),
        (b"plain", {"message": "plain"}),
        (b"<html>secret</html>", {"message": ""}),
    ],
)
def test_errors_are_read_however_they_are_wrapped(body: bytes, error: dict[str, str]) -> None:
    assert WIRE.error(418, body) == (418, error)


STREAM = (
    b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n: keepalive\n\n'
    b'data: {"choices":[],"usage":{"total_tokens":2}}\r\n\r\ndata: [DONE]\n\n'
)


@given(st.lists(st.integers(0, len(STREAM))))
def test_a_stream_is_passed_on_unchanged_however_it_is_cut(cuts: list[int]) -> None:
    stream = WIRE.stream(request_of(b"{}", "gpt"))
    points = [0, *sorted(cuts), len(STREAM)]
    passed = b"".join(stream.feed(STREAM[a:b]) for a, b in itertools.pairwise(points))
    assert passed == STREAM
    assert stream.complete
    assert stream.usage == {"total_tokens": 2}


def test_a_stream_of_responses_ends_with_its_terminal_event() -> None:
    stream = WIRE.stream(request_of(b"{}", "gpt", RESPONSES))
    stream.feed(
        b'event: response.completed\ndata: {"type":"response.completed","response":{"usage":{"input_tokens":1}}}\n\n'
    )
    assert stream.complete
    assert stream.usage == {"input_tokens": 1}


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (b'data: {"error":{"message":"boom"}}\n\n', {"message": "boom"}),
        (b'data: {"error":"boom"}\n\n', {"message": "boom"}),
        (b'data: {"type":"error","message":"boom"}\n\n', {"type": "error", "message": "boom"}),
        (b'data: {"type":"error","error":{"message":"boom"}}\n\n', {"message": "boom"}),
    ],
)
def test_an_error_in_a_stream_ends_it(event: bytes, error: dict[str, str]) -> None:
    stream = WIRE.stream(request_of(b"{}", "gpt"))
    assert stream.feed(b"data: 1\n\n" + event + b"data: [DONE]\n\n") == b"data: 1\n\n"
    assert stream.error == error
    assert not stream.complete


def test_what_is_no_stream_is_malformed() -> None:
    with pytest.raises(MalformedAnswer):
        WIRE.stream(request_of(b"{}", "gpt")).feed(b"data: {nope\n\n")
    with pytest.raises(MalformedAnswer):
        WIRE.stream(request_of(b"{}", "gpt")).feed(b"x" * (16 * 1024 * 1024 + 1))


STREAMED = b'{"model":"gpt","messages":[],"stream":true}'
COUNT = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'


def streamed(body: bytes, request_type: RequestType = CHAT, *, counted: bool = True) -> ProviderRequest:
    return ProviderRequest(
        request_type=request_type, model="gpt", body=body, fields=orjson.loads(body), stream=True, counted=counted
    )


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ("", {"include_usage": True}),
        (',"stream_options":null', {"include_usage": True}),
        (',"stream_options":{}', {"include_usage": True}),
        (
            ',"stream_options":{"include_usage":false,"include_obfuscation":false}',
            {"include_usage": True, "include_obfuscation": False},
        ),
    ],
)
def test_usage_requested_by_the_gateway_is_hidden_from_the_caller(options: str, asked: object) -> None:
    body = STREAMED[:-1] + options.encode() + b"} "
    wire = OpenAIWire()
    assert orjson.loads(wire.request(streamed(body)).body) == {**orjson.loads(body), "stream_options": asked}
    stream = wire.stream(streamed(body))
    text = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"}}],"usage":null}\n\n'
    # Azure begins with an event without choices that is not the count.
    first = b'data: {"choices":[],"prompt_filter_results":[]}\n\n'
    assert stream.feed(first + text + COUNT + b"data: [DONE]\n\n") == first + text + b"data: [DONE]\n\n"
    assert stream.usage == {"prompt_tokens": 3, "completion_tokens": 2}
    assert stream.complete


@pytest.mark.parametrize(
    "request_",
    [
        streamed(STREAMED, counted=False),
        streamed(STREAMED[:-1] + b',"stream_options":{"include_usage":true}}'),
        streamed(STREAMED[:-1] + b',"stream_options":[]}'),
        streamed(b'{"model":"gpt","input":"x","stream":true}', RESPONSES),
    ],
)
def test_usage_is_not_asked_for_when_the_caller_asks_or_the_format_has_none(request_: ProviderRequest) -> None:
    wire = OpenAIWire()
    assert wire.request(request_).body == request_.body
    assert wire.stream(request_).feed(COUNT) == COUNT
