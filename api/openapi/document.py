"""Describes the plain ASGI endpoints in ``/openapi.json``, beside what FastAPI knows of its functions."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.openapi import examples
from api.openapi.batches import batch_operations
from api.openapi.jobs import JOB_EXAMPLE, describe_answers
from api.openapi.parts import ASYNC_HEADERS, BYTES, ENVELOPES, errors, headers_of, operation_id, parameters
from api.openapi.surfaces import SURFACE_SCHEMAS, surface_operations
from api.routes.async_jobs import PREFIX as ASYNC_PREFIX
from api.routes.inference import PREFIXES
from shared.surfaces.request_types import MODEL, REQUEST_TYPES, RESPONSES, RequestType

_made: dict[str, dict[str, Any]] = {}
"""By version. A reload builds an application anew, and the document, which takes 0.4 s of CPU, is the same."""


def describe(app: FastAPI) -> None:
    """Give the application a schema that holds every path it serves; all applications of a process have one."""

    def schema() -> dict[str, Any]:
        if app.version not in _made:
            _made[app.version] = _schema(app)
        return _made[app.version]

    app.openapi = schema  # type: ignore[method-assign] # FastAPI's documented way


def _schema(app: FastAPI) -> dict[str, Any]:
    known = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    paths: dict[str, Any] = known.setdefault("paths", {})
    _describe_our_errors(known)
    for request_type in REQUEST_TYPES:
        for prefix in PREFIXES:
            paths[f"{prefix}/{request_type.path}"] = {"post": _answer_operation(request_type, prefix)}
        paths.update(_async_operations(request_type))
    for prefix in PREFIXES:
        paths.update(_response_operations(prefix))
        paths.update(batch_operations(prefix))
    paths.update(surface_operations())
    describe_answers(paths)
    components = known.setdefault("components", {})
    components.setdefault("schemas", {}).update(_SCHEMAS | SURFACE_SCHEMAS)
    components.setdefault("securitySchemes", {}).update(_SECURITY_SCHEMES)
    for path, operations in paths.items():
        for operation in operations.values():
            if path.startswith("/api/"):
                _restrict_to_administrators(operation)
            elif operation["tags"] != ["operations"]:
                operation["security"] = [{"VirtualKey": []}, {}]  # required where the gateway requires keys
    used = {tag for operations in paths.values() for operation in operations.values() for tag in operation["tags"]}
    known["tags"] = examples.tags(used)
    return known


def _restrict_to_administrators(operation: dict[str, Any]) -> None:
    """Say of an operation that it is for administrators, and how it refuses others."""
    operation["security"] = [{"AdminKey": []}]
    responses = operation["responses"]
    responses.pop("422", None)  # the framework's own form, which is not used here
    responses.update(errors("400", "404", "503"))
    for status, text in (
        ("401", "The admin key is missing or wrong."),
        ("429", "Too many wrong keys; see `Retry-After`."),
    ):
        responses.update({status: {**errors("401")["401"], "description": text}})


def _describe_our_errors(known: dict[str, Any]) -> None:
    """Replace FastAPI's description of refused input: callers get a 400 in their surface's envelope."""
    for path, operations in known["paths"].items():
        named = (name for prefix, name in ENVELOPES.items() if path.startswith(prefix))
        refused = errors("400", schema=next(named, "ErrorEnvelope"))
        for operation in operations.values():
            reads_query = any(parameter["in"] == "query" for parameter in operation.get("parameters", ()))
            if operation["responses"].pop("422", None) or reads_query:
                operation["responses"] = refused | operation["responses"]
    for name in ("HTTPValidationError", "ValidationError"):
        known.get("components", {}).get("schemas", {}).pop(name, None)


def _answer_operation(request_type: RequestType, prefix: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
    if request_type.binary or request_type.form == "multipart":
        answer["*/*"] = BYTES  # sound, or a transcript in the form that was asked for
    if request_type.streams:
        answer["text/event-stream"] = {"schema": {"type": "string"}}
    return {
        "tags": ["inference"],
        "summary": f"{request_type.name}: answer, stream, submit or poll",
        "operationId": operation_id("post", f"{prefix}/{request_type.path}"),
        "parameters": parameters(*ASYNC_HEADERS),
        "requestBody": _body(request_type),
        "responses": {
            "200": {
                "description": "The answer; for a job that is open its type's empty form with `id` and `status`.",
                "headers": headers_of("x-request-id", "x-bf-async-id", "x-bf-async-status", "Retry-After"),
                "content": answer,
            },
            **errors(),
        },
    }


def _async_operations(request_type: RequestType) -> dict[str, Any]:
    path = f"{ASYNC_PREFIX}/{request_type.path}"
    one = f"{path}/{{job_id}}"
    job_id = {"name": "job_id", "in": "path", "required": True, "schema": {"type": "string"}}
    submit = {
        "tags": ["jobs"],
        "summary": f"{request_type.name}: submit a job",
        "operationId": operation_id("post", path),
        "parameters": parameters(*ASYNC_HEADERS),
        "requestBody": _body(request_type),
        "responses": {
            "200": _enveloped("It has ended within `x-bf-async-wait`."),
            "202": _enveloped("Accepted; `Location` says where to ask.", "Location", "Retry-After"),
            **errors(),
        },
    }
    poll = {
        "tags": ["jobs"],
        "summary": f"{request_type.name}: ask for a job",
        "operationId": operation_id("get", one),
        "parameters": [job_id, *parameters(("x-bf-async-wait", "Seconds to wait for the outcome; at most 60."))],
        "responses": {
            "200": _enveloped("Completed, failed or cancelled."),
            "202": _enveloped("Not ended yet.", "Retry-After"),
            **errors("401", "404", "503"),
        },
    }
    content = {
        "tags": ["jobs"],
        "summary": f"{request_type.name}: the bytes of a result",
        "operationId": operation_id("get", f"{one}/content"),
        "parameters": [job_id, *parameters()],
        "responses": {
            "200": {
                "description": "The result as the provider gave it.",
                "content": {"application/json": {"schema": {}}, "*/*": BYTES},
            },
            "202": _enveloped("Not ended yet.", "Retry-After"),
            **errors("401", "404", "409", "503"),
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
        "operationId": operation_id(method, path),
        "parameters": [response_id, *parameters()],
        "responses": {
            "200": {"description": "Done.", "content": {"application/json": {"schema": {"type": "object"}}}},
            **errors("400", "401", "404", "503"),
        },
    }


def _body(request_type: RequestType) -> dict[str, Any]:
    multipart = request_type.form == "multipart"
    properties = {field.name: dict(field.schema) for field in (MODEL, *request_type.fields)}
    schema = {
        "type": "object",
        "required": list(request_type.required),
        "properties": properties,
        "additionalProperties": True,
    }
    content: dict[str, Any] = {"schema": schema}
    if request_type.name in examples.BY_REQUEST_TYPE:
        content["example"] = examples.BY_REQUEST_TYPE[request_type.name]
    return {"required": True, "content": {"multipart/form-data" if multipart else "application/json": content}}


def _enveloped(description: str, *headers: str) -> dict[str, Any]:
    return {
        "description": description,
        "headers": headers_of("x-request-id", *headers),
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobEnvelope"}}},
    }


def _text_or_null() -> dict[str, Any]:
    return {"type": ["string", "null"]}


_TIME = {"type": "string", "format": "date-time"}
_SECURITY_SCHEMES: dict[str, Any] = {
    "AdminKey": {"type": "http", "scheme": "bearer"},
    "VirtualKey": {"type": "apiKey", "in": "header", "name": "x-bf-vk"},
}
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
            "lane": {"enum": ["now", "flex", "batch", "least_cost"], "description": "Of jobs that can wait."},
            "expected_saving_usd": {"type": "number"},
            "promote_at": _TIME,
            "status_code": {"type": "integer"},
            "result": {"description": "The provider's answer; bytes as base64."},
            "result_type": {"type": "string", "description": "Of a result that is not JSON."},
            "error": {"type": "object"},
        },
        "example": JOB_EXAMPLE,
    },
}
