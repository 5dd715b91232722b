"""The job model: frozen values and the state machine of a job.

::

              submit                    claim
    (nothing) ──────► queued ◄────────► running ──────► completed
                        ▲  release, lost lease │ ├────► failed
                        │                      │ └────► cancelled
                        └──── deferred ◄───────┘
    queued and deferred may also fail (deadline) or be cancelled; a dead-lettered job goes back to queued by retry.

The scripts in ``lua/`` make these transitions atomic; ``transition`` is the same table in Python, and the tests
compare the two.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol, Self

from shared.errors import BodyLost, BodyUndecryptable
from shared.jobs.stored_body import StoredBody

RECORD_VERSION = 1
# Of a run that was cut off: the history then has one entry without a provider.
UNKNOWN_HISTORY = b"-"
MAX_DELAY_S = 8 * 86_400


class State(StrEnum):
    """The state of a job."""

    QUEUED = "queued"
    DEFERRED = "deferred"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether only an explicit retry can change it."""
        return self in TERMINAL


TERMINAL = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})


class Change(StrEnum):
    """An event that changes the state of a job."""

    CLAIM = "claim"
    RELEASE = "release"
    DEFER = "defer"
    DUE = "due"
    LOSE = "lose"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    RETRY = "retry"


_TRANSITIONS: Mapping[tuple[State, Change], State] = {
    (State.QUEUED, Change.CLAIM): State.RUNNING,
    (State.QUEUED, Change.FAIL): State.FAILED,
    (State.QUEUED, Change.CANCEL): State.CANCELLED,
    (State.DEFERRED, Change.DUE): State.QUEUED,
    (State.DEFERRED, Change.FAIL): State.FAILED,
    (State.DEFERRED, Change.CANCEL): State.CANCELLED,
    (State.RUNNING, Change.RELEASE): State.QUEUED,
    (State.RUNNING, Change.DEFER): State.DEFERRED,
    (State.RUNNING, Change.LOSE): State.QUEUED,
    (State.RUNNING, Change.COMPLETE): State.COMPLETED,
    (State.RUNNING, Change.FAIL): State.FAILED,
    (State.RUNNING, Change.CANCEL): State.CANCELLED,
    (State.FAILED, Change.RETRY): State.QUEUED,
}


class InvalidTransition(ValueError):
    """The change does not apply to a job in that state; the first terminal state wins."""


def transition(state: State, change: Change) -> State:
    """Return the state after a change.

    Raises:
        InvalidTransition: The change does not apply.
    """
    try:
        return _TRANSITIONS[state, change]
    except KeyError:
        raise InvalidTransition(f"{change} does not apply to a {state} job") from None


class Priority(StrEnum):
    """Order among one caller's jobs; shares between callers do not depend on it."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job as submitted.

    Attributes:
        id: UUID, or ``resp_…`` for a native background response.
        owner: Id of the submitting virtual key; empty: anyone with the job id has access.
        dedupe_scope: Scope of idempotency keys: the owner, or a hash of the bearer token of a caller without a key.
        request_type: ``RequestType.name``.
        payload: The unchanged request body, of ``content_type``.
        context: What the worker needs to answer as the API would have (surface, passed-on headers, …); JSON.
        ttl_s: Result lifetime from completion.
        delay_s: Earliest start, from submit.
        deadline_s: From submit; after it the job fails. None: ``max_run_s`` from each start alone.
        weight: The owner's fair share.
        max_concurrent: The owner's most concurrent jobs; 0: no limit.
        max_stored: Most bytes of request bodies and results of the owner in the store; 0: no limit.
        max_queued: The owner's most waiting jobs; beyond it ``QueueFull``.
        idempotency_key: As given by the caller; kept 24 h.
        blind_retry: The SDK marks this as its own retry (``x-stainless-retry-count`` >= 1).
        webhook: Name of a configured webhook or an https URL.
        fingerprint: Identifies the request for idempotency keys and blind retries; empty: a hash of type and payload.
        keep_payload: Keep the request body as long as the result (Responses serve their input items).
        group: Ended jobs of a group are listed in ``keys.group_ended``, for a reader of all of them.
        labels: Names and values by which lists find the job, beside the dimensions in ``context``.
    """

    id: str
    owner: str = ""
    dedupe_scope: str = ""
    request_type: str
    model: str
    payload: bytes
    content_type: str = "application/json"
    context: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""
    priority: Priority = Priority.NORMAL
    ttl_s: int = 3600
    delay_s: float = 0.0
    deadline_s: float | None = None
    weight: float = 1.0
    max_concurrent: int = 0
    max_stored: int = 0
    max_queued: int = 10_000
    idempotency_key: str = ""
    blind_retry: bool = False
    webhook: str = ""
    fingerprint: str = ""
    keep_payload: bool = False
    group: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not (0 < self.weight < math.inf):
            raise ValueError("weight must be a positive number")
        if not (0 <= self.delay_s <= MAX_DELAY_S):
            raise ValueError(f"delay_s must be between 0 and {MAX_DELAY_S}")
        if self.deadline_s is not None and not (0 < self.deadline_s <= MAX_DELAY_S):
            raise ValueError(f"deadline_s must be above 0 and at most {MAX_DELAY_S}")
        if self.ttl_s <= 0 or self.max_concurrent < 0 or self.max_queued < 0:
            raise ValueError("ttl_s must be above 0, max_concurrent and max_queued not below")

    @property
    def may_repeat(self) -> bool:
        """Whether the same request may have made a job before."""
        return bool(self.idempotency_key) or self.blind_retry

    def estimated(self, estimate: Mapping[str, Any]) -> Self:
        """Return the job with the estimate to charge if its caller ends its run."""
        return replace(self, context={**self.context, "estimate": estimate}) if estimate else self


class PausedBy(Protocol):
    """A pause as a job tells of it."""

    @property
    def scope(self) -> str:
        """What is paused."""

    @property
    def reason(self) -> str:
        """Why."""

    @property
    def until_ms(self) -> int | None:
        """Unix milliseconds; None: until it is resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A stored job. Times are unix milliseconds by Redis's clock, 0 where not reached.

    ``due_ms`` is from when it can be claimed, ``started_ms`` the latest start. ``queue_position`` (1: next) and
    ``estimated_start_ms`` are set for queued jobs only, ``reason`` for jobs that wait again: ``lost_lease``,
    ``released``, or the reason of a deferral. ``result_size`` is set where the result is stored beside the record,
    ``result_as`` where it is encoded (``StoredBody``), ``result_lost`` if its object is gone, ``result_sealed`` why it
    cannot be decrypted. ``labels`` is as stored (``labels.labels_field``), ``history`` the last upstream attempts, a
    JSON object a line. ``paused_by`` is why a waiting job is not claimed.
    """

    id: str
    version: int = RECORD_VERSION
    state: State
    owner: str = ""
    request_type: str
    model: str
    request_id: str = ""
    priority: Priority = Priority.NORMAL
    content_type: str = "application/json"
    context: Mapping[str, Any] = field(default_factory=dict)
    ttl_s: int = 3600
    created_ms: int = 0
    due_ms: int = 0
    started_ms: int = 0
    completed_ms: int = 0
    expires_ms: int = 0
    deadline_ms: int = 0
    attempts: int = 0
    webhook: str = ""
    status_code: int = 0
    result_type: str = ""
    result: bytes = b""
    result_size: int = 0
    result_as: str = ""
    result_lost: bool = False
    result_sealed: BodyUndecryptable | None = None
    error: Mapping[str, Any] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    labels: str = ""
    history: bytes = b""
    queue_position: int | None = None
    estimated_start_ms: int | None = None
    paused_by: tuple["PausedBy", ...] = ()

    @property
    def live(self) -> bool:
        """Whether the job has not ended."""
        return not self.state.terminal

    def check_result(self) -> None:
        """Refuse to serve a result that is lost, or that cannot be decrypted.

        Raises:
            BodyLost, BodyUndecryptable: See there.
        """
        if self.result_lost or self.result_sealed is not None:
            raise self.result_sealed or BodyLost

    @property
    def label_pairs(self) -> dict[str, str]:
        """The job's labels by name; of two values of one name the later one."""
        lines = (line[2:] for line in self.labels.split("\n") if line.startswith("l:"))
        pairs = (_unescape(line).partition(":") for line in lines)
        return {name: value for name, _, value in pairs}


def _unescape(text: str) -> str:
    """Undo the escapes of a line of ``labels``."""
    return text.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\") if "\\" in text else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a job.

    Attributes:
        state: One of the terminal states.
        status_code: The HTTP status that a synchronous caller would have got.
        result: The final body, bytes of ``result_type``; empty for failures.
        error: OpenAI's error object, for failures.
        meta: Further facts for the envelope, metrics and the ledger: provider, model that answered, usage, cost; JSON.
        dead_letter: Add the job to the dead-letter list.
        ledger: One JSON entry for the cost ledger, written only if this outcome is the one that counts.
        history: The run's upstream attempts, JSON objects with a line feed between them, or ``UNKNOWN_HISTORY``.
        stored: How the result is stored, if that is decided; ``result`` is empty then.
    """

    state: State
    status_code: int
    result: bytes = b""
    result_type: str = "application/json"
    error: Mapping[str, Any] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    dead_letter: bool = False
    ledger: bytes = b""
    history: bytes = b""
    stored: StoredBody | None = None

    def __post_init__(self) -> None:
        if not self.state.terminal:
            raise ValueError(f"{self.state} is not a terminal state")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferral:
    """The result of a run that frees its slot until later.

    Attributes:
        delay_s: Delay from now; 0: at once, at the head of its caller's jobs.
        reason: An identifier for logs, metrics and the event log, e.g. ``retry_after``; letters, digits, ``_``.
        counts: Whether the attempt counts; one that ends with a provider's Retry-After does not.
        history: As of ``Outcome``.
    """

    delay_s: float
    reason: str = "deferred"
    counts: bool = False
    history: bytes = b""

    def __post_init__(self) -> None:
        if not (0 <= self.delay_s <= MAX_DELAY_S):
            raise ValueError(f"delay_s must be between 0 and {MAX_DELAY_S}")
        if not re.fullmatch(r"\w{1,40}", self.reason, re.ASCII):
            raise ValueError("reason must be 1 to 40 letters, digits or _")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryChanges:
    """What a retry changes of its job; empty or None: nothing.

    Attributes:
        model: The model to ask instead.
        priority: The job's new priority.
        deadline_s: From the retry.
        fallbacks: Models to try after it, in the request body's form.
        payload: The request body with these fallbacks.
        operation: Id of the bulk operation that retries it; it counts the job, once.
    """

    model: str = ""
    priority: Priority | None = None
    deadline_s: float | None = None
    fallbacks: tuple[Any, ...] | None = None
    payload: bytes = b""
    operation: str = ""


UNCHANGED = RetryChanges()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claimed job: what a run needs to know, and the token that fences its writes.

    Attributes:
        token: The fencing token of this lease.
        attempt: Number of this start, from 1.
        due_ms: From when it could have been claimed.
        started_ms: When it was claimed.
        payload: The request body, unchanged.
        payload_as: Set while ``payload`` is not the body yet, but how it is stored (``Bodies.with_payload``).
        reason: Why it waited again: ``lost_lease``, ``released``, or the reason of a deferral; or empty.
    """

    id: str
    token: str
    attempt: int
    priority: Priority
    owner: str
    request_type: str
    model: str
    request_id: str
    content_type: str
    context: Mapping[str, Any]
    ttl_s: int
    created_ms: int
    due_ms: int
    started_ms: int
    deadline_ms: int
    webhook: str
    payload: bytes
    payload_as: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of a job's event log.

    Attributes:
        id: Number of the event within the job: ``1``, ``2``, …; never reused, not even by a retry.
        name: ``job.queued``, ``job.started``, ``job.requeued``, ``job.deferred``, ``job.completed``, ``job.failed``,
            ``job.cancelled``, ``delta``, or the provider's own event name.
        data: JSON bytes.
    """

    id: str
    name: str
    data: bytes
