"""Errors of the request itself: not valid, not authorised, not found, in conflict, too large (4xx)."""

from collections.abc import Iterable

from shared.errors.base import GatewayError


class InvalidRequest(GatewayError):
    """The request is not valid."""

    status = 400
    type = "invalid_request_error"
    code: str | None = None


class InvalidConfigurationFile(InvalidRequest):
    """The configuration that is to be put in force is not valid."""

    code = "invalid_configuration"


class RequestTimeout(GatewayError):
    """The request did not arrive in time."""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"
    retryable = True


class HeadersTooLarge(GatewayError):
    """The request line and headers are too large or too many."""

    status = 431
    type = "invalid_request_error"
    code = "headers_too_large"


class UnknownProvider(InvalidRequest):
    """The model's prefix does not name a configured provider."""

    code = "unknown_provider"


class UnsupportedParameter(InvalidRequest):
    """The provider does not support a field or the type of the request."""

    code = "unsupported_parameter"


class Unauthorised(GatewayError):
    """The credentials are missing or not valid."""

    status = 401
    type = "authentication_error"
    code = "unauthorised"


class VirtualKeyRequired(Unauthorised):
    """A virtual key is required."""

    code = "virtual_key_required"


class VirtualKeyNotFound(Unauthorised):
    """Unknown virtual key."""

    code = "virtual_key_not_found"


class AdminKeyRequired(Unauthorised):
    """The admin key is required."""

    code = "admin_key_required"


class Forbidden(GatewayError):
    """The caller is not allowed to do this."""

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


class PassthroughBlocked(Forbidden):
    """The virtual key may not use objects in a provider's account."""

    code = "passthrough_blocked"


class NotFound(GatewayError):
    """The resource does not exist."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class JobNotFound(NotFound):
    """The job is unknown, has expired, or belongs to another caller or request type."""

    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"Unknown job {job_id[:64]!r}. It may have expired, or belong to another caller or request type.",
            should_retry=False,
        )


class KeyNotFound(NotFound):
    """Unknown virtual key id."""

    code = "key_not_found"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"Unknown virtual key id {key_id[:64]!r}.")


class TokenNotFound(NotFound):
    """Unknown API token id."""

    code = "token_not_found"

    def __init__(self, token_id: str) -> None:
        super().__init__(f"Unknown API token id {token_id[:64]!r}; it may have expired.")


class RoleTooLow(Forbidden):
    """The role of the token or person does not allow this."""

    code = "role_too_low"


class RunNotFound(NotFound):
    """The run is unknown, has expired, or belongs to another caller."""

    code = "run_not_found"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"Unknown run {run_id[:128]!r}. It may have expired, or belong to another caller.")


class DeliveryNotFound(NotFound):
    """Unknown webhook delivery, or one that has expired."""

    code = "delivery_not_found"

    def __init__(self, delivery_id: str) -> None:
        super().__init__(f"Unknown delivery {delivery_id[:64]!r}. It may have expired.")


class WebhookNotFound(NotFound):
    """No webhook of this name is configured."""

    code = "webhook_not_found"

    def __init__(self, name: str, configured: Iterable[str]) -> None:
        known = ", ".join(sorted(configured)) or "none"
        super().__init__(f"Unknown webhook {name[:64]!r}. Configured: {known[:500]}.")


class AlertRuleNotFound(NotFound):
    """No alert rule of this name is configured."""

    code = "alert_not_found"

    def __init__(self, name: str, configured: Iterable[str]) -> None:
        known = ", ".join(sorted(configured)) or "none"
        super().__init__(f"Unknown alert rule {name[:64]!r}. Configured: {known[:500]}.")


class ModelNotFound(NotFound):
    """No provider serves the model."""

    code = "model_not_found"


class MethodNotAllowed(GatewayError):
    """The path does not support the method."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class Conflict(GatewayError):
    """The request conflicts with the current state of the resource."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"


class JobCancelled(Conflict):
    """The job was cancelled."""

    type = "job_cancelled"
    code = "job_cancelled"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} was cancelled.", should_retry=False)


class JobLive(Conflict):
    """The job has not ended, so it cannot be deleted; cancel it first."""

    code = "job_live"


class JobFinished(Conflict):
    """The job has already ended, so it cannot be cancelled."""

    code = "job_already_finished"


class RetryRefused(Conflict):
    """The job has not failed; only failed jobs can be retried."""

    code = "job_not_failed"


class KeyRevoked(Conflict):
    """The virtual key is revoked, so it cannot be changed."""

    code = "key_revoked"


class IdempotencyConflict(Conflict):
    """The idempotency key was used with a different request body."""

    code = "idempotency_conflict"


class RequestTooLarge(GatewayError):
    """The request body exceeds ``server.max_body_mb``."""

    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class ClientGone(GatewayError):
    """The caller closed the connection before the answer."""

    status = 499
    type = "client_closed_request"
    code = "client_closed_request"


class Unsupported(GatewayError):
    """The operation exists at OpenAI but is not supported here."""

    status = 501
    type = "invalid_request_error"
    code = "unsupported_operation"
