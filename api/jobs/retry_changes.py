"""The body of a retry: what of the job changes."""

import math
from typing import Any

import orjson

from shared.errors import InvalidRequest
from shared.jobs.model import MAX_DELAY_S, UNCHANGED, Priority, RetryChanges
from shared.surfaces.json_edits import with_members
from shared.surfaces.request_body import MAX_MODEL_CHARS, read_object

MAX_BODY_BYTES = 64 * 1024
MAX_FALLBACKS = 16
FIELDS = ("model", "priority", "deadline_s", "fallbacks")


def read_retry_changes(body: bytes) -> RetryChanges:
    """Parse the body of a retry; an empty one changes nothing.

    Raises:
        InvalidRequest: It is not an object of known fields with valid values; ``param`` names the field.
    """
    if not body.strip():
        return UNCHANGED
    fields = read_object(body)
    for name in fields:
        if name not in FIELDS:
            raise InvalidRequest(f"Unknown field {name[:60]!r}. Known: {', '.join(FIELDS)}.", param=name[:60])
    given = {name: value for name, value in fields.items() if value is not None}
    return RetryChanges(
        model=_model(given.get("model", "")) if "model" in given else "",
        priority=_priority(given["priority"]) if "priority" in given else None,
        deadline_s=_deadline_s(given["deadline_s"]) if "deadline_s" in given else None,
        fallbacks=_fallbacks(given["fallbacks"]) if "fallbacks" in given else None,
    )


def with_fallbacks(body: bytes, changes: RetryChanges) -> bytes:
    """Return a JSON request body with the changed fallbacks."""
    return with_members(body, {"fallbacks": orjson.dumps(list(changes.fallbacks or ()))})


def _model(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_MODEL_CHARS or not value.isprintable():
        raise InvalidRequest(f"model must be a name of 1 to {MAX_MODEL_CHARS} characters.", param="model")
    return value


def _priority(value: object) -> Priority:
    if value not in tuple(Priority):
        raise InvalidRequest("priority must be high, normal or low.", param="priority")
    return Priority(str(value))


def _deadline_s(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InvalidRequest("deadline_s must be a number of seconds above 0, counted from now.", param="deadline_s")
    return min(float(value), MAX_DELAY_S)


def _fallbacks(value: object) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) > MAX_FALLBACKS:
        raise InvalidRequest(f"fallbacks must be a list of at most {MAX_FALLBACKS} models.", param="fallbacks")
    return tuple(value)


RETRY_BODY: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "model": {"type": "string", "description": "The model to ask instead."},
                        "priority": {"type": "string", "enum": [str(priority) for priority in Priority]},
                        "deadline_s": {"type": "number", "exclusiveMinimum": 0, "description": "Seconds from now."},
                        "fallbacks": {
                            "type": "array",
                            "maxItems": MAX_FALLBACKS,
                            "items": {"type": "string"},
                            "description": "Models to try after it.",
                        },
                    },
                },
                "example": {"model": "anthropic/claude-sonnet-4-5", "priority": "high", "deadline_s": 600},
            }
        },
    }
}
"""``openapi_extra`` of the retry routes."""
