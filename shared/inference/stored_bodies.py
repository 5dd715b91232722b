"""Changes to stored answers on their way to a caller: a response's own id, and how the cache was used. Pure."""

from typing import Any

import orjson

from shared.cache.use import CacheUse
from shared.inference.call import Call
from shared.surfaces.response_ids import mint_response_id
from shared.surfaces.sse import EventSplitter, event_data

_RESPONSE_PREFIX = "resp_"
_LEAST_DIGITS = 24


def debugged(body: bytes, use: CacheUse) -> bytes:
    """Return a JSON answer with how the cache was used in ``extra_fields.cache_debug``, as Bifrost has it."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    return with_debug(answer, use) if isinstance(answer, dict) else body


def with_debug(answer: dict[str, Any], use: CacheUse) -> bytes:
    """Return an answer's JSON with ``extra_fields.cache_debug`` added to it."""
    extra = answer.get("extra_fields")
    fields = extra if isinstance(extra, dict) else {}
    return orjson.dumps({**answer, "extra_fields": {**fields, "cache_debug": use.to_debug()}})


def with_new_id(call: Call, body: bytes) -> bytes:
    """Return a response under an id of its own: the stored one leads to another call's.

    Item ids of ours contain the digits of their response's, so these are replaced wherever they stand.
    """
    old = _response_id(body)
    if not old.startswith(_RESPONSE_PREFIX):
        return body
    new = call.job_id if call.job_id.startswith(_RESPONSE_PREFIX) else mint_response_id()
    digits = old.removeprefix(_RESPONSE_PREFIX)
    if len(digits) < _LEAST_DIGITS:  # it could be part of the text
        return body.replace(f'"{old}"'.encode(), f'"{new}"'.encode())
    return body.replace(digits.encode(), new.removeprefix(_RESPONSE_PREFIX).encode())


def response_of_events(body: bytes) -> dict[str, Any] | None:
    """Return the response of a stored stream's last event, or the stored response itself; None if there is none."""
    if not body.startswith((b"event:", b"data:")):
        whole = orjson.loads(body)
        return whole if isinstance(whole, dict) else None
    for event in reversed(EventSplitter().feed(body)):
        data = event_data(event)
        response = orjson.loads(data).get("response") if data else None
        if isinstance(response, dict):
            return response
    return None


def _response_id(body: bytes) -> str:
    response = response_of_events(body)
    return str(response.get("id", "")) if response else ""
