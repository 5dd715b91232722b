"""OpenAI's error envelope, for whole answers and inside streams."""

from typing import Any

import orjson

from simulator.calls import Call, Family, Refusal, Reply


def envelope(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    """`{"error": {...}}` as the API reference of OpenAI gives it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refuse(refusal: Refusal) -> Reply:
    """A refusal in OpenAI's envelope."""
    body = orjson.dumps(envelope(refusal.message, refusal.kind, refusal.param, refusal.code))
    return Reply(body, refusal.status, headers=refusal.headers)


OPENAI = Family(refuse)


def error_frame(_sent: int) -> bytes:
    """Return the frame that ends a broken stream of chunks."""
    body = envelope("The simulated model failed in the middle.", "server_error", None, "server_error")
    return b"data: " + orjson.dumps(body) + b"\n\n"


def missing(param: str) -> Refusal:
    """A required field is absent."""
    return Refusal(400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def mistyped(param: str, expected: str) -> Refusal:
    """A field has another type than it must have."""
    return Refusal(400, f"Invalid type for '{param}': expected {expected}.", param=param, code="invalid_type")


def unknown(what: str, name: str) -> Refusal:
    """Something named in the path does not exist."""
    return Refusal(404, f"No such {what}: '{name}'.", param="id", code="not_found")


def need_model(call: Call) -> str:
    """The model named in a JSON body.

    Raises:
        Refusal: absent or not a text.
    """
    model = call.body.get("model")
    if model is None or model == "":
        raise missing("model")
    if not isinstance(model, str):
        raise mistyped("model", "a string")
    return model


def whole_number(call: Call, name: str, low: int, high: int) -> int | None:
    """An optional integer field, None when absent.

    Raises:
        Refusal: no integer or out of bounds.
    """
    value = call.body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise mistyped(name, "an integer")
    if not low <= value <= high:
        message = f"Invalid '{name}': must be from {low} to {high}."
        raise Refusal(400, message, param=name, code="integer_out_of_range")
    return value
