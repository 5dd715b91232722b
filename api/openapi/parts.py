"""Building blocks of operation descriptions."""

from collections.abc import Mapping
from typing import Any

from shared.surfaces.request_types import BINARY, REQUEST_TYPES

CALLER = ("x-bf-vk", "The caller's virtual key; it may also be the SDK's API key.")
ASYNC_HEADERS = (
    (
        "x-bf-async",
        "`1/true/yes/on`: as a job. `overflow`: now where there is room, else as a job. `0/false/no/off`, empty: now.",
    ),
    ("x-bf-async-id", "Poll this job; the body is not looked at."),
    ("x-bf-async-job-result-ttl", "Lifetime of the result in seconds from completion; default 3600, capped."),
    ("x-bf-async-wait", "Seconds to wait for the outcome, on submit and on poll; at most 60."),
    ("x-bf-async-webhook", "Name of a configured webhook, or an https URL, called when the job ends."),
    ("x-bf-async-priority", "`high`, `normal` (default) or `low`."),
    ("x-bf-async-delay", "Seconds until the earliest start."),
    ("x-bf-async-deadline", "Seconds from submit; past it the job fails with 504 `deadline_exceeded`."),
    ("x-bf-async-patience", "Seconds that the caller can wait for the answer, so that it may cost less; 0: now."),
    ("Prefer", "`wait=N`: as `x-bf-async-wait`."),
    ("Idempotency-Key", "The same key, caller and body within 24 h give the same job; another body is a 409."),
    ("Cache-Control", "For the cache: `no-store`, `no-cache`, `max-age=N`, `only-if-cached` (504 without an answer)."),
    ("x-bf-cache-key", "A part of your cache: only answers stored under the same key are served."),
    ("x-bf-cache-ttl", "How long the answer is stored: seconds, or 30s, 5m, 1h, 1d; capped."),
    ("x-bf-cache-no-store", "`true`: a stored answer may be served, this one is not stored."),
    ("x-bf-run-id", "The run that the request belongs to; see `GET /v1/runs/{run_id}`."),
    ("x-bf-run-budget-usd", "Budget of the run in USD; the first request sets it, later ones may lower it."),
)
FIELDS: dict[str, Mapping[str, Any]] = {
    **{field.name: field.schema for request_type in REQUEST_TYPES for field in request_type.fields},
    "max_tokens": {"type": "integer", "minimum": 1},
    "contents": {"type": ["array", "object", "string"]},
}
"""Schemas of the fields of all surfaces, by name."""
BYTES = {"schema": dict(BINARY)}
ENVELOPES = {"/anthropic/": "AnthropicError", "/genai/": "GenaiError"}
ERRORS = {
    "400": "The request cannot be served as it stands; `param` names what is wrong.",
    "401": "No, or an unknown, virtual key.",
    "404": "No such job: unknown, expired, another caller's or another type's.",
    "409": "The job was cancelled, or the idempotency key came with another body.",
    "413": "The body is larger than this gateway takes.",
    "429": "Too much at once; see `Retry-After`.",
    "502": "The provider gave no usable answer.",
    "503": "The job store cannot be reached; see `Retry-After`.",
    "504": "The provider, or the job, took too long.",
}


def parameters(*headers: tuple[str, str]) -> list[dict[str, Any]]:
    """The caller's key, and further headers with what they mean."""
    return [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in (CALLER, *headers)
    ]


def headers_of(*names: str) -> dict[str, Any]:
    """Headers of a response."""
    return {name: {"schema": {"type": "string"}} for name in names}


def errors(*statuses: str, schema: str = "ErrorEnvelope") -> dict[str, Any]:
    """Responses that are errors, all or some, in a surface's envelope."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {status: {"description": ERRORS[status], "content": content} for status in statuses or ERRORS}


def operation_id(method: str, path: str) -> str:
    """One of its own for each operation."""
    return "_".join(part.strip("{}") for part in (method, *path.strip("/").split("/")))
