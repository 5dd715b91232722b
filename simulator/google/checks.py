"""Validation of Gemini requests (unknown names, empty contents, unpaired results, unsigned calls), and error envelopes.

Sources: https://ai.google.dev/api/generate-content, https://ai.google.dev/gemini-api/docs/thought-signatures,
https://google.aip.dev/193
"""

import base64
import binascii
import re
from typing import Any

import orjson

from simulator.calls import Family, Refusal, Reply
from simulator.model.json_schema import Json

SKIPPED_SIGNATURE = "skip_thought_signature_validator"
STAMP = b"simulated thought "
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_BODY = frozenset(
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
_CONFIG = frozenset(
    {
        "maxOutputTokens",
        "temperature",
        "topP",
        "topK",
        "stopSequences",
        "candidateCount",
        "seed",
        "presencePenalty",
        "frequencyPenalty",
        "responseLogprobs",
        "logprobs",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "responseModalities",
        "thinkingConfig",
        "mediaResolution",
        "speechConfig",
        "imageConfig",
        "audioTimestamp",
    }
)
_CONTENT = frozenset({"text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode"})
_PART = _CONTENT | {"codeExecutionResult", "thought", "thoughtSignature", "videoMetadata", "mediaResolution"}


def refuse(refusal: Refusal) -> Reply:
    """A refusal in Google's envelope: a wrong key is 400, and when to come back is a detail, not a header."""
    wrong_key = refusal.code in {"invalid_api_key", "missing_api_key"}
    status = 400 if wrong_key else refusal.status
    message = "API key not valid. Please pass a valid API key." if wrong_key else refusal.message
    details = [_info("API_KEY_INVALID")] if wrong_key else []
    if refusal.param is not None:
        violation = {"field": refusal.param, "description": message}
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]})
    wait = dict(refusal.headers).get(b"retry-after")
    if wait is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": wait.decode() + "s"})
    return Reply(orjson.dumps(envelope(status, message, details)), status)


def envelope(status: int, message: str, details: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """`{"error": {"code", "message", "status", "details"}}`."""
    name = _STATUSES.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    error: dict[str, Any] = {"code": status, "message": message, "status": name}
    return {"error": error | ({"details": details} if details else {})}


def _info(reason: str) -> dict[str, Any]:
    kind, domain = "type.googleapis.com/google.rpc.ErrorInfo", "googleapis.com"
    return {"@type": kind, "reason": reason, "domain": domain, "metadata": {}}


GEMINI = Family(refuse)


def invalid(message: str, field: str | None = None) -> Refusal:
    """An INVALID_ARGUMENT."""
    return Refusal(400, message, param=field)


def generation(model: str) -> int:
    """Return the generation in a model's name: 2 for `gemini-2.5-flash`; names without one count as new."""
    found = re.search(r"gemini-(\d+)", model)
    return int(found[1]) if found else 3


def signature(text: str) -> str:
    """Return a thought signature, which only this simulator computes."""
    return base64.b64encode(STAMP + text.encode()).decode()


def camel(value: Json) -> Json:
    """The fields of one message in camelCase: the service takes both spellings."""
    if not isinstance(value, dict):
        return value
    return {re.sub(r"_([a-z])", lambda found: found[1].upper(), name): each for name, each in value.items()}


def fields_of(value: Json) -> dict[str, Any]:
    """The fields of a message in camelCase; none for what is no object."""
    return camel(value) if isinstance(value, dict) else {}


def list_of(value: Json) -> list[Any]:
    """Return the value if it is a list, else an empty list."""
    return value if isinstance(value, list) else []


def check_request(body: dict[str, Any], model: str) -> list[dict[str, Any]]:
    """Validate a request and return its contents.

    Raises:
        Refusal: it would not.
    """
    _check_names(body, _BODY, "")
    config = camel(body.get("generationConfig") or {})
    _check_names(config, _CONFIG, "generation_config")
    _check_thinking(camel(config.get("thinkingConfig") or {}), model)
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        raise invalid("* GenerateContentRequest.contents: contents is not specified\n", "contents")
    read = [_content(content, f"contents[{index}]") for index, content in enumerate(contents)]
    _check_pairs(read)
    if generation(model) >= 3:
        _check_signatures(read)
    return read


def _check_names(fields: Json, known: frozenset[str], place: str) -> None:
    if not isinstance(fields, dict):
        raise invalid(f"Invalid value at '{place or 'body'}', not an object.", place or None)
    unknown = sorted(fields.keys() - known)
    if unknown:
        where = f" at '{place}'" if place else ""
        message = f'Invalid JSON payload received. Unknown name "{unknown[0]}"{where}: Cannot find field.'
        raise invalid(message, place or None)


def _check_thinking(thinking: dict[str, Any], model: str) -> None:
    _check_names(thinking, frozenset({"thinkingLevel", "thinkingBudget", "includeThoughts"}), "thinking_config")
    if "thinkingLevel" in thinking and "thinkingBudget" in thinking:
        raise invalid("You can only set only one of thinking budget and thinking level.")
    if "thinkingLevel" in thinking and generation(model) < 3:
        raise invalid("Thinking level is not supported for this model.")
    if thinking.get("thinkingBudget") == 0 and generation(model) >= 3:
        raise invalid("Budget 0 is invalid. This model only works in thinking mode.")


def _content(content: Json, place: str) -> dict[str, Any]:
    _check_names(content, frozenset({"role", "parts"}), place)
    if content.get("role", "user") not in ("user", "model", "function"):
        raise invalid("Please use a valid role: user, model.", place)
    parts = content.get("parts")
    if not isinstance(parts, list) or not parts:
        raise invalid(f"* GenerateContentRequest.{place}.parts: contents.parts must not be empty.\n", place)
    return {**content, "parts": [_part(part, f"{place}.parts[{at}]") for at, part in enumerate(parts)]}


def _part(part: Json, place: str) -> dict[str, Any]:
    read = camel(part)
    _check_names(read, _PART, place)
    data = [name for name in read if name in _CONTENT]
    if len(data) > 1:
        raise invalid(f"Invalid value at '{place}' (oneof), oneof field 'data' is already set.", place)
    if not data and "thoughtSignature" not in read:
        raise invalid(
            f"* GenerateContentRequest.{place}.data: required oneof field 'data' must have one field.\n", place
        )
    if read.get("text") == "" and "thoughtSignature" not in read:
        raise invalid("Unable to submit request because it must have a text parameter.", place)
    if isinstance(blob := camel(read.get("inlineData")), dict):
        _check_blob(blob, place)
    return dict(read)


def _check_blob(blob: dict[str, Any], place: str) -> None:
    try:
        base64.b64decode(str(blob.get("data")).replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error as error:
        raise invalid(f"Invalid value at '{place}.inline_data.data' (TYPE_BYTES), Base64 decoding failed.") from error
    if not blob.get("mimeType"):
        raise invalid("The mimeType of inline data must be set.", place)


def _named(content: dict[str, Any], kind: str) -> list[str]:
    return [str(fields_of(part[kind]).get("name")) for part in content["parts"] if kind in part]


def _check_pairs(contents: list[dict[str, Any]]) -> None:
    """Every call must be answered in the content after it."""
    for before, after in zip([{"parts": []}, *contents], contents, strict=False):
        calls, results = _named(before, "functionCall"), _named(after, "functionResponse")
        if sorted(calls) != sorted(results):
            raise invalid(
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )


def _check_signatures(contents: list[dict[str, Any]]) -> None:
    """Check that the first call of each step since the last user turn is signed."""
    start = max(
        (at for at, content in enumerate(contents) if content.get("role") != "model" and _speaks(content)), default=0
    )
    for at, content in enumerate(contents[start:], start):
        calls = [part for part in content["parts"] if "functionCall" in part]
        if calls and not _is_signed(calls[0]):
            name = fields_of(calls[0]["functionCall"]).get("name")
            raise invalid(
                "Function call is missing a thought_signature in functionCall parts. "
                f"Function call `default_api:{name}`, position {at + 1}."
            )


def _speaks(content: dict[str, Any]) -> bool:
    return any("functionResponse" not in part for part in content["parts"])


def _is_signed(part: dict[str, Any]) -> bool:
    sign = part.get("thoughtSignature")
    if sign in (None, SKIPPED_SIGNATURE):
        return sign is not None
    try:
        return base64.b64decode(str(sign).replace("-", "+").replace("_", "/")).startswith(STAMP)
    except binascii.Error:
        return False
