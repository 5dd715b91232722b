"""Errors of providers (502, 504, or the provider's own status)."""

from collections.abc import Mapping
from typing import Any

from shared.errors.base import GatewayError


class UpstreamFailure(GatewayError):
    """The provider did not send a usable answer.

    Attributes:
        reached: Whether a connection to the provider was made.
    """

    status = 502
    type = "upstream_error"
    code: str | None = "upstream_error"
    retryable = True
    reached: bool = True


class UpstreamRefused(UpstreamFailure):
    """The provider's own error, with its status and message.

    Args:
        status: The provider's HTTP status.
        error: The provider's error object in OpenAI's form (message, type, param, code and further fields).
        provider: Name of the provider.
        retry_after_s: The provider's ``Retry-After``, in seconds.
        headers: Response headers to pass on (rate limits, request id).
    """

    def __init__(
        self,
        status: int,
        error: Mapping[str, Any],
        *,
        provider: str,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            str(error.get("message") or f"Provider {provider!r} answered with status {status}."),
            retry_after_s=retry_after_s,
        )
        self.status = status
        self.error = dict(error)
        self.provider = provider
        self.headers = dict(headers or {})
        self.type = str(error.get("type") or "upstream_error")
        if status == 401:
            self.type = "upstream_authentication_error"
        code, param = error.get("code"), error.get("param")
        self.code = None if code is None else str(code)
        self.param = None if param is None else str(param)

    def envelope(self) -> dict[str, Any]:
        """Return the provider's error object with every field it had, under our ``type``."""
        known = super().envelope()["error"]
        return {"error": {**self.error, **known}}


class ResultTooLarge(UpstreamFailure):
    """The result of a job exceeds ``jobs.max_result_mb``."""

    code = "result_too_large"
    retryable = False


class AnswerTooLarge(UpstreamFailure):
    """The provider's answer exceeds ``server.max_answer_mb``; it is not asked again, which would cost as much."""

    code = "answer_too_large"
    retryable = False


class UpstreamTimeout(UpstreamFailure):
    """The provider timed out."""

    status = 504
    type = "upstream_timeout"
    code = "upstream_timeout"


class DeadlineExceeded(UpstreamFailure):
    """The request or the job exceeded its deadline."""

    status = 504
    type = "deadline_exceeded"
    code = "deadline_exceeded"
    retryable = False
