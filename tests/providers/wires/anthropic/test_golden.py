"""Golden exchanges, written after the provider's documentation and read through: what goes out and what comes back."""

from pathlib import Path

import orjson
import pytest

from shared.providers.wires.anthropic import AnthropicWire
from tests.providers.wires.anthropic.judge import judge_message, judge_request
from tests.providers.wires.anthropic.request_cases import request_of
from tests.providers.wires.anthropic.stream_events import assemble, chunks_of

FOLDER = Path(__file__).parent.parent / "golden" / "anthropic"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_golden_exchanges(path):
    golden = orjson.loads(path.read_bytes())
    judge_request(golden["provider_request"])
    judge_message(golden["provider_answer"])
    wire, request = AnthropicWire(), request_of(golden["request"], golden["model"])
    assert orjson.loads(wire.request(request).body) == golden["provider_request"]
    answer = wire.answer(request, orjson.dumps(golden["provider_answer"]), "application/json")
    assert orjson.loads(answer.body) == golden["answer"]
    asked = golden["request"] | {"stream": True, "stream_options": {"include_usage": True}}
    translation = wire.stream(request_of(asked, golden["model"]))
    out = translation.feed("".join(f"{event}\n\n" for event in golden["provider_stream"]).encode())
    assert chunks_of(out) == golden["stream"]
    assert assemble(golden["stream"]) == golden["answer"]
