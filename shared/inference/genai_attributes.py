"""Attributes of spans by OpenTelemetry's GenAI conventions, from requests and answers in OpenAI's form.

https://github.com/open-telemetry/semantic-conventions-genai
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from shared.telemetry.tracing import Value

PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""Well-known values of gen_ai.provider.name; any other provider is named as it is configured."""

_OPERATIONS: Final = {
    "chat.completions": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
_REQUESTED: Final = {
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
}
_PORTS: Final = {"http": 80, "https": 443}
_MAX_TEXT: Final = 200
_MAX_LIST: Final = 16


def operation_name(request_type: str) -> str:
    """Return ``gen_ai.operation.name``: a well-known one, else the request type."""
    return _OPERATIONS.get(request_type, request_type)


def request_attributes(fields: Mapping[str, Any]) -> dict[str, Value]:
    """Return what a request asks for.

    Args:
        fields: The request's body. Values of unexpected types are left out, texts and lists are bounded.
    """
    found: dict[str, Value] = {}
    for field, attribute in _REQUESTED.items():
        value = fields.get(field)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[attribute] = value
    choices = fields.get("n")
    if isinstance(choices, int) and not isinstance(choices, bool) and choices != 1:
        found["gen_ai.request.choice.count"] = choices
    stop = fields.get("stop")
    if sequences := _texts([stop] if isinstance(stop, str) else stop):
        found["gen_ai.request.stop_sequences"] = sequences
    if isinstance(wanted := fields.get("response_format"), dict):
        found["gen_ai.output.type"] = "text" if wanted.get("type") == "text" else "json"
    return found


@functools.lru_cache(maxsize=256)
def server_attributes(base_url: str) -> Mapping[str, Value]:
    """Return the address of a provider."""
    url = urlsplit(base_url)
    return {"server.address": url.hostname or "", "server.port": url.port or _PORTS.get(url.scheme, 0)}


def read_answer(body: bytes) -> dict[str, Any]:
    """Parse a chat's answer; empty if it is not a JSON object."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def response_attributes(body: Mapping[str, Any]) -> dict[str, Value]:
    """Return the id of a chat's answer, and why each of its choices ended; what is missing is left out."""
    found: dict[str, Value] = {}
    if isinstance(answer_id := body.get("id"), str):
        found["gen_ai.response.id"] = answer_id[:_MAX_TEXT]
    if reasons := _texts([choice.get("finish_reason") for choice in _choices(body)]):
        found["gen_ai.response.finish_reasons"] = reasons
    return found


def usage_attributes(usage: Mapping[str, Any]) -> dict[str, Value]:
    """Return the token counts of an answer, from a provider's usage in either of OpenAI's forms."""
    inside = {name: usage.get(name) for name in ("prompt_tokens_details", "input_tokens_details")}
    outside = {name: usage.get(name) for name in ("completion_tokens_details", "output_tokens_details")}
    counts = {
        "gen_ai.usage.input_tokens": usage.get("prompt_tokens", usage.get("input_tokens")),
        "gen_ai.usage.output_tokens": usage.get("completion_tokens", usage.get("output_tokens")),
        "gen_ai.usage.cache_read.input_tokens": _detail(inside, "cached_tokens"),
        "gen_ai.usage.cache_creation.input_tokens": _detail(inside, "cache_write_tokens"),
        "gen_ai.usage.reasoning.output_tokens": _detail(outside, "reasoning_tokens"),
    }
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def input_messages(fields: Mapping[str, Any]) -> str:
    """Return ``gen_ai.input.messages`` of a chat, JSON: roles with parts."""
    messages = fields.get("messages")
    entries = messages if isinstance(messages, list) else ()
    return orjson.dumps([_message(entry) for entry in entries if isinstance(entry, dict)]).decode()


def output_messages(body: Mapping[str, Any]) -> str:
    """Return ``gen_ai.output.messages`` of a chat's answer, JSON: a message with its end for each choice."""
    found = [
        {**_message(choice["message"]), "finish_reason": str(choice.get("finish_reason") or "")}
        for choice in _choices(body)
        if isinstance(choice.get("message"), dict)
    ]
    return orjson.dumps(found).decode()


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as a role with parts: texts, calls of tools and their results; other parts are left out."""
    content = message.get("content")
    parts = [{"type": "text", "content": text} for text in _part_texts(content)]
    if message.get("role") == "tool":
        result = "\n".join(part["content"] for part in parts)
        parts = [{"type": "tool_call_response", "id": str(message.get("tool_call_id", "")), "result": result}]
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and isinstance(function := call.get("function"), dict):
            part = {"type": "tool_call", "id": str(call.get("id", "")), "name": str(function.get("name", ""))}
            parts.append({**part, "arguments": str(function.get("arguments", ""))})
    return {"role": str(message.get("role", "")), "parts": parts}


def _part_texts(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else ()
    return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]


def _choices(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    choices = body.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def _texts(values: Iterable[object] | None) -> list[str]:
    found = [value[:_MAX_TEXT] for value in values if isinstance(value, str)] if isinstance(values, list) else []
    return found[:_MAX_LIST]


def _detail(tables: Mapping[str, Any], name: str) -> object:
    return next((table[name] for table in tables.values() if isinstance(table, dict) and table.get(name)), None)
