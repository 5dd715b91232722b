import orjson
import pytest

from shared.providers.wires.base import MalformedAnswer, UpstreamRequest
from shared.providers.wires.gemini.counting import count_request, read_count

BODY = {"contents": [{"parts": [{"text": "Hi"}]}], "systemInstruction": {"parts": []}, "safetySettings": []}


def test_the_whole_request_is_counted_and_names_its_model() -> None:
    asked = UpstreamRequest(path="/models/a%2Fb:streamGenerateContent?alt=sse", body=orjson.dumps(BODY))
    counting = count_request(asked, on_vertex=False)
    assert counting.path == "/models/a%2Fb:countTokens"
    assert orjson.loads(counting.body) == {"generateContentRequest": {"model": "models/a/b", **BODY}}


def test_vertex_counts_contents_and_tools() -> None:
    counting = count_request(UpstreamRequest(path="/models/m:generateContent", body=orjson.dumps(BODY)), on_vertex=True)
    assert orjson.loads(counting.body).keys() == {"contents", "systemInstruction"}


@pytest.mark.parametrize(("answer", "tokens"), [(b'{"totalTokens": 7}', 7), (b"{}", 0)])
def test_the_number_is_read(answer: bytes, tokens: int) -> None:
    assert read_count(answer) == tokens


@pytest.mark.parametrize("answer", [b"[]", b"x", b'{"totalTokens": "7"}', b'{"totalTokens": true}'])
def test_what_is_no_count_is_malformed(answer: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        read_count(answer)
