"""Describes the surfaces of other formats than OpenAI's, and Azure's paths."""

from collections.abc import Mapping
from typing import Any

from api.http.errors import ANTHROPIC_PREFIX, GENAI_PREFIX
from api.openapi import examples
from api.openapi.parts import ASYNC_HEADERS, BYTES, FIELDS, errors, headers_of, operation_id, parameters
from api.routes import genai
from api.routes.deployments import AZURE_TYPES
from shared.surfaces.request_types import RequestType

_KEY = {"name": "key", "in": "query", "description": "The caller's key, as Google's query has it."}
_ALT = {"name": "alt", "in": "query", "description": "`sse`: server-sent events; else a stream is one JSON array."}
_API_VERSION = {"name": "api-version", "in": "query", "description": "Any; one format serves them all."}
_REQUIRED = {"generateContent": ("contents",), "embedContent": ("content",), "batchEmbedContents": ("requests",)}

SURFACE_SCHEMAS: dict[str, Any] = {
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
            "request_id": {"type": ["string", "null"]},
        },
    },
    "GenaiError": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message", "status"],
                "properties": {
                    "code": {"type": "integer"},
                    "message": {"type": "string"},
                    "status": {"type": "string"},
                    "details": {"type": "array", "items": {"type": "object"}},
                },
            }
        },
    },
}


def surface_operations() -> dict[str, Any]:
    """The paths, each with its operation."""
    messages = f"{ANTHROPIC_PREFIX}v1/messages"
    required = ("model", "messages")
    counted = {name: examples.ANTHROPIC[name] for name in required}
    paths = {
        messages: _operation(
            "anthropic",
            messages,
            "Messages: answer, stream, submit or poll",
            (*required, "max_tokens"),
            example=examples.ANTHROPIC,
        ),
        f"{messages}/count_tokens": _operation(
            "anthropic",
            f"{messages}/count_tokens",
            "Count the tokens of a request",
            required,
            jobs=False,
            example=counted,
        ),
    }
    for request_type in AZURE_TYPES:
        path = f"/openai/deployments/{{deployment}}/{request_type.path}"
        paths[path] = _deployment(path, request_type)
    for version in genai.VERSIONS:
        for parent in genai.PATHS:
            for method in genai.METHODS:
                path = f"{GENAI_PREFIX}{version}{parent}/models/{{model}}:{method}"
                paths[path] = _method(path, method)
    return paths


def _method(path: str, method: str) -> dict[str, Any]:
    required = _REQUIRED.get(method.replace("streamG", "g"), ())
    more = [_KEY, *([_ALT] if method.startswith("stream") else [])]
    jobs = method not in {"countTokens", "streamGenerateContent"}
    summary = f"{method}: " + ("answer, submit or poll" if jobs else "answer")
    return _operation(
        "genai", path, summary, required, more=more, jobs=jobs, example=examples.BY_GENAI_METHOD.get(method)
    )


def _deployment(path: str, request_type: RequestType) -> dict[str, Any]:
    multipart = request_type.form == "multipart"
    named = tuple(name for name in request_type.required if name != "model")
    example = examples.BY_REQUEST_TYPE.get(request_type.name, {})
    operation = _operation(
        "azure",
        path,
        f"{request_type.name} of a deployment: answer, stream, submit or poll",
        named,
        more=[_API_VERSION],
        media_type="multipart/form-data" if multipart else "application/json",
        example={name: value for name, value in example.items() if name != "model"},
    )
    if request_type.binary or multipart:
        operation["post"]["responses"]["200"]["content"]["*/*"] = BYTES
    return operation


def _operation(
    tag: str,
    path: str,
    summary: str,
    required: tuple[str, ...],
    *,
    more: list[dict[str, Any]] | None = None,
    jobs: bool = True,
    media_type: str = "application/json",
    example: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A path with its one operation: a POST."""
    named = [part[1:-1] for step in path.split("/") for part in [step.partition(":")[0]] if part.startswith("{")]
    text = {"schema": {"type": "string"}}
    in_path = [{"name": name, "in": "path", "required": True, **text} for name in named]
    in_query = [{**each, "required": False, **text} for each in more or ()]
    schema = {
        "type": "object",
        "required": list(required),
        "properties": {name: FIELDS.get(name, {}) for name in required},
        "additionalProperties": True,
    }
    envelope = {"anthropic": "AnthropicError", "genai": "GenaiError"}.get(tag, "ErrorEnvelope")
    headers = headers_of("x-request-id", *(("x-bf-async-id", "x-bf-async-status", "Retry-After") if jobs else ()))
    answer = {"schema": {"type": "array" if "streamGenerate" in path else "object"}}
    content = {"application/json": answer, "text/event-stream": text}
    return {
        "post": {
            "tags": [tag],
            "summary": summary,
            "operationId": operation_id("post", path.replace(":", "/")),
            "parameters": [*in_path, *in_query, *parameters(*(ASYNC_HEADERS if jobs else ()))],
            "requestBody": {
                "required": True,
                "content": {media_type: {"schema": schema, **({"example": example} if example else {})}},
            },
            "responses": {
                "200": {
                    "description": "The answer; of an open job its empty form.",
                    "headers": headers,
                    "content": content,
                },
                **errors(schema=envelope),
            },
        }
    }
