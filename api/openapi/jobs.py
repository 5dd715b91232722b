"""Examples of what the routes of jobs and of the queue answer, and the schemas of those that have no model."""

from collections.abc import Mapping
from typing import Any

_ID = "5d2f7a52-5f0c-4b8c-9d0e-3b1f6a1c2d3e"
_PENDING: dict[str, Any] = {
    "id": _ID,
    "object": "job",
    "request_id": "req_8f14e45fceea4f0b",
    "status": "pending",
    "request_type": "chat.completions",
    "model": "openai/gpt-4o",
    "created_at": "2026-11-22T20:43:30.125Z",
    "attempts": 0,
    "labels": {"app": "search"},
    "queue_position": 3,
    "estimated_start_at": "2026-11-22T20:43:31.000Z",
}
_ATTEMPT: dict[str, Any] = {
    "run": 1,
    "worker": "worker-1",
    "provider": "openai",
    "model": "gpt-4o",
    "key": "main",
    "status": 200,
    "code": None,
    "started_at": "2026-11-22T20:43:30.410Z",
    "duration_ms": 812,
    "input_tokens": 9,
    "output_tokens": 12,
    "cost_usd": 0.0001425,
}
_ENDED: dict[str, Any] = {
    **{
        name: _PENDING[name] for name in ("id", "object", "request_id", "request_type", "model", "created_at", "labels")
    },
    "status": "completed",
    "attempts": 1,
    "started_at": "2026-11-22T20:43:30.401Z",
    "completed_at": "2026-11-22T20:43:31.230Z",
    "expires_at": "2026-11-22T21:43:31.230Z",
    "status_code": 200,
}
JOB_EXAMPLE: dict[str, Any] = {
    **_ENDED,
    "history": [_ATTEMPT],
    "result": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}],
    },
}
"""The envelope of a job that has ended."""
_CANCELLED: dict[str, Any] = {
    **{name: value for name, value in _ENDED.items() if name != "started_at"},
    "status": "cancelled",
    "attempts": 0,
    "status_code": 409,
    "error": {
        "message": "The job was cancelled.",
        "type": "invalid_request_error",
        "param": None,
        "code": "job_cancelled",
    },
}
_PAUSE: dict[str, Any] = {
    "id": "provider:openai",
    "object": "pause",
    "scope": "provider:openai",
    "reason": "outage",
    "until": "2026-11-23T06:00:00.000Z",
    "created_at": "2026-11-22T20:43:30.125Z",
}
_QUEUE: dict[str, Any] = {
    "depth": 12,
    "oldest_age_s": 1.4,
    "priorities": {
        "high": {"depth": 0, "oldest_age_s": 0.0},
        "normal": {"depth": 12, "oldest_age_s": 1.4},
        "low": {"depth": 0, "oldest_age_s": 0.0},
    },
    "deferred": 2,
    "running": 8,
    "dead": 1,
    "callers": {"team-a": 14},
    "workers": [],
}


def _page(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data": [entry], "first_id": entry["id"], "last_id": entry["id"], "has_more": False}


_JOB = {"$ref": "#/components/schemas/JobEnvelope"}
_JOBS = {
    "type": "object",
    "required": ["object", "data", "first_id", "last_id", "has_more"],
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": _JOB},
        "first_id": {"type": ["string", "null"]},
        "last_id": {"type": ["string", "null"]},
        "has_more": {"type": "boolean"},
    },
}
_ANY = {"type": "object"}
_ANSWERS: Mapping[tuple[str, str], tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    ("get", "/v1/async/jobs"): (_JOBS, _page(_ENDED)),
    ("get", "/v1/async/jobs/{job_id}"): (_JOB, JOB_EXAMPLE),
    ("delete", "/v1/async/jobs/{job_id}"): (_ANY, {"id": _ID, "object": "job", "deleted": True}),
    ("get", "/v1/async/jobs/{job_id}/content"): ({}, JOB_EXAMPLE["result"]),
    ("post", "/v1/async/jobs/{job_id}/cancel"): (_JOB, _CANCELLED),
    ("post", "/v1/async/jobs/{job_id}/retry"): (_JOB, _PENDING),
    ("get", "/api/jobs"): (_JOBS, _page(_ENDED)),
    ("get", "/api/jobs/dead"): (_JOBS, _page({**_ENDED, "status": "failed", "status_code": 502})),
    ("get", "/api/jobs/{job_id}"): (_JOB, JOB_EXAMPLE),
    ("post", "/api/jobs/{job_id}/cancel"): (_JOB, _CANCELLED),
    ("post", "/api/jobs/{job_id}/retry"): (_JOB, _PENDING),
    ("get", "/api/queue"): (_ANY, _QUEUE),
    ("get", "/api/queue/pauses"): (_ANY, _page(_PAUSE)),
    ("put", "/api/queue/pauses/{scope}"): (_ANY, _PAUSE),
    ("delete", "/api/queue/pauses/{scope}"): (
        _ANY,
        {"id": "provider:openai", "object": "pause", "scope": "provider:openai", "deleted": True},
    ),
}


def describe_answers(paths: Mapping[str, Any]) -> None:
    """Add schema and example to the successful answers of these routes; an envelope that is not final comes as 202."""
    for (method, path), (schema, example) in _ANSWERS.items():
        responses = paths[path][method]["responses"]
        for status, answer in responses.items():
            if status == "202" and method == "get":
                answer["content"] = {"application/json": {"schema": _JOB, "example": _PENDING}}
            elif status.startswith("2"):
                content = answer.setdefault("content", {}).setdefault("application/json", {})
                content.update({"schema": dict(schema), "example": example})
