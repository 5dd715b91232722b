"""The wire of Amazon Bedrock's Converse API."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from shared.errors import InvalidRequest
from shared.providers.wires.base import ProviderRequest, Translated, UpstreamRequest
from shared.providers.wires.bedrock.answer import read_answer, read_error
from shared.providers.wires.bedrock.request import answers_by_tool, converse_request
from shared.providers.wires.bedrock.stream import BedrockStream
from shared.surfaces.fields import encode
from shared.surfaces.request_types import CHAT


class BedrockWire:
    """Chat completions over Converse and ConverseStream."""

    name = "bedrock"
    request_types = frozenset({CHAT.name})

    def request(self, ask: ProviderRequest) -> UpstreamRequest:
        """The Converse request.

        Raises:
            UnsupportedParameter: A field cannot be expressed.
            InvalidRequest: A field is not of OpenAI's format.
        """
        if ask.model in {".", ".."}:
            raise InvalidRequest(f"There is no model {ask.model!r}.", param="model")
        body = encode(converse_request(ask), "body")
        action = "converse-stream" if ask.stream else "converse"
        return UpstreamRequest(path=f"/model/{quote(ask.model, safe='')}/{action}", body=body)

    def answer(self, ask: ProviderRequest, body: bytes, content_type: str) -> Translated:  # noqa: ARG002 - of the protocol
        """The answer as a chat completion.

        Raises:
            MalformedAnswer: It is not of the format.
        """
        return read_answer(ask, body, answer_by_tool=answers_by_tool(ask))

    def stream(self, ask: ProviderRequest) -> BedrockStream:
        """A translation for one streamed answer."""
        return BedrockStream(ask, answer_by_tool=answers_by_tool(ask))

    def error(self, status: int, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """The provider's error in OpenAI's form; 424 becomes 502."""
        return read_error(status, body)
