"""Requests to models and their answers, as both tiers pass them on."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

from shared.cache.use import CacheUse
from shared.errors import GatewayError
from shared.governance.keys.caller import ANONYMOUS, Caller
from shared.governance.limits.runs import Run
from shared.governance.pricing.model_sizes import ModelSize
from shared.governance.pricing.usage import Usage, upper_estimate
from shared.inference.presence import CallerPresence
from shared.providers.base import Provider
from shared.surfaces.large_json import dump_object
from shared.surfaces.request_body import NativeBody, PromptSize
from shared.surfaces.request_types import RequestType


@dataclass(frozen=True, slots=True)
class Target:
    """One model of one provider."""

    provider: Provider
    model: str

    @property
    def name(self) -> str:
        """``provider/model``."""
        return f"{self.provider.name}/{self.model}"


@dataclass(slots=True)
class UpstreamAttempt:
    """One upstream request of a call, as the history of a job has it.

    Attributes:
        provider: Name of the provider.
        model: As the provider calls it.
        key: Name of the provider's credential; empty: none.
        started: Unix seconds.
        ended: Unix seconds; of a stream, when it had begun.
        status: HTTP status of its end.
        code: Error code; empty: it was answered.
        lane: Lane of its job; empty: the job was submitted without patience.
    """

    provider: str
    model: str
    key: str
    started: float
    ended: float
    status: int
    code: str = ""
    lane: str = ""


@dataclass(slots=True, kw_only=True)
class Call:
    """One inference request, from a caller or from a job.

    Attributes:
        request_type: The endpoint.
        model: As requested, e.g. ``anthropic/claude-sonnet-4-5``; without a prefix it goes to the default provider.
        body: The request as received, bytes of ``content_type``; forwarded untouched where the formats agree.
        fields: The parsed body: the JSON object, or the text fields of a form.
        stream: Whether the caller wants server-sent events.
        headers: Lower-case request headers for the provider (``openai-beta`` and the like).
        request_id: For logs; also sent to the provider.
        job_id: The job that this call is a run of, if any; the provider's idempotency key where one exists.
        session: Calls of one session stay with one key of a provider, for its prompt cache; empty: none.
        deadline: Event loop time past which no attempt starts and the running one ends; None: the provider's limits.
        due: Event loop time by which a job is to be answered if that is possible; None: nothing was promised.
        begin_by: Event loop time by which a stream must begin; it may go on after. None: the provider's limits.
        patience_s: Longest wait between attempts that is slept through, in seconds.
        defers: Whether a longer wait raises ``RetryLater`` (a job gives its slot back) or ends the attempts.
        surface: The format that the caller speaks; Anthropic's and Google's allow fields beyond OpenAI's.
        dimensions: Names and values for the ledger.
        run: The run that it belongs to; None: none.
        stored_tokens: About how long the stored conversation is that it continues; None: not known.
        room_by: Event loop time past which no attempt waits for a provider's room; None: as patient as otherwise.
        attempt_log: Where its upstream attempts are noted; None: nowhere.
        cache: How it uses the cache; None: not at all.
        prompt: How much it has to read, where that was measured already.
        native: The caller's own bytes, where they were not of OpenAI's format.
        lane: Name of the lane on which a job is answered, for the ledger; empty: it was submitted without patience.
        presence: Of its caller; None: nobody watches whether that stays.
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
    due: float | None = None
    begin_by: float | None = None
    patience_s: float = 30.0
    defers: bool = False
    surface: str = ""
    dimensions: Mapping[str, str] = field(default_factory=dict)
    run: Run | None = None
    stored_tokens: int | None = None
    room_by: float | None = None
    attempt_log: list["UpstreamAttempt"] | None = None
    cache: CacheUse | None = None
    prompt: PromptSize | None = None
    native: NativeBody | None = None
    lane: str = ""
    presence: CallerPresence | None = None

    @property
    def is_flex(self) -> bool:
        """Whether it asks for the discounted tier on its job's lane: a refusal says nothing about other calls."""
        return self.lane == "flex"

    @property
    def tries_lane(self) -> bool:
        """Whether it tries a cheaper lane of its job, which runs now if that fails."""
        return self.lane not in {"", "now"}

    def passed_on(self) -> Mapping[str, str]:
        """Return the headers for the provider; a job's id is the idempotency key, so that it can recognise a re-run."""
        if not self.job_id:
            return self.headers
        key = f"{self.job_id}-{self.lane}" if self.tries_lane else self.job_id
        return {**self.headers, "idempotency-key": key}

    def upper_estimate(self, size: ModelSize) -> Usage:
        """Return the most that the call can use at a model of that size."""
        return upper_estimate(self.request_type, self.fields, self.body, size, self.stored_tokens, prompt=self.prompt)

    def with_fields(self, fields: dict[str, Any], *, stream: bool) -> Self:
        """Return the same call with another JSON body."""
        return replace(self, fields=fields, body=dump_object(fields, len(self.body)), stream=stream)


@dataclass(slots=True, kw_only=True)
class Answer:
    """A model's complete answer.

    Attributes:
        status: HTTP status, 2xx.
        body: In the caller's format; the provider's own bytes where the wires agree.
        headers: The provider's response headers that are passed on, lower-case.
        provider: Name of the provider that answered.
        model: The model that answered, as the provider calls it.
        usage: Token counts as reported by the provider (OpenAI's names), empty if it reported none.
        attempts: Upstream requests made for it.
        ledger: Its ledger entry, JSON; a job's is written together with the job's outcome.
        parsed: The body, where it was parsed and the cache is to judge it; None: it was not.
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
    parsed: object = None


class AnswerStream(Protocol):
    """A model's answer while it arrives; its first bytes have arrived when the caller gets this object.

    Iterating yields complete server-sent events (one or more per item), ready to be sent. It raises a
    ``GatewayError`` when the provider's stream is cut, stalls or reports an error: never a silent success.

    Attributes:
        attempts: Upstream requests made for it.
        whole: The whole answer of a provider that does not stream; None: it comes as events.
    """

    status: int
    content_type: str
    headers: Mapping[str, str]
    provider: str
    model: str
    attempts: int
    whole: bytes | None

    @property
    def usage(self) -> Mapping[str, Any]:
        """Token counts, as far as the provider reported them."""
        ...

    @property
    def ledger(self) -> bytes:
        """Its ledger entry, once it has ended."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None:
        """Close the upstream connection at once; does nothing after the end."""
        ...


class RetryLater(Exception):
    """The call should be repeated after ``delay_s`` seconds; the job gives its slot back meanwhile.

    Attributes:
        delay_s: Seconds to wait.
        reason: Code of the cause: ``overloaded``, ``circuit_open``, ``retry_after`` or ``store_unavailable``.
        error: The job's error if it cannot be repeated any more.
    """

    def __init__(self, delay_s: float, reason: str, error: GatewayError) -> None:
        super().__init__(reason)
        self.delay_s = delay_s
        self.reason = reason
        self.error = error
