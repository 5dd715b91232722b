"""The wire of Google's Gemini API, direct and on Vertex."""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.providers.wires.base import MalformedAnswer, ProviderRequest, Translated, UpstreamRequest
from shared.providers.wires.gemini.answer import read_answer
from shared.providers.wires.gemini.embeddings import embed_request, read_embeddings
from shared.providers.wires.gemini.errors import read_error
from shared.providers.wires.gemini.paths import method_path
from shared.providers.wires.gemini.request import generate_request
from shared.providers.wires.gemini.stream import GeminiStream
from shared.surfaces.fields import encode
from shared.surfaces.request_types import CHAT, EMBEDDINGS


class GeminiWire:
    """Chat completions over generateContent, embeddings over embedContent.

    Args:
        on_vertex: Embeddings are asked for as Vertex has them; all else is the same there.
    """

    name = "gemini"
    request_types = frozenset({CHAT.name, EMBEDDINGS.name})

    def __init__(self, *, on_vertex: bool = False) -> None:
        self._on_vertex = on_vertex

    def request(self, ask: ProviderRequest) -> UpstreamRequest:
        """The provider's request.

        Raises:
            UnsupportedParameter: A field cannot be expressed.
            InvalidRequest: A field is not of OpenAI's format.
        """
        if ask.request_type is EMBEDDINGS:
            return embed_request(ask, on_vertex=self._on_vertex)
        method = "streamGenerateContent?alt=sse" if ask.stream else "generateContent"
        return UpstreamRequest(path=method_path(ask.model, method), body=encode(generate_request(ask), "body"))

    def answer(self, ask: ProviderRequest, body: bytes, content_type: str) -> Translated:  # noqa: ARG002 - of the protocol
        """The answer as a chat completion or a list of embeddings.

        Raises:
            MalformedAnswer: It is not of the format.
        """
        try:
            return read_embeddings(ask, body) if ask.request_type is EMBEDDINGS else read_answer(ask, body)
        except orjson.JSONEncodeError as error:
            raise MalformedAnswer("the answer is nested too deeply") from error

    def stream(self, ask: ProviderRequest) -> GeminiStream:
        """A translation for one streamed answer."""
        return GeminiStream(ask)

    def error(self, status: int, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """The provider's error in OpenAI's form; ``retry_after_s`` is in it if the provider said when to come back."""
        return read_error(status, body)
