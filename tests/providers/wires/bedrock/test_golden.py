"""Golden exchanges, written after the provider's documentation: what goes out and what comes back."""

from pathlib import Path

import orjson
import pytest

from shared.providers.wires.base import UpstreamRequest
from shared.providers.wires.bedrock import BedrockWire
from tests.providers.wires.bedrock.judge import judge_request
from tests.providers.wires.bedrock.stream_events import encode
from tests.providers.wires.chat_chunks import assemble, chunks_of, request_of

FOLDER = Path(__file__).parent.parent / "golden" / "bedrock"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_golden_exchanges(path):
    golden = orjson.loads(path.read_bytes())
    wire, model, request = BedrockWire(), golden["model"], request_of(golden["request"], golden["model"])
    expected = UpstreamRequest(path=golden["provider_path"], body=orjson.dumps(golden["provider_request"]))
    judge_request(expected, model)
    upstream = wire.request(request)
    assert upstream.path == expected.path
    assert orjson.loads(upstream.body) == golden["provider_request"]
    answer = wire.answer(request, orjson.dumps(golden["provider_answer"]), "application/json")
    assert orjson.loads(answer.body) == golden["answer"]
    asked = golden["request"] | {"stream": True, "stream_options": {"include_usage": True}}
    out = wire.stream(request_of(asked, model)).feed(encode([(name, body) for name, body in golden["provider_stream"]]))
    assert chunks_of(out) == golden["stream"]
    assert assemble(golden["stream"]) == golden["answer"]
