"""Describes the plain ASGI endpoints in ``/openapi.json``, beside what FastAPI knows of its functions."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.errors import ANTHROPIC_PREFIX
from api.routes.async_jobs import PREFIX as ASYNC_PREFIX
from api.routes.inference import PREFIXES
from shared.wire.request_types import REQUEST_TYPES, RESPONSES, RequestType

_CALLER = ("x-bf-vk", "The caller's virtual key; it may also be the SDK's API key.")
_ASYNC_HEADERS = (
    ("x-bf-async", "`1/true/yes/on`: submit as a job and answer at once. `0/false/no/off` or empty: answer now."),
    ("x-bf-async-id", "Poll this job; the body is not looked at."),
    ("x-bf-async-job-result-ttl", "Lifetime of the result in seconds from completion; default 3600, capped."),
    ("x-bf-async-wait", "Seconds to wait for the outcome, on submit and on poll; at most 60."),
    ("x-bf-async-webhook", "Name of a configured webhook, or an https URL, called when the job ends."),
    ("x-bf-async-priority", "`high`, `normal` (default) or `low`."),
    ("x-bf-async-delay", "Seconds until the earliest start."),
    ("x-bf-async-deadline", "Seconds from submit; past it the job fails with 504 `deadline_exceeded`."),
    ("Prefer", "`wait=N`: as `x-bf-async-wait`."),
    ("Idempotency-Key", "The same key, caller and body within 24 h give the same job; another body is a 409."),
)
_ERRORS = {
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


def describe(app: FastAPI) -> None:
    """Give the application a schema that holds every path it serves."""

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _schema(app)
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign] # FastAPI's documented way


def _schema(app: FastAPI) -> dict[str, Any]:
    known = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    paths: dict[str, Any] = known.setdefault("paths", {})
    _say_our_errors(known)
    for request_type in REQUEST_TYPES:
        for prefix in PREFIXES:
            paths[f"{prefix}/{request_type.path}"] = {"post": _answer_operation(request_type, prefix)}
        paths.update(_async_operations(request_type))
    paths.update(_anthropic_operation("messages", "model", "max_tokens", "messages"))
    paths.update(_anthropic_operation("messages/count_tokens", "model", "messages"))
    for prefix in PREFIXES:
        paths.update(_response_operations(prefix))
    known.setdefault("components", {}).setdefault("schemas", {}).update(_SCHEMAS)
    return known


def _say_our_errors(known: dict[str, Any]) -> None:
    """What FastAPI says of refused input is not what a caller gets: a 400 in the envelope of its surface."""
    for path, operations in known["paths"].items():
        refused = _errors("400", envelope="AnthropicError" if path.startswith(ANTHROPIC_PREFIX) else "ErrorEnvelope")
        for operation in operations.values():
            if operation["responses"].pop("422", None):
                operation["responses"] |= refused
    for name in ("HTTPValidationError", "ValidationError"):
        known.get("components", {}).get("schemas", {}).pop(name, None)


def _anthropic_operation(name: str, *required: str) -> dict[str, Any]:
    path = f"{ANTHROPIC_PREFIX}v1/{name}"
    schema = {"type": "object", "required": list(required), "properties": {field: _FIELDS[field] for field in required}}
    operation = {
        "tags": ["anthropic"],
        "summary": f"{name}, as Anthropic has it",
        "operationId": _operation_id("post", path),
        "parameters": _parameters(*_ASYNC_HEADERS),
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {
                "description": "The answer; for a job that is open a message without content.",
                "content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": _TEXT},
            },
            **_errors(envelope="AnthropicError"),
        },
    }
    return {path: {"post": operation}}


def _answer_operation(request_type: RequestType, prefix: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
    if request_type.binary or request_type.form == "multipart":
        answer["*/*"] = _BYTES  # sound, or a transcript in the form that was asked for
    if request_type.streams:
        answer["text/event-stream"] = _TEXT
    return {
        "tags": ["inference"],
        "summary": f"{request_type.name}: answer, stream, submit or poll",
        "operationId": _operation_id("post", f"{prefix}/{request_type.path}"),
        "parameters": _parameters(*_ASYNC_HEADERS),
        "requestBody": _body(request_type),
        "responses": {
            "200": {
                "description": "The answer; for a job that is open its type's empty form with `id` and `status`.",
                "headers": _headers("x-request-id", "x-bf-async-id", "x-bf-async-status", "Retry-After"),
                "content": answer,
            },
            **_errors(),
        },
    }


def _async_operations(request_type: RequestType) -> dict[str, Any]:
    path = f"{ASYNC_PREFIX}/{request_type.path}"
    one = f"{path}/{{job_id}}"
    job_id = {"name": "job_id", "in": "path", "required": True, "schema": {"type": "string"}}
    submit = {
        "tags": ["jobs"],
        "summary": f"{request_type.name}: submit a job",
        "operationId": _operation_id("post", path),
        "parameters": _parameters(*_ASYNC_HEADERS),
        "requestBody": _body(request_type),
        "responses": {
            "200": _enveloped("It has ended within `x-bf-async-wait`."),
            "202": _enveloped("Accepted; `Location` says where to ask.", "Location", "Retry-After"),
            **_errors(),
        },
    }
    poll = {
        "tags": ["jobs"],
        "summary": f"{request_type.name}: ask for a job",
        "operationId": _operation_id("get", one),
        "parameters": [job_id, *_parameters(("x-bf-async-wait", "Seconds to wait for the outcome; at most 60."))],
        "responses": {
            "200": _enveloped("Completed, failed or cancelled."),
            "202": _enveloped("Not ended yet.", "Retry-After"),
            **_errors("401", "404", "503"),
        },
    }
    content = {
        "tags": ["jobs"],
        "summary": f"{request_type.name}: the bytes of a result",
        "operationId": _operation_id("get", f"{one}/content"),
        "parameters": [job_id, *_parameters()],
        "responses": {
            "200": {
                "description": "The result as the provider gave it.",
                "content": {"application/json": {"schema": {}}, "*/*": _BYTES},
            },
            "202": _enveloped("Not ended yet.", "Retry-After"),
            **_errors("401", "404", "409", "503"),
        },
    }
    return {path: {"post": submit}, one: {"get": poll}, f"{one}/content": {"get": content}}


def _response_operations(prefix: str) -> dict[str, Any]:
    one = f"{prefix}/{RESPONSES.path}/{{response_id}}"
    return {
        one: {
            "get": _response_operation("get", one, "Retrieve a response, ours or a provider's"),
            "delete": _response_operation("delete", one, "Delete a response"),
        },
        f"{one}/cancel": {"post": _response_operation("post", f"{one}/cancel", "Cancel a background response")},
        f"{one}/input_items": {"get": _response_operation("get", f"{one}/input_items", "List a response's input")},
    }


def _response_operation(method: str, path: str, summary: str) -> dict[str, Any]:
    response_id = {"name": "response_id", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "tags": ["responses"],
        "summary": summary,
        "operationId": _operation_id(method, path),
        "parameters": [response_id, *_parameters()],
        "responses": {
            "200": {"description": "Done.", "content": {"application/json": {"schema": {"type": "object"}}}},
            **_errors("400", "401", "404", "503"),
        },
    }


def _parameters(*headers: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in (_CALLER, *headers)
    ]


def _body(request_type: RequestType) -> dict[str, Any]:
    files = {"file", "image", "mask"}
    multipart = request_type.form == "multipart"
    properties: dict[str, Any] = {
        name: _BYTES["schema"] if multipart and name in files else _FIELDS.get(name, {})
        for name in ("model", *request_type.required)
    }
    schema = {
        "type": "object",
        "required": list(request_type.required),
        "properties": properties,
        "additionalProperties": True,
    }
    return {
        "required": True,
        "content": {"multipart/form-data" if multipart else "application/json": {"schema": schema}},
    }


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"schema": {"type": "string"}} for name in names}


def _enveloped(description: str, *headers: str) -> dict[str, Any]:
    return {
        "description": description,
        "headers": _headers("x-request-id", *headers),
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobEnvelope"}}},
    }


def _errors(*statuses: str, envelope: str = "ErrorEnvelope") -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{envelope}"}}}
    return {status: {"description": _ERRORS[status], "content": content} for status in statuses or _ERRORS}


def _operation_id(method: str, path: str) -> str:
    return "_".join(part.strip("{}") for part in (method, *path.strip("/").split("/")))


def _text_or_null() -> dict[str, Any]:
    return {"type": ["string", "null"]}


_FIELDS: dict[str, dict[str, Any]] = {
    "model": {"type": "string", "minLength": 1, "examples": ["openai/gpt-4o-mini"]},
    "messages": {
        "type": "array",
        "minItems": 1,
        "items": {"type": "object", "required": ["role"], "properties": {"role": {"type": "string"}, "content": {}}},
    },
    "prompt": {"type": ["string", "array"], "minLength": 1, "minItems": 1},
    "input": {"type": ["string", "array"], "minLength": 1, "minItems": 1},
    "max_tokens": {"type": "integer", "minimum": 1},
    "voice": {"type": ["string", "object"], "examples": ["alloy"]},
}
_TEXT = {"schema": {"type": "string"}}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_TIME = {"type": "string", "format": "date-time"}
_SCHEMAS: dict[str, Any] = {
    "ErrorEnvelope": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": _text_or_null(),
                    "code": _text_or_null(),
                },
            }
        },
    },
    "AnthropicError": {
        "type": "object",
        "required": ["type", "error"],
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "required": ["type", "message"],
                "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
            },
            "request_id": _text_or_null(),
        },
    },
    "JobEnvelope": {
        "type": "object",
        "required": ["id", "request_id", "status", "request_type", "model", "created_at", "attempts"],
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "job"},
            "request_id": {"type": "string"},
            "status": {"enum": ["pending", "processing", "completed", "failed", "cancelled"]},
            "request_type": {"type": "string"},
            "model": {"type": "string"},
            "created_at": _TIME,
            "started_at": _TIME,
            "estimated_start_at": _TIME,
            "completed_at": _TIME,
            "expires_at": _TIME,
            "attempts": {"type": "integer"},
            "queue_position": {"type": "integer"},
            "status_code": {"type": "integer"},
            "result": {"description": "The provider's answer; bytes as base64."},
            "result_type": {"type": "string", "description": "Of a result that is not JSON."},
            "error": {"type": "object"},
        },
    },
}
