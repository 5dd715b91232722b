"""Google's errors in OpenAI's form.

Sources: https://ai.google.dev/gemini-api/docs/troubleshooting, https://google.aip.dev/193
"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.providers.wires.reading import plain_text

_TYPES = {
    "INVALID_ARGUMENT": "invalid_request_error",
    "FAILED_PRECONDITION": "invalid_request_error",
    "OUT_OF_RANGE": "invalid_request_error",
    "NOT_FOUND": "invalid_request_error",
    "UNAUTHENTICATED": "authentication_error",
    "PERMISSION_DENIED": "permission_error",
    "RESOURCE_EXHAUSTED": "rate_limit_error",
    "UNAVAILABLE": "overloaded_error",
    "DEADLINE_EXCEEDED": "timeout_error",
}
# A wrong key is called an invalid argument; its reason tells it from a wrong request.
_KEY_REASONS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})


def read_error(status: int, body: bytes) -> tuple[int, Mapping[str, Any]]:
    """Return the status to pass on and OpenAI's error object, with the beginning of a body that is not JSON.

    A wrong key is 400 there and 401 everywhere else.
    """
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return status, {"message": plain_text(body)}
    if isinstance(fields, list) and fields:
        # Without server-sent events the answers of streaming methods are arrays, errors too.
        fields = fields[0]
    error = error_object(fields.get("error", fields) if isinstance(fields, dict) else fields)
    wrong_key = status == 400 and error.get("code") in _KEY_REASONS
    return (401, error | {"type": "authentication_error"}) if wrong_key else (status, error)


def error_object(error: object) -> dict[str, Any]:
    """OpenAI's error object for the provider's ``error``.

    ``code`` is the reason it details, else its status; ``retry_after_s`` (seconds) is there if it says when to come
    back.
    """
    if not isinstance(error, Mapping):
        return {"message": str(error)[:2000]}
    details = error.get("details")
    known = [each for each in details if isinstance(each, Mapping)] if isinstance(details, list) else []
    status = error.get("status")
    code = _detail(known, "ErrorInfo", "reason") or status
    translated = {
        "message": str(error.get("message") or ""),
        "type": _TYPES.get(str(status), "api_error"),
        "param": _field(known),
        "code": None if code is None else str(code),
    }
    wait_s = _seconds(_detail(known, "RetryInfo", "retryDelay"))
    return translated | ({} if wait_s is None else {"retry_after_s": wait_s})


def _detail(details: list[Mapping[str, Any]], kind: str, name: str) -> object:
    """A field of the first detail of that type, e.g. ``type.googleapis.com/google.rpc.RetryInfo``."""
    return next((each.get(name) for each in details if str(each.get("@type")).endswith(f".{kind}")), None)


def _field(details: list[Mapping[str, Any]]) -> str | None:
    violations = _detail(details, "BadRequest", "fieldViolations")
    first = violations[0] if isinstance(violations, list) and violations else None
    field = first.get("field") if isinstance(first, Mapping) else None
    return str(field) if field else None


def _seconds(delay: object) -> float | None:
    """The seconds of a protobuf duration in JSON, ``34.5s``."""
    if not isinstance(delay, str) or not delay.endswith("s"):
        return None
    try:
        seconds = float(delay[:-1])
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
