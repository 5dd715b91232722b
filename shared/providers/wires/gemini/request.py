"""A chat completion request as a generateContent request.

Source: https://ai.google.dev/api/generate-content
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from shared.providers.wires.base import ProviderRequest
from shared.providers.wires.gemini.contents import read_conversation
from shared.providers.wires.gemini.generation import PLAIN_FIELDS, read_generation
from shared.providers.wires.gemini.models import traits_of
from shared.providers.wires.gemini.thinking import read_thinking
from shared.providers.wires.gemini.tools import read_choice, read_tools
from shared.providers.wires.reading import plain_names, refuse_unknown
from shared.surfaces.fields import need_list, need_object, present, unsupported

DROPPED: Mapping[str, str] = {
    "fallbacks": "used by the gateway, not sent to the provider",
    "store": "the provider does not store completions",
    "metadata, user, safety_identifier": "the provider has no field for it",
    "prompt_cache_key, prompt_cache_options, prompt_cache_retention": "the provider manages its cache itself",
    "verbosity": "the provider has no such control",
    "prediction": "only speeds up the answer, and the provider does not support it",
    "moderation": "the provider always applies its own; safety_settings in extra_body.google steers it",
    "stream_options.include_obfuscation": "handled by the gateway's own stream",
    "seed": "all but its lowest 31 bits: the provider's seeds are that short",
    "response_format.json_schema.name": "the provider's schemas have no names, descriptions or strictness of their own",
    "tools[].function.strict": "the provider does not guarantee it",
    "parallel_tool_calls": "with false, calls after the first are removed from the answer, and counted",
    "messages[].name": "the provider does not name participants",
    "messages[].reasoning_content": "thoughts are only sent back as their signature (extra_content)",
    "messages[].content": "empty texts: the provider refuses them",
    "messages[].annotations": "part of an answer that SDKs send back",
    "messages[].content[].image_url.detail": "media_resolution in extra_body.google.generation_config says it for all",
    "messages[].content[].file.filename": "the provider does not name files",
}
"""Request fields that do not reach the provider, by design, and why."""

_DROPPED_FIELDS = plain_names(DROPPED) - {"seed"}
# Those whose loss the caller would notice in the answer; refused unless they ask for nothing.
_REFUSED: Mapping[str, tuple[Any, ...]] = {
    "logit_bias": ({},),
    "audio": (),
    "functions": ([],),
    "function_call": ("none",),
}
_READ = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "logprobs",
        "top_logprobs",
        "response_format",
        "modalities",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "web_search_options",
        "reasoning_effort",
        "service_tier",
        "stream",
        "stream_options",
        "extra_body",
        *PLAIN_FIELDS,
    }
)
_TIERS = {"default": "standard", "flex": "flex", "priority": "priority"}
# Of the provider's own format, as its endpoint for OpenAI's clients takes some of them: in extra_body.google.
_NATIVE = {
    "cached_content": "cachedContent",
    "safety_settings": "safetySettings",
    "labels": "labels",
}
_NATIVE_ELSEWHERE = frozenset({"thinking_config", "generation_config", "retrieval_config", "tools"})


def generate_request(request: ProviderRequest) -> dict[str, Any]:
    """The body of a generateContent request.

    Raises:
        UnsupportedParameter: A field cannot be expressed.
        InvalidRequest: A field is not of OpenAI's format.
    """
    fields = present(request.fields)
    refuse_unknown(fields, read=_READ, dropped=_DROPPED_FIELDS, refused=_REFUSED)
    native = native_fields(fields, _NATIVE.keys() | _NATIVE_ELSEWHERE)
    traits = traits_of(request.model)
    system, contents = read_conversation(fields.get("messages"), traits)
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    thinking = native.get("thinking_config") or read_thinking(fields, traits)
    config = read_generation(fields) | ({"thinkingConfig": thinking} if thinking else {})
    config |= need_object(native.get("generation_config", {}), "extra_body.google.generation_config")
    if config:
        body["generationConfig"] = config
    return body | _tools(fields, native) | _tier(fields) | _native(native)


def native_fields(fields: Mapping[str, Any], known: AbstractSet[str]) -> dict[str, Any]:
    """What ``extra_body.google`` says.

    Raises:
        UnsupportedParameter: Something there is not known.
        InvalidRequest: It is not an object.
    """
    extra = need_object(fields.get("extra_body", {}), "extra_body")
    native = present(need_object(extra.get("google") or {}, "extra_body.google"))
    for item_path, unknown in (("extra_body", extra.keys() - {"google"}), ("extra_body.google", native.keys() - known)):
        if unknown:
            raise unsupported(f"{item_path}.{min(unknown)}", "this provider does not know the field.")
    return native


def _tools(fields: Mapping[str, Any], native: Mapping[str, Any]) -> dict[str, Any]:
    tools = [*read_tools(fields), *need_list(native.get("tools", []), "extra_body.google.tools")]
    config = {}
    choice = read_choice(fields)
    if choice and "tools" in fields:
        config["functionCallingConfig"] = choice
    if "retrieval_config" in native:
        config["retrievalConfig"] = native["retrieval_config"]
    return ({"tools": tools} if tools else {}) | ({"toolConfig": config} if config else {})


def _tier(fields: Mapping[str, Any]) -> dict[str, Any]:
    tier = fields.get("service_tier", "auto")
    if tier == "auto":
        return {}
    if not isinstance(tier, str) or tier not in _TIERS:
        raise unsupported("service_tier", f"{tier!r} is none of auto, {', '.join(_TIERS)}.")
    return {"serviceTier": _TIERS[tier]}


def _native(native: Mapping[str, Any]) -> dict[str, Any]:
    return {theirs: native[name] for name, theirs in _NATIVE.items() if name in native}
