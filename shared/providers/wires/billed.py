"""What answers are charged for beside their tokens: the service tier, and calls of the provider's own tools."""

from collections.abc import Mapping
from typing import Any

SEARCHES = "web_search_requests"
_CALLS = {"web_search_call": SEARCHES, "file_search_call": "file_search_requests"}
_CODE_CALL, _SESSIONS = "code_interpreter_call", "code_interpreter_sessions"


def billed_usage(usage: Mapping[str, Any], answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the usage with the answer's service tier, and the calls of tools that the provider ran.

    Args:
        usage: As the provider counts it.
        answer: The completion, its last chunk, or the Response.
    """
    tier, output = answer.get("service_tier"), answer.get("output")
    more: dict[str, Any] = {"service_tier": tier} if isinstance(tier, str) else {}
    if isinstance(output, list) and (tools := _tools(output)):
        more["server_tool_use"] = tools
    return {**usage, **more} if more else usage


def _tools(output: list[Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    containers = set()
    for item in output:
        kind = item.get("type") if isinstance(item, dict) else None
        name = _CALLS.get(kind) if isinstance(kind, str) else None
        if name is not None and _is_charged(item):
            counts[name] = counts.get(name, 0) + 1
        elif kind == _CODE_CALL:
            containers.add(str(item.get("container_id")))
    return {**counts, _SESSIONS: len(containers)} if containers else counts


def _is_charged(call: Mapping[str, Any]) -> bool:
    """Opening a page that was found, or finding in one, is part of its search."""
    action = call.get("action")
    return not isinstance(action, Mapping) or action.get("type", "search") == "search"
