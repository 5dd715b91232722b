"""Classify failures: retry the same key, another key, another model, or give up. Pure functions."""

import random
from email.utils import parsedate_to_datetime
from enum import Enum, auto

from shared.errors import GatewayError, UpstreamFailure, UpstreamRefused, UpstreamTimeout
from shared.settings.model import RetrySettings

RETRIED_STATUSES = frozenset({500, 502, 503, 504, 529})
ROTATED_STATUSES = frozenset({401, 402, 403, 429})
MAX_RETRY_AFTER_S = 24 * 3600.0

# 4xx of one model that another model may well answer.
_NEXT_MODEL_STATUSES = frozenset({404, 408, 409, 413})

# 400s that mean "not this model", by the code or the type that the provider documents. Anthropic has neither: its 400s
# for a prompt that is too long look like any other, and are passed on.
_NEXT_MODEL_CODES = frozenset(
    {
        # https://platform.openai.com/docs/guides/error-codes and those who speak its wire
        "context_length_exceeded",
        "model_not_found",
        "model_not_available",
        "unsupported_model",
        "unsupported_parameter",
        "unsupported_value",
        # https://console.groq.com/docs/deprecations
        "model_decommissioned",
        # https://learn.microsoft.com/azure/ai-foundry/openai/reference
        "DeploymentNotFound",
        "OperationNotSupported",
        # https://ai.google.dev/gemini-api/docs/troubleshooting: not in this country, not on this plan
        "FAILED_PRECONDITION",
        # https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html
        "ServiceQuotaExceededException",
    }
)
_NEXT_MODEL_TYPES = frozenset(
    {
        # https://github.com/ggml-org/llama.cpp/tree/master/tools/server
        "exceed_context_size_error",
        "not_supported_error",
    }
)


class Verdict(Enum):
    """Action after a failed attempt."""

    SAME_KEY = auto()
    OTHER_KEY = auto()
    NEXT_MODEL = auto()
    GIVE_UP = auto()


def judge(error: GatewayError) -> Verdict:
    """Classify a failure by its status and code, never by its message."""
    if isinstance(error, UpstreamRefused):
        return _judge_refusal(error)
    if isinstance(error, UpstreamTimeout):
        return Verdict.NEXT_MODEL
    if isinstance(error, UpstreamFailure) and error.retryable:
        return Verdict.SAME_KEY
    return Verdict.NEXT_MODEL if error.code in _NEXT_MODEL_CODES or error.retryable else Verdict.GIVE_UP


def _judge_refusal(error: UpstreamRefused) -> Verdict:
    if error.status in RETRIED_STATUSES:
        return Verdict.SAME_KEY
    if error.status in ROTATED_STATUSES:
        return Verdict.OTHER_KEY
    if error.status in _NEXT_MODEL_STATUSES or error.status > 500:
        return Verdict.NEXT_MODEL
    if error.code in _NEXT_MODEL_CODES or error.error.get("type") in _NEXT_MODEL_TYPES:
        return Verdict.NEXT_MODEL
    return Verdict.GIVE_UP


def backoff_s(attempt: int, retry: RetrySettings, *, chance: float | None = None) -> float:
    """Seconds before attempt ``attempt + 1``: exponential, capped, with up to half of it taken off at random.

    Args:
        attempt: Attempts made so far, from 1.
        chance: In [0, 1); default: random.
    """
    chance = random.random() if chance is None else chance  # noqa: S311 - spreads load, guards nothing
    whole = min(retry.backoff_max_s, retry.backoff_initial_s * 2 ** (attempt - 1))
    return float(whole * (1 - chance / 2))


def retry_after_s(retry_after_ms: bytes | None, retry_after: bytes | None, now_s: float) -> float | None:
    """Read a provider's retry delay.

    Args:
        retry_after_ms: The header ``retry-after-ms``; it wins.
        retry_after: The header ``retry-after``: seconds or an HTTP date (RFC 9110, 10.2.3).
        now_s: Unix seconds, for dates.

    Returns:
        Seconds from now, at most a day; None without a usable header.
    """
    for raw, scale in ((retry_after_ms, 0.001), (retry_after, 1.0)):
        if raw is None:
            continue
        try:
            seconds = float(raw) * scale
        except ValueError:
            seconds = _until(raw, now_s)
        if 0 <= seconds < float("inf"):
            return min(seconds, MAX_RETRY_AFTER_S)
    return None


def _until(date: bytes, now_s: float) -> float:
    try:
        return max(0.0, parsedate_to_datetime(date.decode("latin-1")).timestamp() - now_s)
    except ValueError:
        return -1.0
