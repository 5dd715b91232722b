"""What the wires share: one rule for all of them."""

import pytest

from shared.errors import InvalidRequest, UnsupportedParameter
from shared.providers.wires.anthropic import AnthropicWire
from shared.providers.wires.base import MalformedAnswer, Wire
from shared.providers.wires.bedrock import BedrockWire
from shared.providers.wires.embeddings import embeddings_answer
from shared.providers.wires.gemini import GeminiWire
from shared.providers.wires.ollama import OllamaWire
from shared.providers.wires.openai import OpenAIWire
from shared.providers.wires.reading import plain_text, read_data_url, read_stops, split_data_url
from shared.providers.wires.vertex import VertexWire
from shared.surfaces.dialect import Dialect
from shared.surfaces.request_types import EMBEDDINGS
from tests.providers.wires.chat_chunks import HI, request_of

WIRES: list[Wire] = [AnthropicWire(), BedrockWire(), GeminiWire(), OllamaWire()]
VERTEX = VertexWire(gemini=GeminiWire(on_vertex=True), claude=AnthropicWire(on_vertex=True), others=OpenAIWire())


def test_data_urls_are_read_by_one_rule() -> None:
    assert read_data_url("data:image/JPG;base64,AA==", "x") == ("image/jpeg", "AA==")
    assert split_data_url("data:text/plain,a%20b", "x") == ("text/plain", "a%20b", False)
    for url in ("image/png;base64,AA==", "data:image/png;base64", "data:text/plain,a"):
        with pytest.raises(InvalidRequest, match="must be a data URL"):
            read_data_url(url, "x")


def test_blank_stop_sequences_are_refused_where_the_provider_refuses_them() -> None:
    assert read_stops([" "]) == [" "]
    with pytest.raises(UnsupportedParameter, match="blank"):
        read_stops([" "], blank=False)


def test_the_text_of_an_error_page_is_left_out() -> None:
    assert plain_text(b" <html>") == ""
    assert plain_text(b" down ") == "down"


@pytest.mark.parametrize("vector", ["text", ["x"], None])
def test_a_vector_that_is_not_numbers_is_malformed(vector: object) -> None:
    request = request_of({"input": "x", "encoding_format": "base64"}, "m")
    with pytest.raises(MalformedAnswer):
        embeddings_answer(request, [vector], 1)


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
@pytest.mark.parametrize("name", ["audio", "function_call"])
def test_every_wire_refuses_audio_and_old_function_calls(wire: Wire, name: str) -> None:
    messages = [*HI, {"role": "assistant", name: {"name": "f"}}]
    with pytest.raises(UnsupportedParameter) as error:
        wire.request(request_of({"messages": messages}, "claude-sonnet-4-5"))
    assert error.value.param == f"messages[1].{name}"


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_every_wire_names_the_tool_call_that_is_not_of_a_function(wire: Wire) -> None:
    messages = [*HI, {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom"}]}]
    with pytest.raises(UnsupportedParameter, match="tool calls of type 'custom'") as error:
        wire.request(request_of({"messages": messages}, "m"))
    assert error.value.param == "messages[1].tool_calls[0].type"


def test_vertex_takes_the_dialect_and_the_count_of_the_models_own_format() -> None:
    assert VERTEX.dialect("claude-opus-4-1") == AnthropicWire().dialect("claude-opus-4-1")
    assert VERTEX.dialect("gemini-2.5-pro").google
    assert VERTEX.dialect("meta/llama-4") == Dialect()
    count = VERTEX.token_count(request_of({"messages": HI}, "gemini-2.5-pro"))
    assert count is not None
    assert count.request.path.endswith("gemini-2.5-pro:countTokens")
    assert VERTEX.token_count(request_of({"messages": HI}, "claude-opus-4-1")) is None


def test_only_chats_are_counted_and_only_by_providers_that_can() -> None:
    count = AnthropicWire().token_count(request_of({"messages": HI}, "claude-opus-4-1"))
    assert count is not None
    assert count.request.path == "/v1/messages/count_tokens"
    assert count.read(b'{"input_tokens": 7}') == 7
    with pytest.raises(MalformedAnswer):
        count.read(b'{"input_tokens": "7"}')
    assert OllamaWire().token_count(request_of({"messages": HI}, "m")) is None
    embeddings = request_of({"input": "x"}, "gemini-embedding-001", EMBEDDINGS)
    assert GeminiWire().token_count(embeddings) is None
