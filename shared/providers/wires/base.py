"""The interface of wires: pure translation between OpenAI's formats and one provider's. No I/O, URL or credentials."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from shared.surfaces.dialect import Dialect
from shared.surfaces.request_body import NativeBody
from shared.surfaces.request_types import RequestType
from shared.surfaces.responses.conversation import Reasoning


# Made for each call, and not frozen: setting each field of a frozen instance is a call, 2 us for all of them.
@dataclass(slots=True, kw_only=True)
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
        native: The caller's own bytes, where they were not of OpenAI's format.
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
    native: NativeBody | None = None


@dataclass(slots=True, kw_only=True)
class UpstreamRequest:
    """A request for a host to send.

    Attributes:
        path: Below the provider's base URL, with query, e.g. ``/chat/completions``.
        headers: Of the format (``anthropic-version``), never credentials.
    """

    path: str
    body: bytes
    content_type: str = "application/json"
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Translated:
    """A provider's complete answer in OpenAI's format.

    Attributes:
        usage: In OpenAI's names.
        parsed: The body, where it was parsed or made here; None: it was not.
    """

    body: bytes
    content_type: str = "application/json"
    usage: Mapping[str, Any] = field(default_factory=dict)
    parsed: object = None


class MalformedAnswer(ValueError):
    """The provider's bytes are not what its format promises; becomes a 502."""


class StreamTranslation(Protocol):
    """The state of one stream being translated.

    Attributes:
        usage: Token counts in OpenAI's names, as far as seen.
        complete: Whether the format's own end was seen: a stream that ends before is cut, never a success.
        error: The provider's error inside the stream (OpenAI's error object), once seen; nothing follows it.
        made: The object that the provider may keep, once the answer is complete; None: it keeps none.
    """

    made: Mapping[str, Any] | None = None

    usage: Mapping[str, Any]
    complete: bool
    error: Mapping[str, Any] | None

    def feed(self, data: bytes) -> bytes:
        """Take the provider's bytes as they came, however cut; give complete events in OpenAI's format, maybe none.

        Raises:
            MalformedAnswer: The bytes are not of the format.
        """
        ...

    def end(self) -> bytes:
        """Take the end of the provider's stream; give what the caller still lacks, and set ``complete`` if that is all.

        The default is for formats whose own end must be there.
        """
        return b""


class TokenCount(NamedTuple):
    """How a provider counts the tokens of a request.

    Attributes:
        request: The request that counts.
        read: Reads the number out of the answer; raises ``MalformedAnswer``.
    """

    request: UpstreamRequest
    read: Callable[[bytes], int]


class Wire(Protocol):
    """One provider format. Wires inherit from it, for the defaults.

    Attributes:
        name: As configuration spells it.
        request_types: Names of the request types it can express.
        reasoning: Whether thoughts go back to the provider with their signatures, or not at all.
        response: The Response that the gateway has to store, once a bridge has made one; else None.
    """

    name: str
    request_types: frozenset[str]
    reasoning: Reasoning = "signed"
    response: Mapping[str, Any] | None = None

    def request(self, request: ProviderRequest) -> UpstreamRequest:
        """The provider's request.

        Raises:
            UnsupportedParameter: A field cannot be expressed; named, never dropped in silence.
        """
        ...

    def check(self, request: ProviderRequest) -> None:
        """Check that a request can be expressed, before it is made a job; the default translates it.

        Raises:
            UnsupportedParameter: As ``request``.
        """
        self.request(request)

    def answer(self, request: ProviderRequest, body: bytes, content_type: str) -> Translated:
        """The provider's complete answer (2xx) in OpenAI's format.

        Raises:
            MalformedAnswer: It is not of the format.
        """
        ...

    def stream(self, request: ProviderRequest) -> StreamTranslation:
        """A translation for one streamed answer."""
        ...

    def error(self, status: int, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """The provider's error: the status to pass on, and OpenAI's error object (message, type, param, code)."""
        ...

    def dialect(self, model: str) -> Dialect:
        """Return which fields beyond OpenAI's the model's format can carry."""
        ...

    def token_count(self, request: ProviderRequest) -> TokenCount | None:
        """Return how the provider counts the input tokens of a request; None if it cannot.

        Raises:
            UnsupportedParameter: As ``request``, which the default calls to check the fields.
        """
        self.request(request)
        return None
