"""The wire of Google's Gemini API, direct and on Vertex."""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.providers.wires.base import (
    MalformedAnswer,
    ProviderRequest,
    TokenCount,
    Translated,
    UpstreamRequest,
    Wire,
)
from shared.providers.wires.gemini.answer import read_answer
from shared.providers.wires.gemini.counting import count_request, read_count
from shared.providers.wires.gemini.embeddings import embed_request, read_embeddings
from shared.providers.wires.gemini.errors import read_error
from shared.providers.wires.gemini.paths import method_path
from shared.providers.wires.gemini.request import generate_request
from shared.providers.wires.gemini.stream import GeminiStream
from shared.providers.wires.native import native_body
from shared.surfaces.dialect import Dialect
from shared.surfaces.fields import encode
from shared.surfaces.native_body import forwarded
from shared.surfaces.request_types import CHAT, EMBEDDINGS


class GeminiWire(Wire):
    """Chat completions over generateContent, embeddings over embedContent.

    Args:
        on_vertex: Embeddings are asked for as Vertex has them; all else is the same there.
    """

    name = "gemini"
    request_types = frozenset({CHAT.name, EMBEDDINGS.name})

    def __init__(self, *, on_vertex: bool = False) -> None:
        self._on_vertex = on_vertex

    def request(self, request: ProviderRequest) -> UpstreamRequest:
        """The provider's request.

        Raises:
            UnsupportedParameter: A field cannot be expressed.
            InvalidRequest: A field is not of OpenAI's format.
        """
        if request.request_type is EMBEDDINGS:
            return embed_request(request, on_vertex=self._on_vertex)
        method = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
        fields = generate_request(request)
        native = native_body(request, "genai", fields.keys())
        if native is None or (self._on_vertex and not _names_roles(native.fields["contents"])):
            return UpstreamRequest(path=method_path(request.model, method), body=encode(fields, "body"))
        return UpstreamRequest(path=method_path(request.model, method), body=forwarded(native, {}))

    def answer(self, request: ProviderRequest, body: bytes, content_type: str) -> Translated:  # noqa: ARG002 - of the protocol
        """The answer as a chat completion or a list of embeddings.

        Raises:
            MalformedAnswer: It is not of the format.
        """
        try:
            return read_embeddings(request, body) if request.request_type is EMBEDDINGS else read_answer(request, body)
        except orjson.JSONEncodeError as error:
            raise MalformedAnswer("the answer is nested too deeply") from error

    def stream(self, request: ProviderRequest) -> GeminiStream:
        """A translation for one streamed answer."""
        return GeminiStream(request)

    def error(self, status: int, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """The provider's error in OpenAI's form; ``retry_after_s`` is in it if the provider names a delay."""
        return read_error(status, body)

    def dialect(self, model: str) -> Dialect:  # noqa: ARG002 - of the protocol
        """Everything that Gemini understands."""
        return Dialect(google=True, top_k=True)

    def token_count(self, request: ProviderRequest) -> TokenCount | None:
        """Count with ``countTokens``; embeddings are not counted.

        Raises:
            UnsupportedParameter: A field cannot be expressed.
        """
        upstream = self.request(request)
        if request.request_type is EMBEDDINGS:
            return None
        return TokenCount(count_request(upstream, on_vertex=self._on_vertex), read_count)


def _names_roles(contents: list[dict[str, Any]]) -> bool:
    """Whether every turn says whose it is, which Vertex demands."""
    return all(content.get("role") for content in contents)
