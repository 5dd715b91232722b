"""Response models of webhook endpoints, for ``/openapi.json``."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

_ATTEMPT: JsonDict = {"at": "2026-11-22T20:43:30.180Z", "status": 200, "duration_ms": 41, "answer": "thanks"}
_DELIVERY: JsonDict = {
    "id": "evt_0123456789abcdef0123456789abcdef",
    "object": "webhook.delivery",
    "event": "async_job.completed",
    "job_id": "5d2f7a52-5f0c-4b8c-9d0e-3b1f6a1c2d3e",
    "webhook": "orders",
    "url": "https://example.com/hooks/finops",
    "status": "delivered",
    "reason": None,
    "created_at": "2026-11-22T20:43:30.125Z",
    "attempts": [_ATTEMPT],
}


class AttemptAnswer(BaseModel):
    """One attempt to send an event."""

    at: str
    status: int | None = Field(description="Of the answer; null without one.")
    duration_ms: int
    answer: str = Field(description="The first kilobyte of the answer's body.")
    error: str | None = Field(None, description="Why there was no answer; absent with one.")


class DeliveryAnswer(BaseModel):
    """An event and its delivery."""

    model_config = ConfigDict(json_schema_extra={"example": _DELIVERY})

    id: str
    object: Literal["webhook.delivery"]
    event: str = Field(description="Type of the event.")
    job_id: str | None = Field(description="The job or batch that it is about.")
    webhook: str | None = Field(description="Name of the configured webhook; null: a URL that came with the submit.")
    url: str
    status: Literal["pending", "delivered", "failed"]
    reason: str | None = Field(None, description="Why it failed, or why the last attempt did.")
    created_at: str
    attempts: list[AttemptAnswer]


class DeliveryList(BaseModel):
    """A page of deliveries."""

    object: Literal["list"]
    data: list[DeliveryAnswer]
    first_id: str | None
    last_id: str | None
    has_more: bool


class SecretAnswer(BaseModel):
    """A signing secret."""

    secret: str = Field(description="As Standard Webhooks has it: `whsec_` and base64.", examples=["whsec_MfKQ9r8G…"])


class RotationAnswer(SecretAnswer):
    """A new signing secret, and until when the previous one signs too."""

    previous_expires_at: str
