"""What a wire is: the translation between OpenAI's formats and one provider's; pure: no I/O, no URL, no credentials."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.surfaces.request_types import RequestType


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRequest:
    """One request as a wire sees it.

    Attributes:
        request_type: Which of OpenAI's endpoints.
        model: As the provider calls it (prefix removed, alias or deployment resolved).
        body: The caller's bytes of ``content_type``, in OpenAI's format.
        fields: The same, read: the JSON object, or the text fields of a form.
        stream: Whether server-sent events are wanted.
        created: Unix seconds, for formats that carry a time of their own.
        answer_id: Id for answers whose provider gives none.
        counted: Whether the gateway wants to know what a stream used, though its caller did not ask.
    """

    request_type: RequestType
    model: str
    body: bytes
    fields: Mapping[str, Any]
    content_type: str = "application/json"
    stream: bool = False
    created: int = 0
    answer_id: str = ""
    counted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """What a host is to send.

    Attributes:
        path: Below the provider's base URL, with query, e.g. ``/chat/completions``.
        headers: Of the format (``anthropic-version``), never credentials.
    """

    path: str
    body: bytes
    content_type: str = "application/json"
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """A provider's complete answer in OpenAI's format; ``usage`` in OpenAI's names."""

    body: bytes
    content_type: str = "application/json"
    usage: Mapping[str, Any] = field(default_factory=dict)


class MalformedAnswer(ValueError):
    """The provider's bytes are not what its format promises; becomes a 502."""


class StreamTranslation(Protocol):
    """The state of one stream being translated.

    Attributes:
        usage: Token counts in OpenAI's names, as far as seen.
        complete: Whether the format's own end was seen: a stream that ends before is cut, never a success.
        error: The provider's error inside the stream (OpenAI's error object), once seen; nothing follows it.
    """

    usage: Mapping[str, Any]
    complete: bool
    error: Mapping[str, Any] | None

    def feed(self, data: bytes) -> bytes:
        """Take the provider's bytes as they came, however cut; give complete events in OpenAI's format, maybe none.

        Raises:
            MalformedAnswer: The bytes are not of the format.
        """
        ...


class Wire(Protocol):
    """One provider format."""

    name: str
    request_types: frozenset[str]
    """Names of the request types it can express."""

    def request(self, ask: ProviderRequest) -> UpstreamRequest:
        """The provider's request.

        Raises:
            UnsupportedParameter: A field cannot be expressed; named, never dropped in silence.
        """
        ...

    def answer(self, ask: ProviderRequest, body: bytes, content_type: str) -> Translated:
        """The provider's complete answer (2xx) in OpenAI's format.

        Raises:
            MalformedAnswer: It is not of the format.
        """
        ...

    def stream(self, ask: ProviderRequest) -> StreamTranslation:
        """A translation for one streamed answer."""
        ...

    def error(self, status: int, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """The provider's error: the status to pass on, and OpenAI's error object (message, type, param, code)."""
        ...
