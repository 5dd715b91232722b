"""Webhook payloads: a thin, signed event. Sources: standardwebhooks.com and OpenAI's webhook events."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from standardwebhooks.webhooks import Webhook

from shared.surfaces.request_types import RESPONSES

TEST_EVENT: Final = "webhook.test"


def event_id(job_id: str, state: str) -> str:
    """The id of the event, the same however often it is made: receivers know a repeated delivery by it."""
    return f"evt_{hashlib.blake2b(f'{job_id}:{state}'.encode(), digest_size=16).hexdigest()}"


def event_type(state: str) -> str:
    """As in the configuration's ``events``, e.g. ``async_job.completed``."""
    return f"async_job.{state}"


def native_event_type(job_id: str, request_type: str, state: str) -> str:
    """OpenAI's own name for a background response and for a batch, ours for every other job."""
    if request_type == "batch":
        return f"batch.{state}"
    if request_type == RESPONSES.name and job_id.startswith("resp_"):
        return f"response.{state}"
    return event_type(state)


def event_body(job_id: str, request_type: str, state: str, at: datetime) -> bytes:
    """The event: id, type and the job it is about; the receiver asks for the result itself."""
    return orjson.dumps(
        {
            "id": event_id(job_id, state),
            "object": "event",
            "created_at": int(at.timestamp()),
            "type": native_event_type(job_id, request_type, state),
            "data": {"id": job_id, "status": state, "request_type": request_type},
        }
    )


def alert_event(alert: Mapping[str, Any]) -> dict[str, Any]:
    """Build the event of an alert; its id is the same for every target and retry."""
    return {
        "id": event_id(alert["id"], "told"),
        "object": "event",
        "created_at": alert["created_at"],
        "type": alert["type"],
        "data": {name: value for name, value in alert.items() if name not in {"object", "type", "created_at"}},
    }


def signed_headers(secrets: Sequence[str], identity: str, body: bytes, at: datetime | None = None) -> dict[str, str]:
    """The three headers of Standard Webhooks, with one signature per secret.

    Args:
        secrets: Each ``whsec_`` and base64, or any text.
        identity: The event's id.
    """
    at = at or datetime.now(UTC)
    return {
        "content-type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(_signer(secret).sign(identity, at, body.decode()) for secret in secrets),
    }


def _signer(secret: str) -> Webhook:
    return Webhook(secret) if secret.startswith("whsec_") else Webhook(secret.encode())


def trial_event(webhook: str, identity: str, at: datetime) -> dict[str, Any]:
    """Build the event by which an operator tries a webhook."""
    return {
        "id": identity,
        "object": "event",
        "created_at": int(at.timestamp()),
        "type": TEST_EVENT,
        "data": {"webhook": webhook},
    }
