"""The Response object before, beside and after its output: everything that the request alone decides.

Every body has all the fields that https://www.openresponses.org/specification requires, whatever the
request holds: a value of the wrong type is replaced by the default, so that a body of ours is always of its
format. Validation happens elsewhere.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]

SERVICE_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})

# Codes that ``error.code`` may have: https://platform.openai.com/docs/api-reference/responses/object#responses/object-error
ERROR_CODES = frozenset(
    {
        "server_error",
        "rate_limit_exceeded",
        "invalid_prompt",
        "data_residency_mismatch",
        "bio_policy",
        "misalignment_policy_violation",
        "vector_store_timeout",
        "invalid_image",
        "invalid_image_format",
        "invalid_base64_image",
        "invalid_image_url",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "image_content_policy_violation",
        "invalid_image_mode",
        "image_file_too_large",
        "unsupported_image_media_type",
        "empty_image_file",
        "failed_to_download_image",
        "image_file_not_found",
    }
)

_CODE_BY_TYPE = {
    "rate_limit_error": "rate_limit_exceeded",
    "insufficient_quota": "rate_limit_exceeded",
    "overloaded_error": "rate_limit_exceeded",
    "invalid_request_error": "invalid_prompt",
}

# Credentials that a caller hands over for a remote tool; a stored or logged body must not repeat them.
_SECRET_TOOL_FIELDS = frozenset({"authorization", "headers"})


def response_skeleton(
    fields: Mapping[str, Any],
    *,
    response_id: str,
    created_at: int,
    status: Status = "queued",
    background: bool = False,
    error: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A Response without output: pending, cancelled or failed, or what a final one is filled into.

    Args:
        fields: The request, as the caller sent it.
        response_id: ``resp_…``, or the job's UUID.
        created_at: Unix seconds.
        status: Where it is in its life.
        background: Whether it is a job.
        error: OpenAI's error object, of a failed one.

    Returns:
        A new dict with all required fields, ``output`` empty.
    """
    return {
        "id": response_id,
        "object": "response",
        "created_at": created_at,
        "completed_at": None,
        "status": status,
        "incomplete_details": None,
        "error": None if error is None else response_error(error),
        "output": [],
        "usage": None,
        "background": background,
        **{name: read(fields.get(name)) for name, read in _ECHOED.items()},
    }


def response_error(error: Mapping[str, Any]) -> dict[str, Any]:
    """``Response.error`` out of OpenAI's error object: the code is one of those that Responses know."""
    code, kind = error.get("code"), error.get("type")
    if not isinstance(code, str) or code not in ERROR_CODES:
        code = _CODE_BY_TYPE.get(str(kind), "server_error")
    return {
        "code": code,
        "message": str(error.get("message") or "The model's provider could not answer."),
        "type": _text_or_none(kind),
        "param": _text_or_none(error.get("param")),
    }


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _one_of(*values: str) -> Callable[[object], str]:
    return lambda value: value if isinstance(value, str) and value in values else values[0]


def _number(default: float) -> Callable[[object], float]:
    return lambda value: value if isinstance(value, int | float) and not isinstance(value, bool) else default


def _integer(default: int | None) -> Callable[[object], int | None]:
    return lambda value: value if isinstance(value, int) and not isinstance(value, bool) else default


def _flag(value: object) -> bool:
    return value if isinstance(value, bool) else True


def _model(value: object) -> str:
    return value if isinstance(value, str) else ""


def _instructions(value: object) -> str | list[Any] | None:
    return value if isinstance(value, str | list) else None


def _metadata(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(text, str)}


def _service_tier(value: object) -> str:
    return value if isinstance(value, str) and value in SERVICE_TIERS else "default"


def _reasoning(value: object) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    summary = value.get("summary") or value.get("generate_summary")
    return {"effort": _text_or_none(value.get("effort")), "summary": _text_or_none(summary)}


def _tools(value: object) -> list[dict[str, Any]]:
    tools = value if isinstance(value, list) else []
    return [visible for tool in tools if isinstance(tool, dict) and (visible := _tool(tool))]


def _tool(tool: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the tool as a response shows it; None if it is not a tool."""
    if not isinstance(tool.get("type"), str):
        return None
    visible = {key: part for key, part in tool.items() if key not in _SECRET_TOOL_FIELDS}
    if tool["type"] != "function":
        return visible
    if not isinstance(tool.get("name"), str):
        return None
    parameters, strict = tool.get("parameters"), tool.get("strict")
    return {
        **visible,
        "description": _text_or_none(tool.get("description")),
        "parameters": parameters if isinstance(parameters, dict) else None,
        "strict": strict if isinstance(strict, bool) else None,
    }


def _tool_choice(value: object) -> str | dict[str, Any]:
    if isinstance(value, dict) and isinstance(value.get("type"), str):
        return value
    return value if isinstance(value, str) and value in {"none", "required"} else "auto"


def _text(value: object) -> dict[str, Any]:
    given = value if isinstance(value, dict) else {}
    visible: dict[str, Any] = {"format": _format(given.get("format"))}
    verbosity = given.get("verbosity")
    if isinstance(verbosity, str) and verbosity in {"low", "medium", "high"}:
        visible["verbosity"] = verbosity
    return visible


def _format(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {"type": "text"}
    if value.get("type") == "json_object":
        return {"type": "json_object"}
    name, schema = value.get("name"), value.get("schema")
    if value.get("type") != "json_schema" or not isinstance(name, str) or not isinstance(schema, dict):
        return {"type": "text"}
    return {
        "type": "json_schema",
        "name": name,
        "description": _text_or_none(value.get("description")),
        "schema": schema,
        "strict": value.get("strict") is True,
    }


# Request field -> how its echo reads it; the defaults are those of the API.
_ECHOED: Mapping[str, Callable[[object], Any]] = {
    "model": _model,
    "previous_response_id": _text_or_none,
    "instructions": _instructions,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "truncation": _one_of("disabled", "auto"),
    "parallel_tool_calls": _flag,
    "text": _text,
    "top_p": _number(1.0),
    "presence_penalty": _number(0.0),
    "frequency_penalty": _number(0.0),
    "top_logprobs": _integer(0),
    "temperature": _number(1.0),
    "reasoning": _reasoning,
    "max_output_tokens": _integer(None),
    "max_tool_calls": _integer(None),
    "store": _flag,
    "service_tier": _service_tier,
    "metadata": _metadata,
    "safety_identifier": _text_or_none,
    "prompt_cache_key": _text_or_none,
    "user": _text_or_none,
}
