"""The types of Google's own SDK, which take no unknown field, as judges of what we send and of what we make up."""

from typing import Any

from google.genai import types

_TOP = {
    "systemInstruction": types.Content,
    "generationConfig": types.GenerationConfig,
    "toolConfig": types.ToolConfig,
}
_LISTS = {"contents": types.Content, "tools": types.Tool, "safetySettings": types.SafetySetting}
_PLAIN = {"cachedContent": str, "labels": dict, "serviceTier": types.ServiceTier}


def judge_request(body: dict[str, Any]) -> None:
    """Raises unless the SDK's types take every field of the generateContent request."""
    for name, value in body.items():
        if name in _LISTS:
            for each in value:
                _judge(_LISTS[name], each)
        elif name in _TOP:
            _judge(_TOP[name], value)
        else:
            _PLAIN[name](value)


def judge_embedding(body: dict[str, Any]) -> None:
    """Raises unless the request of an embedding method is one."""
    for each in body.get("requests", [body]):
        fields = dict(each)
        fields.pop("model", None)
        _judge(types.Content, fields.pop("content"))
        _judge(types.EmbedContentConfig, fields.pop("embedContentConfig", fields))


def judge_answer(body: dict[str, Any]) -> types.GenerateContentResponse:
    """The SDK's response; raises unless it is one to the letter."""
    return types.GenerateContentResponse.model_validate(body)


def _judge(model: Any, value: dict[str, Any]) -> None:
    assert (
        model.model_validate(value, by_alias=True).model_dump(by_alias=True, exclude_none=True).keys() == value.keys()
    )
