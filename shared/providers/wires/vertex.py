"""The wire of Vertex AI, which speaks three formats, chosen by the model's name.

Source: https://cloud.google.com/vertex-ai/generative-ai/docs/model-garden/explore-models
"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.errors import UnsupportedParameter
from shared.providers.wires.base import (
    ProviderRequest,
    StreamTranslation,
    TokenCount,
    Translated,
    UpstreamRequest,
    Wire,
)
from shared.surfaces.dialect import Dialect


class VertexWire(Wire):
    """Chooses between wires, and does nothing else.

    Args:
        gemini: For Google's own models.
        claude: For Anthropic's.
        others: For models under their publisher's name, ``meta/llama-4-maverick-17b-128e-instruct-maas``: OpenAI's
            format.
    """

    name = "vertex"

    def __init__(self, *, gemini: Wire, claude: Wire, others: Wire) -> None:
        self._gemini = gemini
        self._claude = claude
        self._others = others
        self.request_types = gemini.request_types | claude.request_types

    def request(self, request: ProviderRequest) -> UpstreamRequest:
        """The request in the model's own format.

        Raises:
            UnsupportedParameter: A field cannot be expressed, or the model does not do that.
        """
        return self._capable(request).request(request)

    def answer(self, request: ProviderRequest, body: bytes, content_type: str) -> Translated:
        """The answer, read in the same format.

        Raises:
            MalformedAnswer: It is not of the format.
        """
        return self.chosen(request.model).answer(request, body, content_type)

    def stream(self, request: ProviderRequest) -> StreamTranslation:
        """A translation for one streamed answer."""
        return self.chosen(request.model).stream(request)

    def error(self, status: int, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """The error in OpenAI's form; the body shows which format it is of."""
        return self._wire_of_error(body).error(status, body)

    def dialect(self, model: str) -> Dialect:
        """The dialect of the model's own format."""
        return self.chosen(model).dialect(model)

    def token_count(self, request: ProviderRequest) -> TokenCount | None:
        """Count as the model's own format does.

        Raises:
            UnsupportedParameter: A field cannot be expressed, or the model does not do that.
        """
        return self._capable(request).token_count(request)

    def _capable(self, request: ProviderRequest) -> Wire:
        wire = self.chosen(request.model)
        if request.request_type.name not in wire.request_types & self.request_types:
            raise UnsupportedParameter(
                f"The model {request.model!r} does not offer {request.request_type.name}.", param="model"
            )
        return wire

    def chosen(self, model: str) -> Wire:
        """The wire of a model's format."""
        if model.startswith("claude"):
            return self._claude
        return self._others if "/" in model else self._gemini

    def _wire_of_error(self, body: bytes) -> Wire:
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError:
            return self._gemini
        return self._claude if isinstance(fields, dict) and fields.get("type") == "error" else self._gemini
