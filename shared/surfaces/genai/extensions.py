"""Takes out of a chat request what only Google's own models understand, or refuses it."""

from collections.abc import Mapping
from typing import Any

from shared.surfaces.dialect import Dialect
from shared.surfaces.fields import unsupported

DROPPED_ELSEWHERE: Mapping[str, str] = {
    "generationConfig.thinkingConfig": "sent as reasoning_effort; a budget of -1 leaves it to the model",
    "generationConfig.mediaResolution, contents[].parts[].mediaResolution, .partMetadata": "only Google has it",
    "generationConfig.audioTimestamp, .enableEnhancedCivicAnswers": "when they are false",
    "safetySettings": "thresholds that block nothing (OFF, BLOCK_NONE): other providers have filters of their own",
    "labels": "only Google's billing uses them",
    "toolConfig.retrievalConfig": "where Google's own tools search; those are refused",
    "taskType, title": "of embeddings: other models know no tasks",
    "thoughtSignature": "only the provider that made it can read it",
    "contents[].parts[].thought": "only the provider that signed thoughts can check them",
}
"""What a request to another model than Google's loses, by design, and why; all else that it cannot say is refused."""

_DROPPED_NATIVE = frozenset({"thinking_config", "labels", "retrieval_config", "task_type", "title"})
_HARMLESS = frozenset({"OFF", "BLOCK_NONE", "HARM_BLOCK_THRESHOLD_UNSPECIFIED"})
_NAMES = {"cached_content": "cachedContent"}


def without_extensions(chat: dict[str, Any], *, dialect: Dialect) -> dict[str, Any]:
    """The request as a target takes it: unchanged for Gemini, OpenAI's own fields for the others.

    Args:
        chat: A chat or embeddings request that may hold extensions.
        dialect: Which extensions the target understands.

    Raises:
        UnsupportedParameter: Something would be lost that the caller would miss: cached content, filters, tools that
            run at Google, their results, pictures by the model.
    """
    if dialect.google:
        return chat
    _refuse_native((chat.get("extra_body") or {}).get("google") or {})
    if "top_k" in chat and not dialect.top_k:
        raise unsupported("generationConfig.topK", "this provider has no such control.")
    plain = {name: value for name, value in chat.items() if name != "extra_body"}
    if "messages" in plain:
        blocks = {"thinking_blocks"} if dialect.claude else set()
        plain["messages"] = [_plain_message(message, keep=blocks) for message in plain["messages"]]
    return plain


def _refuse_native(native: Mapping[str, Any]) -> None:
    for tool in native.get("tools", ()):
        raise unsupported("tools", f"only Google's own models have {', '.join(tool)}.")
    for option, value in native.get("generation_config", {}).items():
        if option != "mediaResolution" and value is not False:
            raise unsupported(f"generationConfig.{option}", "only Google's own models have it.")
    for index, setting in enumerate(native.get("safety_settings", ())):
        threshold = setting.get("threshold") if isinstance(setting, Mapping) else None
        if threshold not in _HARMLESS:
            raise unsupported(f"safetySettings[{index}]", "only Google's own models have such filters.")
    for name in native:
        if name not in _DROPPED_NATIVE | {"generation_config", "safety_settings"}:
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
    google = (part.get("extra_content") or {}).get("google") or {}
    if "videoMetadata" in google.get("part", {}):
        raise unsupported("contents[].parts[].videoMetadata", "only Google's own models watch videos in part.")
    kind, plain = part["type"], _without(part, "extra_content")
    return {**plain, kind: _without(part[kind], "format")} if kind in {"image_url", "file"} else plain


def _without(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}
