"""Deliveries: an event, the endpoint that it goes to, and the attempts to send it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from shared import clock
from shared.webhooks import keys

ANSWER_BYTES = 1024
"""Most bytes of an endpoint's answer that are read and kept."""

Verdict = Literal["delivered", "failed", "retry", "released"]


class Status(StrEnum):
    """Statuses of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """An event to deliver.

    Attributes:
        id: Derived from the event, so that it is one delivery however often it is added.
        entry: What it was made from; the same entry is added once, another one of the same event sends it again.
        webhook: Name of the configured webhook; empty: ``url`` came from a caller.
        url: URL of the endpoint when the event was made.
        owner: The virtual key whose job it is about; empty: none.
        event: Type of the event.
        event_id: The ``webhook-id`` by which receivers know a repeated delivery.
        job_id: The job or batch that it is about; empty: none.
        body: The event as it is sent.
        manual: A person asked for it: sent at once, and also to a disabled endpoint.
    """

    id: str
    entry: str
    webhook: str
    url: str
    owner: str
    event: str
    event_id: str
    job_id: str
    body: bytes
    manual: bool = False

    @property
    def endpoint(self) -> str:
        """Id of the endpoint: a configured webhook, or the origin of a URL as one virtual key uses it."""
        return keys.digest(f"name:{self.webhook}" if self.webhook else f"url:{self.owner}:{origin_of(self.url)}")

    @property
    def group(self) -> str:
        """Whose share of the lane it uses: a configured webhook's, or a virtual key's."""
        return keys.digest(f"webhook:{self.webhook}" if self.webhook else f"key:{self.owner}")

    @property
    def label(self) -> str:
        """The endpoint's name for people."""
        return self.webhook or origin_of(self.url)


@dataclass(frozen=True, slots=True)
class DeliveryClaim:
    """A delivery to attempt now, under a lease."""

    id: str
    token: str
    webhook: str
    url: str
    owner: str
    event_id: str
    body: bytes
    age_s: float


@dataclass(frozen=True, slots=True)
class ClaimedDeliveries:
    """The result of a claim: deliveries, seconds until the next one is due, and the lane's size."""

    claims: tuple[DeliveryClaim, ...]
    next_s: float
    pending: int
    disabled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt; ``status`` is None without an answer, and ``error`` says why."""

    at_ms: int
    status: int | None
    duration_ms: int
    answer: str = ""
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The form of the API."""
        document = {
            "at": clock.rfc3339_ms(self.at_ms),
            "status": self.status,
            "duration_ms": self.duration_ms,
            "answer": self.answer,
        }
        return document | ({"error": self.error} if self.error else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A stored delivery.

    Attributes:
        reason: Why it failed, or why the last attempt did; empty: it did not.
    """

    id: str
    event: str
    job_id: str
    webhook: str
    url: str
    owner: str
    status: Status
    reason: str
    created_ms: int
    attempts: tuple[Attempt, ...]

    def to_dict(self) -> dict[str, Any]:
        """The form of the API."""
        return {
            "id": self.id,
            "object": "webhook.delivery",
            "event": self.event,
            "job_id": self.job_id or None,
            "webhook": self.webhook or None,
            "url": self.url,
            "status": str(self.status),
            "reason": self.reason or None,
            "created_at": clock.rfc3339_ms(self.created_ms),
            "attempts": [attempt.to_dict() for attempt in self.attempts],
        }


def attempt_of(document: Mapping[str, Any]) -> Attempt:
    """Read a stored attempt, of any version."""
    return Attempt(
        at_ms=int(document["at_ms"]),
        status=document.get("status"),
        duration_ms=int(document.get("duration_ms", 0)),
        answer=str(document.get("answer", "")),
        error=str(document.get("error", "")),
    )


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL; of text that is none, a part that tells it from others."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url[:100]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def without_secrets(url: str) -> str:
    """Return a URL without credentials, query and fragment, which may authorise the sender."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
