"""Which requests may be answered from the cache, and which answers may be stored. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from shared.surfaces.request_types import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, RESPONSES, RequestType

# Their output is the caller's to make: the others are run by the provider, whose answers are of their hour.
_CALLERS_TOOLS = frozenset({"function", "custom"})
_CONTINUES = ("previous_response_id", "conversation", "prompt")
# Models that search the web with every answer, without being asked to.
_SEARCHING_PROVIDERS = frozenset({"perplexity"})
_SEARCHING_MODELS = ("search-preview", "search-api", ":online")
_CUT = frozenset({"content_filter", "error"})
# Requests with none of these are not looked at further.
_TELLING = frozenset({"tools", "web_search_options", "modalities", *_CONTINUES, "input"})


def bypass_reason(request_type: RequestType, fields: Mapping[str, Any], provider: str, model: str) -> str:
    """Return why a request does not use the cache, as a token; empty: it does.

    Args:
        request_type: The endpoint.
        fields: The body.
        provider: The provider that it resolves to.
        model: As the provider calls it.
    """
    if _TELLING.isdisjoint(fields):
        return "live-model" if _is_live(provider, model) else ""
    tools = fields.get("tools")
    if (tools and not all(map(_is_callers, _list(tools)))) or fields.get("web_search_options"):
        return "tools"
    if _is_live(provider, model):
        return "live-model"
    if "audio" in _list(fields.get("modalities")):
        return "audio"
    if request_type is RESPONSES and _continues(fields):
        return "conversation"
    return ""


@lru_cache(maxsize=256)  # few models, and every look-up names one
def _is_live(provider: str, model: str) -> bool:
    """Whether a model searches the web with every answer."""
    return provider in _SEARCHING_PROVIDERS or any(part in model for part in _SEARCHING_MODELS)


def _is_callers(tool: object) -> bool:
    """Whether a tool is run by the caller; one without a type is a function of an old form."""
    return isinstance(tool, Mapping) and tool.get("type", "function") in _CALLERS_TOOLS


def _continues(fields: Mapping[str, Any]) -> bool:
    if any(fields.get(name) is not None for name in _CONTINUES):
        return True
    return any(
        isinstance(item, Mapping) and item.get("type") == "item_reference" for item in _list(fields.get("input"))
    )


def may_store(request_type: RequestType, body: bytes, answer: object = None) -> bool:
    """Whether an answer is complete and worth storing: not empty, not refused, not cut by a filter.

    Args:
        request_type: The endpoint.
        body: The answer.
        answer: The same, parsed, where it was; None: it is parsed here.
    """
    try:
        answer = orjson.loads(body) if answer is None else answer
    except orjson.JSONDecodeError:
        return False
    if not isinstance(answer, dict) or answer.get("error"):
        return False
    if request_type is CHAT:
        choices = _list(answer.get("choices"))
        return bool(choices) and all(_is_whole_message(choice) for choice in choices)
    if request_type is COMPLETIONS:
        choices = _list(answer.get("choices"))
        return bool(choices) and all(_is_whole_text(choice) for choice in choices)
    if request_type is RESPONSES:
        return answer.get("status") == "completed" and bool(answer.get("output"))
    if request_type is EMBEDDINGS:
        return bool(answer.get("data"))
    return request_type is MODERATIONS and bool(answer.get("results"))


def _is_whole_message(choice: object) -> bool:
    if not isinstance(choice, dict) or not _is_ended(choice):
        return False
    message = choice.get("message")
    if not isinstance(message, dict) or message.get("refusal"):
        return False
    return bool(message.get("content") or message.get("tool_calls") or message.get("function_call"))


def _is_whole_text(choice: object) -> bool:
    return isinstance(choice, dict) and _is_ended(choice) and bool(choice.get("text"))


def _is_ended(choice: Mapping[str, Any]) -> bool:
    reason = choice.get("finish_reason")
    return isinstance(reason, str) and reason not in _CUT


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
