"""Which of Vertex's formats a model speaks."""

import orjson
import pytest

from shared.errors import UnsupportedParameter
from shared.providers.wires.anthropic import AnthropicWire
from shared.providers.wires.base import Translated, UpstreamRequest
from shared.providers.wires.openai import OpenAIStream, OpenAIWire
from shared.providers.wires.vertex import VertexWire
from shared.surfaces.request_types import CHAT, EMBEDDINGS, MODERATIONS
from tests.providers.wires.chat_chunks import HI, request_of


class Google:
    """A third format, that can be distinguished from the others."""

    name = "gemini"
    request_types = frozenset({CHAT.name, EMBEDDINGS.name})

    def request(self, request):
        return UpstreamRequest(path=f"/models/{request.model}:generateContent", body=b"")

    def answer(self, request, body, content_type):
        return Translated(body=b"google")

    def stream(self, request):
        return OpenAIStream(ends_with_done=True)

    def error(self, status, body):
        return status, {"message": "google"}


WIRE = VertexWire(gemini=Google(), claude=AnthropicWire(on_vertex=True), others=OpenAIWire())


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-3-pro", "/models/gemini-3-pro:generateContent"),
        ("claude-opus-4-6", "/publishers/anthropic/models/claude-opus-4-6:rawPredict"),
        ("meta/llama-4", "/chat/completions"),
    ],
)
def test_the_models_name_selects_the_format(model, path):
    request = request_of({"messages": HI, "model": model}, model)
    assert WIRE.request(request).path == path
    assert type(WIRE.stream(request)).__name__ == ("AnthropicStream" if "claude" in model else "OpenAIStream")


def test_answers_are_read_in_the_same_format():
    request = request_of({"messages": HI}, "gemini-3-pro")
    assert WIRE.answer(request, b"", "").body == b"google"
    upstream = b'{"choices": []}'
    assert WIRE.answer(request_of({"messages": HI}, "meta/x"), upstream, "application/json").body == upstream


def test_models_offer_what_their_format_can_say():
    assert WIRE.request(request_of({"input": "a"}, "gemini-embedding", EMBEDDINGS)).path.startswith("/models/")
    for model, kind in (("claude-opus-4-6", EMBEDDINGS), ("meta/x", MODERATIONS)):
        with pytest.raises(UnsupportedParameter) as caught:
            WIRE.request(request_of({"input": "a"}, model, kind))
        assert caught.value.param == "model"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "claude"}}, "claude"),
        ({"error": {"code": 400, "message": "x", "status": "INVALID_ARGUMENT"}}, "google"),
        ([{"error": {}}], "google"),
        (b"<html>", "google"),
    ],
)
def test_errors_show_their_format(body, message):
    assert WIRE.error(400, body if isinstance(body, bytes) else orjson.dumps(body))[1]["message"] == message
