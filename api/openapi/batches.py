"""Describes ``/files`` and ``/batches`` for ``/openapi.json``."""

from typing import Any

_VIRTUAL_KEY = {
    "name": "x-bf-vk",
    "in": "header",
    "required": False,
    "description": "The caller's virtual key; it may also be the SDK's API key.",
    "schema": {"type": "string"},
}
_PROVIDER = {
    "name": "x-bf-provider",
    "in": "header",
    "required": False,
    "description": "The provider whose files and batches are meant; `finops`: those that are kept and run here.",
    "schema": {"type": "string"},
}
_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorEnvelope"}}}
_OBJECT = {"application/json": {"schema": {"type": "object"}}}
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_PAGE = ("after", "limit")
_UPLOAD = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["file", "purpose"],
            "properties": {
                "purpose": {"type": "string"},
                "file": {"type": "string", "format": "binary"},
                "provider": {"type": "string"},
                "expires_after[anchor]": {"type": "string"},
                "expires_after[seconds]": {"type": "string"},
            },
        }
    }
}
_CREATE = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["input_file_id", "endpoint", "completion_window"],
            "properties": {
                "input_file_id": {"type": "string"},
                "endpoint": {"type": "string"},
                "completion_window": {"type": "string"},
                "metadata": {"type": ["object", "null"]},
                "output_expires_after": {"type": ["object", "null"]},
            },
        }
    }
}


def batch_operations(prefix: str) -> dict[str, Any]:
    """The paths below a prefix."""
    files, batches = f"{prefix}/files", f"{prefix}/batches"
    file, batch = f"{files}/{{file_id}}", f"{batches}/{{batch_id}}"
    return {
        files: {
            "get": _operation(
                "get", files, "List files: ours, then the default provider's", "purpose", "order", *_PAGE
            ),
            "post": _operation("post", files, "Upload a file", body=_UPLOAD),
        },
        file: {
            "get": _operation("get", file, "A file"),
            "delete": _operation("delete", file, "Delete a file that no open batch reads"),
        },
        f"{file}/content": {"get": _operation("get", f"{file}/content", "The bytes of a file", answer=_BYTES)},
        batches: {
            "get": _operation("get", batches, "List batches: ours, then the default provider's", *_PAGE),
            "post": _operation("post", batches, "Run the requests of an uploaded file", body=_CREATE),
        },
        batch: {"get": _operation("get", batch, "A batch")},
        f"{batch}/cancel": {"post": _operation("post", f"{batch}/cancel", "Stop a batch; what is done is kept")},
    }


def _operation(
    method: str,
    path: str,
    summary: str,
    *query: str,
    body: dict[str, Any] | None = None,
    answer: dict[str, Any] = _OBJECT,
) -> dict[str, Any]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    parameters += [{"name": name, "in": "query", "required": False, "schema": {"type": "string"}} for name in query]
    operation: dict[str, Any] = {
        "tags": ["batches"],
        "summary": summary,
        "operationId": "_".join(part.strip("{}") for part in (method, *path.strip("/").split("/"))),
        "parameters": [*parameters, _VIRTUAL_KEY, _PROVIDER],
        "responses": {
            "200": {"description": "Done.", "content": answer},
            **{
                status: {"description": description, "content": _ERROR}
                for status, description in (
                    ("400", "Something is not understood; `param` names it."),
                    ("401", "No, or an unknown, virtual key."),
                    ("404", "Unknown, expired, or another caller's."),
                    ("409", "It is in use, or has ended, or the idempotency key came with another body."),
                    ("413", "The file is too large, or there is no room for it."),
                    ("429", "Too many batches; see `Retry-After`."),
                    ("503", "The job store cannot be reached; see `Retry-After`."),
                )
            },
        },
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": body}
    return operation
