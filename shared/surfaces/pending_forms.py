"""The empty answer of each request type, with ``id`` and ``status``: what an SDK gets while its job is open.

Every body passes the strict validation of the official SDKs. A chat completion has ``choices: []`` (missing or null
breaks ``parse``), a response all the fields that https://www.openresponses.org marks as required, embeddings one empty
vector (with none the Python SDK raises before its caller sees the id).
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from shared.surfaces.responses.skeleton import response_skeleton

OpenStatus = Literal["queued", "in_progress", "cancelled", "failed"]


class Pending(NamedTuple):
    """An open job, as its body describes it.

    Attributes:
        created: Unix seconds.
        echo: What a response repeats of its request: ``echo_of`` at submit.
        error: OpenAI's error object, of a failed response.
        background: Whether a response was asked for in OpenAI's own background mode.
    """

    job_id: str
    status: OpenStatus
    model: str
    created: int
    echo: Mapping[str, Any] = {}
    error: Mapping[str, Any] | None = None
    background: bool = False


def pending_job(pending: Pending) -> dict[str, Any]:
    """An object with nothing but the job."""
    return {"id": pending.job_id, "model": pending.model, "status": pending.status}


def pending_chat(pending: Pending) -> dict[str, Any]:
    """A chat completion without choices."""
    return {
        "id": pending.job_id,
        "object": "chat.completion",
        "created": pending.created,
        "model": pending.model,
        "choices": [],
        "usage": None,
        "service_tier": None,
        "system_fingerprint": None,
        "status": pending.status,
    }


def pending_completion(pending: Pending) -> dict[str, Any]:
    """A text completion without choices."""
    return {
        "id": pending.job_id,
        "object": "text_completion",
        "created": pending.created,
        "model": pending.model,
        "choices": [],
        "usage": None,
        "status": pending.status,
    }


def pending_embeddings(pending: Pending) -> dict[str, Any]:
    """A list of one empty embedding, which the SDKs can read."""
    return {
        "id": pending.job_id,
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": []}],
        "model": pending.model,
        "usage": {"prompt_tokens": 0, "total_tokens": 0},
        "status": pending.status,
    }


def pending_moderation(pending: Pending) -> dict[str, Any]:
    """A moderation without results."""
    return {"id": pending.job_id, "model": pending.model, "results": [], "status": pending.status}


def pending_images(pending: Pending) -> dict[str, Any]:
    """A list of no images."""
    return {"id": pending.job_id, "created": pending.created, "data": [], "status": pending.status}


def pending_speech(pending: Pending) -> dict[str, Any]:
    """Speech has no JSON form of its own: an object that says what it will be."""
    return {
        "id": pending.job_id,
        "object": "audio.speech",
        "created": pending.created,
        "model": pending.model,
        "status": pending.status,
    }


def pending_transcript(pending: Pending) -> dict[str, Any]:
    """A transcript without text."""
    return {"id": pending.job_id, "text": "", "model": pending.model, "status": pending.status}


def pending_response(pending: Pending) -> dict[str, Any]:
    """A Response without output."""
    body = response_skeleton(
        {"model": pending.model, **pending.echo},
        response_id=pending.job_id,
        created_at=pending.created,
        status=pending.status,
        background=pending.background,
        error=pending.error,
    )
    body["model"] = pending.model
    return body
