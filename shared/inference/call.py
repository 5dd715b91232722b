"""What is asked of a model, and what comes back; the same values in both tiers."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

import orjson

from shared.errors import GatewayError
from shared.governance.keys.caller import ANONYMOUS, Caller
from shared.surfaces.request_types import RequestType

if TYPE_CHECKING:
    from shared.inference.call_cost import CallCost


@dataclass(slots=True, kw_only=True)
class Call:
    """One inference request, from a caller or from a job.

    Attributes:
        request_type: Which endpoint.
        model: As asked, e.g. ``anthropic/claude-sonnet-4-5``; without a prefix it goes to the default provider.
        body: The request as it came, bytes of ``content_type``; forwarded untouched where the wires agree.
        fields: The body read once: the JSON object, or the text fields of a form.
        stream: Whether the caller wants server-sent events.
        headers: Lower-case request headers that providers may want to see (``openai-beta`` and the like).
        request_id: For logs, and sent on.
        job_id: The job that this is a run of; the provider's idempotency key where one exists.
        session: Calls with the same one stay with the same key of a provider, for its prompt cache; empty: none.
        deadline: Event loop time past which no attempt starts and the running one ends; None: the provider's limits.
        begin_by: Event loop time by which a stream must have begun; it may go on after. None: the provider's limits.
        patience_s: Longest wait between attempts that is slept through.
        defers: Whether a longer wait raises ``RetryLater`` (a job gives its slot back) or ends the attempts.
        surface: Which door it came through, for the books; Anthropic's and Google's let fields beside OpenAI's in.
        dimensions: Names and values that it is booked under.
        bill: Of a run of a job, whose owner closes it; None: the inference path opens and closes one.
    """

    request_type: RequestType
    model: str
    body: bytes
    fields: dict[str, Any]
    content_type: str = "application/json"
    stream: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    caller: Caller = ANONYMOUS
    request_id: str = ""
    job_id: str = ""
    session: str = ""
    deadline: float | None = None
    begin_by: float | None = None
    patience_s: float = 30.0
    defers: bool = False
    surface: str = ""
    dimensions: Mapping[str, str] = field(default_factory=dict)
    call_cost: "CallCost | None" = None

    def passed_on(self) -> Mapping[str, str]:
        """The headers for the provider; a job's id is its idempotency key, so that a re-run may be recognised."""
        if not self.job_id:
            return self.headers
        return {**self.headers, "idempotency-key": self.job_id}

    def with_fields(self, fields: dict[str, Any], *, stream: bool) -> Self:
        """The same call with another JSON body."""
        return replace(self, fields=fields, body=orjson.dumps(fields), stream=stream)


@dataclass(slots=True, kw_only=True)
class Answer:
    """A model's final answer.

    Attributes:
        status: HTTP status, 2xx.
        body: In the caller's format; the provider's own bytes where the wires agree.
        headers: What of the provider's response headers is passed on, lower-case.
        provider: Who answered.
        model: The model that answered, as the provider calls it.
        usage: Token counts as the provider said them (OpenAI's names), empty if it did not.
        attempts: Upstream requests made for it.
        ledger: Its entry in the books, JSON; of a job, to be written with its outcome.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    provider: str = ""
    model: str = ""
    usage: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 1
    ledger: bytes = b""


class AnswerStream(Protocol):
    """A model's answer as it comes; the first bytes are there before the caller gets this.

    Iterating yields complete server-sent events (one or more per item), ready to be sent. It raises a
    ``GatewayError`` when the provider's stream is cut, stalls or says an error: never a silent success.
    """

    status: int
    content_type: str
    headers: Mapping[str, str]
    provider: str
    model: str
    usage: Mapping[str, Any]

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None:
        """Give up: the upstream connection is closed at once. Harmless after the end."""
        ...


class RetryLater(Exception):
    """The call should be made again after ``delay_s``; the job gives its slot back meanwhile.

    Attributes:
        error: What the caller is told when it does not come back.
    """

    def __init__(self, delay_s: float, reason: str, error: GatewayError) -> None:
        super().__init__(reason)
        self.delay_s = delay_s
        self.reason = reason
        self.error = error
