"""Golden exchanges, written after the provider's documentation: what goes out and what comes back."""

from pathlib import Path

import orjson
import pytest

from shared.providers.wires.ollama import OllamaWire
from tests.providers.wires.chat_chunks import assemble, chunks_of, request_of

FOLDER = Path(__file__).parent.parent / "golden" / "ollama"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_golden_exchanges(path):
    golden = orjson.loads(path.read_bytes())
    wire, request = OllamaWire(), request_of(golden["request"], golden["model"])
    assert orjson.loads(wire.request(request).body) == golden["provider_request"]
    answer = wire.answer(request, orjson.dumps(golden["provider_answer"]), "application/json")
    assert orjson.loads(answer.body) == golden["answer"]
    asked = request_of(golden["request"] | {"stream": True, "stream_options": {"include_usage": True}}, golden["model"])
    assert orjson.loads(wire.request(asked).body) == golden["provider_request"] | {"stream": True}
    out = wire.stream(asked).feed(b"".join(orjson.dumps(line) + b"\n" for line in golden["provider_stream"]))
    assert chunks_of(out) == golden["stream"]
    assert assemble(golden["stream"]) == golden["answer"]
