"""Every error a caller can be told of, in one tree.

::

    GatewayError                    status  type                    code
    ├── InvalidRequest                 400  invalid_request_error   (named by the place)
    │   ├── UnknownProvider            400  invalid_request_error   unknown_provider
    │   └── UnsupportedParameter       400  invalid_request_error   unsupported_parameter
    ├── Unauthorised                   401  authentication_error
    │   ├── VirtualKeyRequired         401  authentication_error    virtual_key_required
    │   ├── VirtualKeyNotFound         401  authentication_error    virtual_key_not_found
    │   └── AdminKeyRequired           401  authentication_error    admin_key_required
    ├── BudgetExceeded                 402  insufficient_quota      budget_exceeded
    ├── Forbidden                      403  permission_error
    │   ├── VirtualKeyBlocked          403  permission_error        virtual_key_blocked
    │   ├── ProviderBlocked            403  permission_error        provider_blocked
    │   └── ModelBlocked               403  permission_error        model_blocked
    ├── NotFound                       404  invalid_request_error   not_found
    │   ├── JobNotFound                404  invalid_request_error   job_not_found
    │   ├── KeyNotFound                404  invalid_request_error   key_not_found
    │   └── ModelNotFound              404  invalid_request_error   model_not_found
    ├── MethodNotAllowed               405  invalid_request_error   method_not_allowed
    ├── Conflict                       409  invalid_request_error
    │   ├── JobCancelled               409  job_cancelled           job_cancelled
    │   ├── JobLive                    409  invalid_request_error   job_live
    │   ├── JobFinished                409  invalid_request_error   job_already_finished
    │   ├── RetryRefused               409  invalid_request_error   job_not_failed
    │   ├── KeyRevoked                 409  invalid_request_error   key_revoked
    │   └── IdempotencyConflict        409  invalid_request_error   idempotency_conflict
    ├── RequestTooLarge                413  invalid_request_error   request_too_large
    ├── RateLimited                    429  rate_limit_error
    │   ├── RequestLimited             429  rate_limit_error        request_limited
    │   ├── TokenLimited               429  rate_limit_error        token_limited
    │   ├── QueueFull                  429  rate_limit_error        queue_full
    │   ├── TooManyAttempts            429  rate_limit_error        too_many_attempts
    │   └── ProviderRateLimited        429  rate_limit_error        provider_rate_limited
    ├── ClientGone                     499  client_closed_request   client_closed_request
    ├── InternalError                  500  api_error               internal_error
    ├── Unsupported                    501  invalid_request_error   unsupported_operation
    ├── AttemptsExhausted              500  api_error               attempts_exhausted
    ├── JobFailure                    (its)  (its)                  (its)   a failed job's own error, told again
    ├── StoreUnavailable               503  api_error               store_unavailable
    ├── Overloaded                     503  api_error               overloaded
    │   └── CircuitOpen                503  api_error               circuit_open
    └── UpstreamFailure                502  upstream_error          upstream_error
        ├── UpstreamRefused           (its)  (its)                  (its)   the upstream's own error, passed on
        ├── UpstreamTimeout            504  upstream_timeout        upstream_timeout
        └── DeadlineExceeded           504  deadline_exceeded       deadline_exceeded

Each class says status, type, code and whether the same call may succeed when it is made again (``retryable``).
The envelope is OpenAI's: https://platform.openai.com/docs/guides/error-codes
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar


class GatewayError(Exception):
    """Something a caller is told with a status and OpenAI's error envelope.

    Args:
        message: What was wrong and what to do; never a secret, a stack trace or an internal address.
        param: The request field or header at fault.
        code: Replaces the class's code where one class serves several facts.
        retry_after_s: Seconds after which the same call may succeed; sent as ``Retry-After``.
        should_retry: Sent as ``x-should-retry``, which the SDKs obey; absent, they go by status.
        headers: Further response headers, lower-case (rate limits).
    """

    headers: Mapping[str, str] = MappingProxyType({})
    status: int = 500
    type: str = "api_error"
    code: str | None = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry

    def envelope(self) -> dict[str, Any]:
        """The body that the SDKs read: ``{"error": {"message", "type", "param", "code"}}``."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class InvalidRequest(GatewayError):
    """The request cannot be served as it stands."""

    status = 400
    type = "invalid_request_error"
    code: str | None = None


class UnknownProvider(InvalidRequest):
    """The model's prefix names no configured provider."""

    code = "unknown_provider"


class UnsupportedParameter(InvalidRequest):
    """The provider's wire cannot express a field of the request."""

    code = "unsupported_parameter"


class Unauthorised(GatewayError):
    """The caller did not prove who it is."""

    status = 401
    type = "authentication_error"
    code = "unauthorised"


class VirtualKeyRequired(Unauthorised):
    """Inference without a virtual key is closed here."""

    code = "virtual_key_required"


class VirtualKeyNotFound(Unauthorised):
    """A virtual key was given that nobody made."""

    code = "virtual_key_not_found"


class AdminKeyRequired(Unauthorised):
    """Administration without the admin key."""

    code = "admin_key_required"


class BudgetExceeded(GatewayError):
    """The caller's money is spent or reserved."""

    status = 402
    type = "insufficient_quota"
    code = "budget_exceeded"


class Forbidden(GatewayError):
    """The caller is known and may not do this."""

    status = 403
    type = "permission_error"
    code = "forbidden"


class VirtualKeyBlocked(Forbidden):
    """The virtual key is revoked or expired."""

    code = "virtual_key_blocked"


class ProviderBlocked(Forbidden):
    """The virtual key may not use this provider."""

    code = "provider_blocked"


class ModelBlocked(Forbidden):
    """The virtual key may not use this model."""

    code = "model_blocked"


class NotFound(GatewayError):
    """There is nothing under that name."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class JobNotFound(NotFound):
    """Unknown, expired, another caller's, or of another request type: one and the same answer."""

    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"No job with id {job_id[:64]!r} is known here: it may have expired, or belong to another caller "
            "or another request type.",
            should_retry=False,
        )


class KeyNotFound(NotFound):
    """No virtual key has that id."""

    code = "key_not_found"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"No virtual key with id {key_id[:64]!r} is known here.")


class ModelNotFound(NotFound):
    """No provider serves the model."""

    code = "model_not_found"


class MethodNotAllowed(GatewayError):
    """The path exists, the method does not."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class Conflict(GatewayError):
    """The request contradicts what is already there."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"


class JobCancelled(Conflict):
    """The job was cancelled before it ended."""

    type = "job_cancelled"
    code = "job_cancelled"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} was cancelled.", should_retry=False)


class JobLive(Conflict):
    """A job that has not ended cannot be deleted."""

    code = "job_live"


class JobFinished(Conflict):
    """What has ended otherwise cannot be cancelled any more."""

    code = "job_already_finished"


class RetryRefused(Conflict):
    """Only failed jobs are retried."""

    code = "job_not_failed"


class KeyRevoked(Conflict):
    """A virtual key that was revoked is not changed any more."""

    code = "key_revoked"


class IdempotencyConflict(Conflict):
    """The idempotency key was used with another body."""

    code = "idempotency_conflict"


class RequestTooLarge(GatewayError):
    """The body is above ``server.max_body_mb``."""

    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class RateLimited(GatewayError):
    """Too much at once; always with ``Retry-After``."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limited"
    retryable = True


class RequestLimited(RateLimited):
    """The caller's requests per window are spent."""

    code = "request_limited"


class TokenLimited(RateLimited):
    """The caller's tokens per window are spent."""

    code = "token_limited"


class QueueFull(RateLimited):
    """The queue, or the caller's part of it, takes no more jobs now."""

    code = "queue_full"


class TooManyAttempts(RateLimited):
    """Too many wrong admin keys came from this address."""

    code = "too_many_attempts"


class ProviderRateLimited(RateLimited):
    """The provider has said when to come back, and that is not yet."""

    code = "provider_rate_limited"


class ClientGone(GatewayError):
    """The caller hung up before the answer."""

    status = 499
    type = "client_closed_request"
    code = "client_closed_request"


class InternalError(GatewayError):
    """A fault of ours; the log has the details under the request id."""


class Unsupported(GatewayError):
    """The operation exists at OpenAI, not here."""

    status = 501
    type = "invalid_request_error"
    code = "unsupported_operation"


class AttemptsExhausted(GatewayError):
    """A job whose every attempt lost its worker."""

    code = "attempts_exhausted"


class JobFailure(GatewayError):
    """A failed job's own error, told again as it was.

    Args:
        status: The HTTP status of the failure.
        error: OpenAI's error object as it was recorded.
    """

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        super().__init__(str(error.get("message") or "The job failed."), should_retry=False)
        self.status = status if 400 <= status <= 599 else 500
        self.type = str(error.get("type") or "api_error")
        said_code, said_param = error.get("code"), error.get("param")
        self.code = None if said_code is None else str(said_code)
        self.param = None if said_param is None else str(said_param)
        self._said = dict(error)

    def envelope(self) -> dict[str, Any]:
        """The error object with every field it had."""
        return {"error": {**self._said, **super().envelope()["error"]}}


class StoreUnavailable(GatewayError):
    """Redis cannot be reached or refuses writes."""

    status = 503
    code = "store_unavailable"
    retryable = True

    def __init__(self, reason: str = "The job store cannot be reached.", *, retry_after_s: float = 1.0) -> None:
        super().__init__(f"{reason} Nothing was accepted; try again.", retry_after_s=retry_after_s)


class Overloaded(GatewayError):
    """This process or this provider serves as many calls as it may."""

    status = 503
    code = "overloaded"
    retryable = True


class CircuitOpen(Overloaded):
    """The provider failed so often that it is left alone for a moment."""

    code = "circuit_open"


class UpstreamFailure(GatewayError):
    """The provider did not give a usable answer.

    Attributes:
        reached: Whether there was a connection to it at all.
    """

    status = 502
    type = "upstream_error"
    code: str | None = "upstream_error"
    retryable = True
    reached: bool = True


class UpstreamRefused(UpstreamFailure):
    """The provider's own error: its status and message are kept.

    Args:
        status: The provider's HTTP status.
        error: The provider's error object in OpenAI's form (message, type, param, code, and what else it said).
        provider: Who said it.
        headers: Response headers worth passing on (rate limits, request id).
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
        super().__init__(str(error.get("message") or f"{provider} answered {status}."), retry_after_s=retry_after_s)
        self.status = status
        self.error = dict(error)
        self.provider = provider
        self.headers = dict(headers or {})
        self.type = str(error.get("type") or "upstream_error")
        if status == 401:
            self.type = "upstream_authentication_error"
        said_code, said_param = error.get("code"), error.get("param")
        self.code = None if said_code is None else str(said_code)
        self.param = None if said_param is None else str(said_param)

    def envelope(self) -> dict[str, Any]:
        """The provider's error object with every field it had, under our settled ``type``."""
        known = super().envelope()["error"]
        return {"error": {**self.error, **known}}


class UpstreamTimeout(UpstreamFailure):
    """The provider was silent for too long."""

    status = 504
    type = "upstream_timeout"
    code = "upstream_timeout"


class DeadlineExceeded(UpstreamFailure):
    """The job's or the request's own time is over."""

    status = 504
    type = "deadline_exceeded"
    code = "deadline_exceeded"
    retryable = False
