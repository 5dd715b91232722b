"""The wire of Anthropic's Messages API, direct and on Google's Vertex."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from shared.providers.wires.anthropic.answer import read_answer, read_error
from shared.providers.wires.anthropic.counting import count_request, read_count
from shared.providers.wires.anthropic.request import answers_by_tool, messages_request
from shared.providers.wires.anthropic.stream import AnthropicStream
from shared.providers.wires.base import ProviderRequest, TokenCount, Translated, UpstreamRequest, Wire
from shared.providers.wires.native import native_body
from shared.surfaces.dialect import Dialect
from shared.surfaces.large_json import dump_object
from shared.surfaces.native_body import forwarded
from shared.surfaces.request_body import NativeBody
from shared.surfaces.request_types import CHAT

VERSION = "2023-06-01"
"""The version that still takes sampling parameters; https://platform.claude.com/docs/en/api/versioning"""
VERTEX_VERSION = "vertex-2023-10-16"
FILES_BETA = "files-api-2025-04-14"


class AnthropicWire(Wire):
    """Chat completions over the Messages format.

    Args:
        on_vertex: The model stands in the path and the version in the body
            (https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai).
    """

    name = "anthropic"
    request_types = frozenset({CHAT.name})

    def __init__(self, *, on_vertex: bool = False) -> None:
        self._on_vertex = on_vertex

    def request(self, request: ProviderRequest) -> UpstreamRequest:
        """The Messages request.

        Raises:
            UnsupportedParameter: A field cannot be expressed.
            InvalidRequest: A field is not of OpenAI's format.
        """
        fields = messages_request(request)
        betas = [FILES_BETA] if _names_files(fields["messages"]) else []
        native = None if answers_by_tool(request) else native_body(request, self.name, fields.keys())
        if self._on_vertex:
            return _vertex_request(request, fields, betas, native)
        headers = {"anthropic-version": VERSION} | ({"anthropic-beta": ",".join(betas)} if betas else {})
        body = dump_object(fields, len(request.body)) if native is None else _native_request(request, native)
        return UpstreamRequest(path="/v1/messages", body=body, headers=headers)

    def answer(self, request: ProviderRequest, body: bytes, content_type: str) -> Translated:  # noqa: ARG002 - of the protocol
        """The Message as a chat completion.

        Raises:
            MalformedAnswer: It is no Message.
        """
        return read_answer(request, body, answer_by_tool=answers_by_tool(request))

    def stream(self, request: ProviderRequest) -> AnthropicStream:
        """A translation for one streamed answer."""
        return AnthropicStream(request, answer_by_tool=answers_by_tool(request))

    def error(self, status: int, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """The provider's error in OpenAI's form; 529 becomes 503."""
        return read_error(status, body)

    def dialect(self, model: str) -> Dialect:  # noqa: ARG002 - of the protocol
        """Everything that Claude understands."""
        return Dialect(anthropic=True, claude=True, top_k=True)

    def token_count(self, request: ProviderRequest) -> TokenCount | None:
        """Count with ``count_tokens``, which Vertex does not have.

        Raises:
            UnsupportedParameter: A field cannot be expressed.
        """
        upstream = self.request(request)
        return None if self._on_vertex else TokenCount(count_request(upstream), read_count)


def _native_request(request: ProviderRequest, native: NativeBody) -> bytes:
    """The caller's own bytes, with the provider's name of the model."""
    return forwarded(native, _stream_of(request, native), model=request.model)


def _stream_of(request: ProviderRequest, native: NativeBody) -> dict[str, bytes]:
    """What asks for a stream in place of a job's caller, who cannot."""
    return {"stream": b"true"} if request.stream and native.fields.get("stream") is not True else {}


def _vertex_request(
    request: ProviderRequest, fields: dict[str, Any], betas: list[str], native: NativeBody | None
) -> UpstreamRequest:
    model = quote(str(fields.pop("model")), safe="@")
    own: dict[str, Any] = {"anthropic_version": VERTEX_VERSION, **({"anthropic_beta": betas} if betas else {})}
    if native is None:
        body = dump_object(fields | own, len(request.body))
    else:
        written = {name: orjson.dumps(value) for name, value in own.items()}
        body = forwarded(native, {"model": None, **_stream_of(request, native), **written})
    action = "streamRawPredict" if request.stream else "rawPredict"
    return UpstreamRequest(path=f"/publishers/anthropic/models/{model}:{action}", body=body)


def _names_files(turns: list[dict[str, Any]]) -> bool:
    blocks = (block for turn in turns for block in turn["content"])
    return any(block.get("source", {}).get("type") == "file" for block in blocks)
