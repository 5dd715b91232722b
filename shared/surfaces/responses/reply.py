"""Parsing of a chat model's message, alike from complete answers and from a stream's deltas."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.surfaces.responses.encrypted_content import CARRIED_FIELDS, Carried


class MalformedChat(ValueError):
    """The chat answer is not of OpenAI's format, or says what a Response cannot."""


@dataclass(slots=True)
class ParsedMessage:
    """Text of one message or delta, by what it is."""

    text: str = ""
    refusal: str = ""
    reasoning: str = ""
    carried: Carried = field(default_factory=dict)
    annotations: list[dict[str, Any]] = field(default_factory=list)


def read_message(message: Mapping[str, Any]) -> ParsedMessage:
    """The text in a chat message, or in a stream's delta.

    Reasoning is ``reasoning_content``, or ``reasoning`` as some providers call it. Content may be a text or,
    with some providers, a list of text and thinking parts.

    Raises:
        MalformedChat: Something is not of the format.
    """
    parsed = ParsedMessage(refusal=_text(message, "refusal"), reasoning=_reasoning(message))
    if message.get("audio") or message.get("function_call"):
        raise MalformedChat("spoken answers and the older function calls have no place in a Response")
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            _read_part(parsed, part)
    else:
        parsed.text = _text(message, "content")
    parsed.carried = {name: blocks for name in CARRIED_FIELDS if (blocks := objects(message, name))}
    parsed.annotations = [flat_annotation(annotation) for annotation in objects(message, "annotations")]
    return parsed


def _reasoning(message: Mapping[str, Any]) -> str:
    return _text(message, "reasoning_content") or _text(message, "reasoning")


def _read_part(parsed: ParsedMessage, part: object) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or kind not in ("text", "output_text", "refusal", "thinking"):
        raise MalformedChat(f"content of type {kind!r} in a chat answer")
    if kind == "refusal":
        parsed.refusal += _text(part, "refusal")
    elif kind == "thinking":
        parsed.reasoning += _thinking(part.get("thinking"))
    else:
        parsed.text += _text(part, "text")


def _thinking(value: object) -> str:
    if isinstance(value, list):
        return "".join(_text(part, "text") for part in value if isinstance(part, dict))
    return value if isinstance(value, str) else ""


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedChat(f"{name} of a chat answer is no text")
    return value


def objects(fields: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of objects that may be absent or null.

    Raises:
        MalformedChat: It is something else.
    """
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise MalformedChat(f"{name} of a chat answer is no list of objects")
    return value


def flat_annotation(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """Chat's ``{"type": "url_citation", "url_citation": {…}}`` in Responses' flat form.

    Raises:
        MalformedChat: It is of another type.
    """
    cited = annotation.get("url_citation")
    if annotation.get("type") != "url_citation" or not isinstance(cited, dict):
        raise MalformedChat(f"an annotation of type {annotation.get('type')!r} in a chat answer")
    return {
        "type": "url_citation",
        "url": str(cited.get("url") or ""),
        "title": str(cited.get("title") or ""),
        "start_index": cited.get("start_index") or 0,
        "end_index": cited.get("end_index") or 0,
    }


def read_logprobs(choice: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Log probabilities of a choice's text in Responses' form, where bytes are never null."""
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, dict):
        return []
    return [
        {**_logprob(token), "top_logprobs": [_logprob(other) for other in objects(token, "top_logprobs")]}
        for token in objects(logprobs, "content")
    ]


def _logprob(token: Mapping[str, Any]) -> dict[str, Any]:
    text = _text(token, "token")
    given = token.get("bytes")
    return {
        "token": text,
        "logprob": token.get("logprob") or 0.0,
        "bytes": list(text.encode()) if given is None else given,
    }


def first_choice(answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The one choice that was asked for; None in chunks that have none.

    Raises:
        MalformedChat: There are several, or it is no object.
    """
    choices = objects(answer, "choices")
    if any(choice.get("index") not in (0, None) for choice in choices) or len(choices) > 1:
        raise MalformedChat("a chat answer with several choices has no form as a Response")
    return choices[0] if choices else None


def read_function(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """The function of a tool call.

    Raises:
        MalformedChat: It is a call of another kind.
    """
    function = call.get("function")
    if call.get("type") not in ("function", None) or not isinstance(function, dict | None):
        raise MalformedChat(f"a tool call of type {call.get('type')!r} in a chat answer")
    return function or {}
