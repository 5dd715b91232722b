"""Output items, usage and the end of a Response: made here for complete answers and for streams alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.surfaces.responses.encrypted_content import Carried, seal
from shared.surfaces.responses.items import item_id
from shared.surfaces.responses.skeleton import SERVICE_TIERS

Item = dict[str, Any]

# Chat's finish reason -> why the Response is incomplete; every other is the natural end.
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclass(slots=True)
class Ending:
    """What is known when the model has stopped.

    Attributes:
        finish_reason: Chat's, None where the provider does not say.
        usage: Chat's token counts, None where the provider does not say.
        service_tier: What the provider says it served with.
    """

    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    service_tier: str | None = None


@dataclass(slots=True)
class Call:
    """A function call, its arguments as far as they have come."""

    call_id: str
    name: str
    arguments: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


def reasoning_item(response_id: str, ordinal: int, text: str, carried: Carried, status: str) -> Item:
    """Reasoning: its text as the summary, what was signed of it as ``encrypted_content``."""
    return {
        "type": "reasoning",
        "id": item_id("reasoning", response_id, ordinal),
        "status": status,
        "summary": [summary_part(text)] if text else [],
        "encrypted_content": seal(carried),
    }


def summary_part(text: str) -> Item:
    """The one part of a reasoning item's summary."""
    return {"type": "summary_text", "text": text}


def message_item(response_id: str, parts: Sequence[Item], status: str) -> Item:
    """What the model says to the user."""
    return {
        "type": "message",
        "id": item_id("message", response_id, 0),
        "status": status,
        "role": "assistant",
        "content": list(parts),
    }


def text_part(text: str, annotations: Sequence[Item] = (), logprobs: Sequence[Mapping[str, Any]] = ()) -> Item:
    """Text of a message."""
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": list(logprobs)}


def refusal_part(text: str) -> Item:
    """The model's refusal as a part of a message."""
    return {"type": "refusal", "refusal": text}


def call_item(response_id: str, ordinal: int, call: Call, status: str) -> Item:
    """A function call; what its provider wants to see again with it stays beside it as ``extra_content``."""
    item = {
        "type": "function_call",
        "id": item_id("function_call", response_id, ordinal),
        "status": status,
        "call_id": call.call_id or minted_call_id(response_id, ordinal),
        "name": call.name,
        "arguments": call.arguments,
    }
    return {**item, "extra_content": call.extra} if call.extra else item


def minted_call_id(response_id: str, ordinal: int) -> str:
    """A call id where the provider gave none."""
    return item_id("function_call", response_id, ordinal).replace("fc_", "call_", 1)


def item_status(ending: Ending, *, last: bool) -> str:
    """An item's status once the model has stopped: the last one is where it was cut."""
    return "incomplete" if last and ending.finish_reason in _INCOMPLETE else "completed"


def response_usage(usage: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Chat's token counts in Responses' names, every detail always there."""
    if not usage:
        return None
    before, after = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    read, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    return {
        "input_tokens": read,
        "input_tokens_details": {
            "cached_tokens": _count(before, "cached_tokens"),
            "cache_write_tokens": _count(before, "cache_write_tokens"),
        },
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": _count(after, "reasoning_tokens")},
        "total_tokens": _count(usage, "total_tokens") or read + written,
    }


def _count(counts: object, name: str) -> int:
    value = counts.get(name) if isinstance(counts, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def ended(skeleton: Mapping[str, Any], output: list[Item], ending: Ending, completed_at: int) -> dict[str, Any]:
    """The final Response.

    Args:
        skeleton: ``response_skeleton`` of the request.
        output: The items, in their order.
        ending: How the model stopped.
        completed_at: Unix seconds; set for completed ones only.
    """
    reason = _INCOMPLETE.get(ending.finish_reason or "")
    tier = ending.service_tier
    if tier not in SERVICE_TIERS:
        tier = "default" if skeleton["service_tier"] == "auto" else skeleton["service_tier"]
    return {
        **skeleton,
        "status": "incomplete" if reason else "completed",
        "completed_at": None if reason else completed_at,
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
        "usage": response_usage(ending.usage),
        "service_tier": tier,
    }
