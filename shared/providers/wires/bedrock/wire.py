"""The wire of Amazon Bedrock's Converse API."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from shared.errors import InvalidRequest
from shared.providers.wires.base import ProviderRequest, Translated, UpstreamRequest, Wire
from shared.providers.wires.bedrock.answer import read_answer, read_error
from shared.providers.wires.bedrock.models import family_of
from shared.providers.wires.bedrock.request import answers_by_tool, converse_request
from shared.providers.wires.bedrock.stream import BedrockStream
from shared.surfaces.dialect import Dialect
from shared.surfaces.fields import encode
from shared.surfaces.request_types import CHAT


class BedrockWire(Wire):
    """Chat completions over Converse and ConverseStream."""

    name = "bedrock"
    request_types = frozenset({CHAT.name})

    def request(self, request: ProviderRequest) -> UpstreamRequest:
        """The Converse request.

        Raises:
            UnsupportedParameter: A field cannot be expressed.
            InvalidRequest: A field is not of OpenAI's format.
        """
        if request.model in {".", ".."}:
            raise InvalidRequest(f"There is no model {request.model!r}.", param="model")
        body = encode(converse_request(request), "body")
        action = "converse-stream" if request.stream else "converse"
        return UpstreamRequest(path=f"/model/{quote(request.model, safe='')}/{action}", body=body)

    def answer(self, request: ProviderRequest, body: bytes, content_type: str) -> Translated:  # noqa: ARG002 - of the protocol
        """The answer as a chat completion.

        Raises:
            MalformedAnswer: It is not of the format.
        """
        return read_answer(request, body, answer_by_tool=answers_by_tool(request))

    def stream(self, request: ProviderRequest) -> BedrockStream:
        """A translation for one streamed answer."""
        return BedrockStream(request, answer_by_tool=answers_by_tool(request))

    def error(self, status: int, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """The provider's error in OpenAI's form; 424 becomes 502."""
        return read_error(status, body)

    def dialect(self, model: str) -> Dialect:
        """Top-k sampling, and for Claude what it understands in any format."""
        return Dialect(claude=family_of(model) == "claude", top_k=True)
