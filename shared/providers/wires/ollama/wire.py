"""The wire of Ollama's own API."""

from collections.abc import Mapping
from typing import Any

from shared.providers.wires.base import ProviderRequest, StreamTranslation, Translated, UpstreamRequest, Wire
from shared.providers.wires.ollama.answer import read_answer, read_embeddings
from shared.providers.wires.ollama.request import chat_request, embed_request
from shared.providers.wires.ollama.stream import OllamaStream
from shared.providers.wires.openai import read_error
from shared.surfaces.dialect import Dialect
from shared.surfaces.fields import encode
from shared.surfaces.request_types import CHAT, EMBEDDINGS


class OllamaWire(Wire):
    """Chat completions over ``/api/chat``, embeddings over ``/api/embed``."""

    name = "ollama"
    request_types = frozenset({CHAT.name, EMBEDDINGS.name})

    def request(self, request: ProviderRequest) -> UpstreamRequest:
        """The request in Ollama's format.

        Raises:
            UnsupportedParameter: A field cannot be expressed.
            InvalidRequest: A field is not of OpenAI's format.
        """
        if request.request_type is EMBEDDINGS:
            return UpstreamRequest(path="/api/embed", body=encode(embed_request(request), "body"))
        return UpstreamRequest(path="/api/chat", body=encode(chat_request(request), "body"))

    def answer(self, request: ProviderRequest, body: bytes, content_type: str) -> Translated:  # noqa: ARG002 - of the protocol
        """The answer in OpenAI's format.

        Raises:
            MalformedAnswer: It is not of Ollama's.
        """
        return read_embeddings(request, body) if request.request_type is EMBEDDINGS else read_answer(request, body)

    def stream(self, request: ProviderRequest) -> StreamTranslation:
        """A translation for one streamed answer."""
        return OllamaStream(request)

    def error(self, status: int, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """The server's error, a plain text, as OpenAI's object; 404 is a model that was not pulled."""
        code = "model_not_found" if status == 404 else None
        message = read_error(body).get("message")
        text = message if isinstance(message, str) else ""
        return status, {"message": text, "type": "api_error", "param": None, "code": code}

    def dialect(self, model: str) -> Dialect:  # noqa: ARG002 - of the protocol
        """OpenAI's fields and top-k sampling."""
        return Dialect(top_k=True)
