"""Takes out of a chat request what only Google's own models understand."""

from collections.abc import Mapping
from typing import Any

from shared.wire.fields import unsupported

DROPPED_ELSEWHERE: Mapping[str, str] = {
    "generationConfig.topK": "other providers have no such control (Anthropic's has, and gets it)",
    "generationConfig.thinkingConfig": "said as reasoning_effort",
    "generationConfig.mediaResolution, .audioTimestamp, .enableEnhancedCivicAnswers": "how Google reads and answers",
    "safetySettings": "other providers have filters of their own",
    "labels": "Google's bills are sorted by them",
    "toolConfig.retrievalConfig": "where Google searches",
    "thoughtSignature": "only who made it can read it",
    "contents[].parts[].thought": "thoughts go back to who can check their signature",
}
"""What a request to another provider than Google loses, by design, and why."""

_DROPPED_NATIVE = frozenset({"thinking_config", "safety_settings", "labels", "retrieval_config", "task_type", "title"})
_DROPPED_OPTIONS = frozenset({"mediaResolution", "audioTimestamp", "enableEnhancedCivicAnswers"})
_NAMES = {"cached_content": "cachedContent"}


def without_extensions(chat: Mapping[str, Any], *, wire: str) -> dict[str, Any]:
    """The request as the wire takes it: unchanged for ``gemini``, OpenAI's own fields for the others.

    Raises:
        UnsupportedParameter: Something would be lost that the caller would miss: cached content, tools that run at
            Google, their results, pictures by the model.
    """
    if wire == "gemini":
        return dict(chat)
    kept = {"top_k"} if wire == "anthropic" else set()
    _refuse_native((chat.get("extra_body") or {}).get("google") or {})
    plain = {name: value for name, value in chat.items() if name not in {"extra_body", "top_k"} - kept}
    if "messages" in plain:
        blocks = {"thinking_blocks"} if wire == "anthropic" else set()
        plain["messages"] = [_plain_message(message, keep=blocks) for message in plain["messages"]]
    return plain


def _refuse_native(native: Mapping[str, Any]) -> None:
    for tool in native.get("tools", ()):
        raise unsupported("tools", f"only Google's own models have {', '.join(tool)}.")
    for option in native.get("generation_config", {}):
        if option not in _DROPPED_OPTIONS:
            raise unsupported(f"generationConfig.{option}", "only Google's own models have it.")
    for name in native:
        if name not in _DROPPED_NATIVE | {"generation_config"}:
            raise unsupported(_NAMES.get(name, name), "only Google's own models have it.")


def _plain_message(message: Mapping[str, Any], keep: set[str]) -> dict[str, Any]:
    google = (message.get("extra_content") or {}).get("google") or {}
    if google.get("parts"):
        raise unsupported("contents", f"only Google's own models read {', '.join(google['parts'][0])}.")
    if message.get("images"):
        raise unsupported("contents", "this provider reads no pictures that a model made.")
    extensions = {"extra_content", "reasoning_content", "thinking_blocks"} - keep
    plain = {name: value for name, value in message.items() if name not in extensions}
    if isinstance(plain.get("content"), list):
        plain["content"] = [_plain_part(part) for part in plain["content"]]
    if "tool_calls" in plain:
        plain["tool_calls"] = [_without(call, "extra_content") for call in plain["tool_calls"]]
    return plain


def _plain_part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    return {**part, kind: _without(part[kind], "format")} if kind in {"image_url", "file"} else dict(part)


def _without(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}
