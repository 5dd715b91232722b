"""Golden exchanges, written after the provider's documentation and read through: what goes out and what comes back."""

from pathlib import Path

import orjson
import pytest
from openai.types.chat import ChatCompletion

from shared.providers.wires.gemini import GeminiWire
from tests.providers.wires.gemini.judge import judge_answer, judge_request
from tests.providers.wires.gemini.request_cases import request_of
from tests.providers.wires.gemini.stream_events import assemble, decode, encode

FOLDER = Path(__file__).parent.parent / "golden" / "gemini"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_golden_exchanges(path):
    golden = orjson.loads(path.read_bytes())
    for answer in (golden["provider_answer"], *golden["provider_stream"]):
        judge_answer(answer)
    judge_request(golden["provider_request"])
    ChatCompletion.model_validate(golden["answer"])
    wire, request = GeminiWire(), request_of(golden["request"], golden["model"])
    upstream = wire.request(request)
    assert (upstream.path, orjson.loads(upstream.body)) == (golden["provider_path"], golden["provider_request"])
    answer = wire.answer(request, orjson.dumps(golden["provider_answer"]), "application/json")
    assert orjson.loads(answer.body) == golden["answer"]
    asked = golden["request"] | {"stream": True, "stream_options": {"include_usage": True}}
    out = wire.stream(request_of(asked, golden["model"])).feed(encode(golden["provider_stream"]))
    assert decode(out) == golden["stream"]
    assert assemble(out) == golden["answer"]
