"""A generateContent request of a caller as a chat completion request.

Source: https://ai.google.dev/api/generate-content
"""

from collections.abc import Mapping
from typing import Any

from shared.errors import InvalidRequest
from shared.surfaces.fields import need_list, need_object, need_text, unsupported
from shared.surfaces.genai.contents import chat_messages
from shared.surfaces.genai.generation import chat_options
from shared.surfaces.genai.spelling import read_object
from shared.surfaces.genai.tools import chat_choice, chat_tools

DROPPED: Mapping[str, str] = {
    "model": "the path says it",
    "tools[].functionDeclarations[].response, .responseJsonSchema": "what a result will be; the model reads results",
    "tools[].functionDeclarations[].behavior": "of live sessions only",
    "toolConfig.functionCallingConfig": "where no functions are declared: there is nothing to choose from",
    "contents[].parts[].functionResponse.willContinue, .scheduling": "of live sessions only",
    "contents[].parts[].fileData.displayName": "a name for people; of inlineData it is passed on as the file's",
    "generationConfig.responseSchema.propertyOrdering": "JSON objects have no order",
    "store": "what is logged at Google is not logged here",
}
"""Request fields that are not passed on to any provider, by design, and why."""

_TIERS = {"unspecified": "auto", "standard": "default", "flex": "flex", "priority": "priority"}
_READ = frozenset(
    {
        "model",
        "contents",
        "systemInstruction",
        "generationConfig",
        "tools",
        "toolConfig",
        "safetySettings",
        "cachedContent",
        "labels",
        "serviceTier",
        "store",
    }
)


def chat_request(body: Mapping[str, Any], *, model: str, stream: bool = False) -> dict[str, Any]:
    """The chat completion request that means the same.

    What OpenAI's format has no words for is in ``extra_body.google`` and ``extra_content.google``, where our Gemini
    wire finds it; ``without_extensions`` takes it out for the others.

    Args:
        body: A GenerateContentRequest, in camelCase or snake_case.
        model: From the path, without ``models/``.
        stream: The method was ``streamGenerateContent``.

    Raises:
        UnsupportedParameter: Something has no counterpart; ``param`` is its path.
        InvalidRequest: It is no such request.
    """
    fields = read_object(body, "body")
    unknown = fields.keys() - _READ
    if unknown:
        raise unsupported(min(unknown), "the gateway does not know the field.")
    chat: dict[str, Any] = {"model": model, "messages": chat_messages(fields)}
    if not chat["messages"]:
        raise InvalidRequest("contents must not be empty.", param="contents")
    options, native = chat_options(fields.get("generationConfig", {}))
    chat |= options | _tools(fields, native) | _tier(fields)
    native |= _native(fields)
    if native:
        chat["extra_body"] = {"google": native}
    if stream:
        chat |= {"stream": True, "stream_options": {"include_usage": True}}
    return chat


def count_request(body: Mapping[str, Any], *, model: str) -> dict[str, Any]:
    """The chat request whose tokens ``countTokens`` is to count: contents alone, or a whole request.

    Raises:
        UnsupportedParameter: Something has no counterpart; ``param`` is its path.
        InvalidRequest: It is no such request.
    """
    fields = read_object(body, "body")
    whole = fields.pop("generateContentRequest", None)
    return chat_request(fields if whole is None else need_object(whole, "generateContentRequest"), model=model)


def _tools(fields: Mapping[str, Any], native: dict[str, Any]) -> dict[str, Any]:
    functions, theirs = chat_tools(fields.get("tools", []))
    if theirs:
        native["tools"] = theirs
    config = read_object(fields.get("toolConfig", {}), "toolConfig")
    unknown = config.keys() - {"functionCallingConfig", "retrievalConfig"}
    if unknown:
        raise unsupported(f"toolConfig.{min(unknown)}", "the gateway does not know the field.")
    if "retrievalConfig" in config:
        native["retrieval_config"] = config["retrievalConfig"]
    if not functions:
        return {}
    return {"tools": functions} | chat_choice(config.get("functionCallingConfig", {}))


def _tier(fields: Mapping[str, Any]) -> dict[str, Any]:
    if "serviceTier" not in fields:
        return {}
    tier = need_text(fields["serviceTier"], "serviceTier").lower().removeprefix("service_tier_")
    if tier not in _TIERS:
        raise InvalidRequest(f"serviceTier is none of {', '.join(_TIERS)}.", param="serviceTier")
    return {"service_tier": _TIERS[tier]}


def _native(fields: Mapping[str, Any]) -> dict[str, Any]:
    native: dict[str, Any] = {}
    if "safetySettings" in fields:
        native["safety_settings"] = list(need_list(fields["safetySettings"], "safetySettings"))
    if "cachedContent" in fields:
        native["cached_content"] = need_text(fields["cachedContent"], "cachedContent")
    if "labels" in fields:
        native["labels"] = dict(need_object(fields["labels"], "labels"))
    return native
