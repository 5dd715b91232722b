"""Request headers that steer a call: session and timeout."""

from collections.abc import Mapping
from typing import Any

from shared.errors import InvalidRequest

SESSION = b"x-bf-session-id"
TIMEOUT = b"x-bf-timeout"
# The official SDKs send how long they wait for an answer (or for a stream's next piece) before they hang up.
SDK_TIMEOUT = b"x-stainless-read-timeout"

MAX_TIMEOUT_S = 24 * 3600.0
# Ends before the SDK hangs up, so that it can still read the error.
SDK_MARGIN_S = 2.0
SDK_LEAST_S = 5.0
MAX_SESSION = 512


def session_of(headers: Mapping[bytes, bytes], fields: Mapping[str, Any]) -> str:
    """The session that a call belongs to: ``x-bf-session-id``, else the body's ``prompt_cache_key``; may be empty."""
    raw = headers.get(SESSION)
    if raw:
        return raw[:MAX_SESSION].decode("latin-1")
    key = fields.get("prompt_cache_key")
    return key[:MAX_SESSION] if isinstance(key, str) else ""


def timeout_s(headers: Mapping[bytes, bytes]) -> float | None:
    """The caller's timeout in seconds; None if it sent none.

    Raises:
        InvalidRequest: ``x-bf-timeout`` is not a number of seconds.
    """
    raw = headers.get(TIMEOUT)
    if raw is None:
        return None
    seconds = _seconds(raw)
    if seconds is None or not 0 < seconds <= MAX_TIMEOUT_S:
        raise InvalidRequest(
            f"x-bf-timeout must be a number of seconds above 0, at most {MAX_TIMEOUT_S:.0f}.", param=TIMEOUT.decode()
        )
    return seconds


def sdk_timeout_s(headers: Mapping[bytes, bytes]) -> float | None:
    """Seconds after which the SDK would hang up, less a margin for the error; None if it sent none.

    It is a hint: an invalid value is ignored.
    """
    raw = headers.get(SDK_TIMEOUT)
    seconds = _seconds(raw) if raw else None
    if seconds is None or not 0 < seconds <= MAX_TIMEOUT_S:
        return None
    return max(SDK_LEAST_S, seconds - SDK_MARGIN_S)


def limits(headers: Mapping[bytes, bytes], now: float, *, stream: bool) -> tuple[float | None, float | None]:
    """The call's deadline and its stream's latest start, as event loop times; None: unlimited.

    An SDK's limit on silence bounds a whole answer, but only the begin of a stream. What a caller says itself counts
    for all of it.

    Raises:
        InvalidRequest: As ``timeout_s``.
    """
    own_s = timeout_s(headers)
    deadline = None if own_s is None else now + own_s
    sdk_s = sdk_timeout_s(headers)
    if sdk_s is None or own_s is not None:
        return deadline, None
    return (None, now + sdk_s) if stream else (now + sdk_s, None)


def _seconds(raw: bytes) -> float | None:
    try:
        return float(raw)
    except ValueError:
        return None
