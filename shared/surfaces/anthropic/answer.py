"""What callers of the Messages format are answered: messages, counts, models, errors.

Sources: https://platform.claude.com/docs/en/api/messages, .../api/errors, .../api/models-list
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from shared.clock import rfc3339
from shared.errors import UpstreamFailure
from shared.surfaces.fields import MISSHAPEN

ERROR_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}

_STOP_REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use"}
_TIERS = {"default": "standard", "priority": "priority"}


def message_of(completion: Mapping[str, Any]) -> dict[str, Any]:
    """A complete chat completion as a Message; the first choice is the answer.

    Raises:
        UpstreamFailure: It is not a chat completion; wires of OpenAI's format pass on what came unread.
    """
    try:
        return _message(completion)
    except MISSHAPEN as error:
        raise UpstreamFailure("The provider's answer is not a chat completion.") from error


def _message(completion: Mapping[str, Any]) -> dict[str, Any]:
    choice: Mapping[str, Any] = next(iter(completion.get("choices") or []), {})
    answered = choice.get("message") or {}
    message = bare_message(str(completion.get("id", "")), str(completion.get("model", "")))
    message["content"] = _content(answered)
    message |= stop_of(choice, refusal=answered.get("refusal"), calls=bool(answered.get("tool_calls")))
    message["usage"] = usage_of(completion.get("usage"))
    tier = _TIERS.get(str(completion.get("service_tier")))
    if tier:
        message["usage"]["service_tier"] = tier
    return message


def bare_message(message_id: str, model: str) -> dict[str, Any]:
    """A Message that says nothing yet."""
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_of(None),
    }


def pending_message(job_id: str, model: str, status: str) -> dict[str, Any]:
    """The answer while a job is live (``queued``, ``in_progress``): a Message without content."""
    return bare_message(job_id, model) | {"status": status}


def stop_of(choice: Mapping[str, Any], *, refusal: object, calls: bool) -> dict[str, Any]:
    """``stop_reason``, ``stop_sequence`` and, for refusals, ``stop_details``."""
    finish = choice.get("finish_reason")
    sequence = choice.get("stop_reason") if isinstance(choice.get("stop_reason"), str) else None
    if finish == "content_filter":
        details = {"type": "refusal", "category": None, "explanation": refusal or None}
        return {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
    if finish == "stop" and calls:
        return {"stop_reason": "tool_use", "stop_sequence": None}
    if finish == "stop" and sequence is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": sequence}
    return {"stop_reason": _STOP_REASONS.get(str(finish), "end_turn"), "stop_sequence": None}


def usage_of(usage: object) -> dict[str, Any]:
    """Token counts in Anthropic's names; ``input_tokens`` leave out what came from or went to a cache."""
    counts = usage if isinstance(usage, Mapping) else {}
    read = _detail(counts, "prompt_tokens_details", "cached_tokens")
    written = _detail(counts, "prompt_tokens_details", "cache_write_tokens")
    named: dict[str, Any] = {
        "input_tokens": max(0, int(counts.get("prompt_tokens") or 0) - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": int(counts.get("completion_tokens") or 0),
    }
    thought = _detail(counts, "completion_tokens_details", "reasoning_tokens")
    hour = _detail(counts, "prompt_tokens_details", "cache_write_1h_tokens")
    if hour:
        kept = {"ephemeral_5m_input_tokens": max(0, written - hour), "ephemeral_1h_input_tokens": hour}
        named |= {"cache_creation": kept}
    searches = _detail(counts, "server_tool_use", "web_search_requests")
    if searches:
        named |= {"server_tool_use": {"web_search_requests": searches}}
    return named | ({"output_tokens_details": {"thinking_tokens": thought}} if thought else {})


def _detail(counts: Mapping[str, Any], group: str, name: str) -> int:
    details = counts.get(group)
    return int(details.get(name) or 0) if isinstance(details, Mapping) else 0


def _content(answered: Mapping[str, Any]) -> list[dict[str, Any]]:
    blocks = [dict(block) for block in answered.get("thinking_blocks") or []]
    thought = answered.get("reasoning_content") or answered.get("reasoning")
    if not blocks and isinstance(thought, str):
        blocks.append({"type": "thinking", "thinking": thought, "signature": ""})
    texts = [answered[name] for name in ("content", "refusal") if answered.get(name)]
    blocks += [{"type": "text", "text": text} for text in texts]
    for call in answered.get("tool_calls") or []:
        function = call.get("function") or {}
        given = tool_input(str(function.get("arguments") or ""))
        called = {"id": call.get("id"), "name": function.get("name"), "input": given}
        blocks.append({"type": "tool_use", **called})
    return blocks


def tool_input(arguments: str) -> dict[str, Any]:
    """The arguments as an object; what the model wrote wrong or not to the end, under ``invalid_json``."""
    try:
        given = orjson.loads(arguments) if arguments.strip() else {}
    except orjson.JSONDecodeError:
        return {"invalid_json": arguments}
    return given if isinstance(given, dict) else {"invalid_json": arguments}


def error_of(status: int, error: Mapping[str, Any], request_id: str | None = None) -> dict[str, Any]:
    """Anthropic's envelope for OpenAI's error object; serves a failed job as well.

    ``code`` and ``param`` stay beside what the format knows: they tell a full queue from a rate limit.
    """
    kind = ERROR_TYPES.get(status, "invalid_request_error" if 400 <= status < 500 else "api_error")
    if status not in ERROR_TYPES and error.get("type") in ERROR_TYPES.values():
        kind = str(error["type"])
    details = {name: error[name] for name in ("code", "param") if error.get(name) is not None}
    body = {"type": kind, "message": str(error.get("message") or "The request failed."), **details}
    return {"type": "error", "error": body, "request_id": request_id}


def counted(input_tokens: int) -> dict[str, int]:
    """The answer of ``count_tokens``."""
    return {"input_tokens": input_tokens}


def models_page(
    models: Sequence[Mapping[str, Any]],
    *,
    limit: int = 20,
    after_id: str | None = None,
    before_id: str | None = None,
) -> dict[str, Any]:
    """A page of OpenAI's model objects as Anthropic lists them.

    Args:
        models: Objects with ``id`` and ``created`` (Unix seconds), in the order to list them.
        limit: Most models of a page, 1 to 1000.
        after_id: Only those behind this one.
        before_id: Only those before this one, the nearest.
    """
    names = [model["id"] for model in models]
    start = names.index(after_id) + 1 if after_id in names else 0
    end = names.index(before_id) if before_id in names else len(models)
    if before_id in names:
        start = max(start, end - limit)
    page = [model_of(model) for model in models[start:end][:limit]]
    more = start > 0 if before_id in names else start + len(page) < end
    return {
        "data": page,
        "has_more": more,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


def model_of(model: Mapping[str, Any]) -> dict[str, Any]:
    """One model; an unknown release date is the epoch, as Anthropic has it."""
    return {
        "type": "model",
        "id": model["id"],
        "display_name": model.get("name") or model["id"],
        "created_at": rfc3339(int(model.get("created") or 0)),
        "lifecycle": "active",
    }
