"""What an SDK is given instead of an answer while its job is open: the type's empty form, with ``id`` and ``status``.

Every body passes the strict validation of the official SDKs. A chat completion has ``choices: []`` (missing or null
breaks ``parse``), a response all the fields that https://www.openresponses.org marks as required, embeddings one empty
vector (with none the Python SDK raises before its caller sees the id).
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import orjson

from shared.surfaces.request_types import RequestType
from shared.surfaces.responses.skeleton import response_skeleton

OpenStatus = Literal["queued", "in_progress", "cancelled", "failed"]

MAX_ECHO_BYTES = 4096


class Pending(NamedTuple):
    """The facts of an open job that its body says.

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


def pending_body(request_type: RequestType, pending: Pending) -> bytes:
    """The JSON body for a job of that type."""
    return orjson.dumps(_FORMS[request_type.name](pending))


def _chat(pending: Pending) -> dict[str, Any]:
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


def _completion(pending: Pending) -> dict[str, Any]:
    return {
        "id": pending.job_id,
        "object": "text_completion",
        "created": pending.created,
        "model": pending.model,
        "choices": [],
        "usage": None,
        "status": pending.status,
    }


def _embeddings(pending: Pending) -> dict[str, Any]:
    return {
        "id": pending.job_id,
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": []}],
        "model": pending.model,
        "usage": {"prompt_tokens": 0, "total_tokens": 0},
        "status": pending.status,
    }


def _moderation(pending: Pending) -> dict[str, Any]:
    return {"id": pending.job_id, "model": pending.model, "results": [], "status": pending.status}


def _images(pending: Pending) -> dict[str, Any]:
    return {"id": pending.job_id, "created": pending.created, "data": [], "status": pending.status}


def _speech(pending: Pending) -> dict[str, Any]:
    return {
        "id": pending.job_id,
        "object": "audio.speech",
        "created": pending.created,
        "model": pending.model,
        "status": pending.status,
    }


def _text(pending: Pending) -> dict[str, Any]:
    return {"id": pending.job_id, "text": "", "model": pending.model, "status": pending.status}


def _response(pending: Pending) -> dict[str, Any]:
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


_FORMS: Mapping[str, Callable[[Pending], dict[str, Any]]] = {
    "chat.completions": _chat,
    "responses": _response,
    "completions": _completion,
    "embeddings": _embeddings,
    "moderations": _moderation,
    "images.generations": _images,
    "images.edits": _images,
    "images.variations": _images,
    "audio.speech": _speech,
    "audio.transcriptions": _text,
    "audio.translations": _text,
}


def echo_of(request_type: RequestType, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What of a request its pending body repeats: for responses, the settings that OpenAI repeats; else nothing.

    Fields of more than ``MAX_ECHO_BYTES`` are left out, as this is kept with the job.
    """
    if request_type.name != "responses":
        return {}
    shown = response_skeleton(fields, response_id="", created_at=0)
    return {name: shown[name] for name in fields if name in shown and _is_short(shown[name])}


def _is_short(value: object) -> bool:
    return len(orjson.dumps(value)) <= MAX_ECHO_BYTES
