"""Errors of the gateway, its store and its jobs (5xx)."""

from collections.abc import Mapping
from typing import Any

from shared.errors.base import GatewayError


class InternalError(GatewayError):
    """Unexpected error inside the gateway; the log has the details under the request id."""


class AttemptsExhausted(GatewayError):
    """Every attempt at the job lost its worker."""

    code = "attempts_exhausted"


class JobFailure(GatewayError):
    """The recorded error of a failed job.

    Args:
        status: The HTTP status of the failure.
        error: The recorded error object, in OpenAI's form.
    """

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        super().__init__(str(error.get("message") or "The job failed."), should_retry=False)
        self.status = status if 400 <= status <= 599 else 500
        self.type = str(error.get("type") or "api_error")
        code, param = error.get("code"), error.get("param")
        self.code = None if code is None else str(code)
        self.param = None if param is None else str(param)
        self._error = dict(error)

    def envelope(self) -> dict[str, Any]:
        """Return the error object with every field it had."""
        return {"error": {**self._error, **super().envelope()["error"]}}


class BodyLost(GatewayError):
    """The object store no longer has the body that a job's or a file's record names."""

    status = 410
    code = "body_lost"

    def __init__(self) -> None:
        super().__init__(
            "The object store no longer has this body: it was deleted there, or has expired by a rule of the bucket.",
            should_retry=False,
        )


class BodyUndecryptable(GatewayError):
    """A stored body is encrypted with a key that is not configured, or was changed since.

    Args:
        key_id: The id of the missing key; empty: the bytes are damaged, or belong to another value.
    """

    status = 500
    code = "body_undecryptable"

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        reason = f"its key {key_id} is not in [store] encryption_key" if key_id else "its bytes were changed"
        super().__init__(
            f"The stored body cannot be decrypted: {reason}. `finops doctor` says more.", should_retry=False
        )


class NotCached(GatewayError):
    """Nothing is stored for a request that accepts only stored answers (``Cache-Control: only-if-cached``)."""

    status = 504
    type = "invalid_request_error"
    code = "not_cached"

    def __init__(self) -> None:
        super().__init__(
            "No stored answer for this request. Leave out Cache-Control: only-if-cached to ask the provider.",
            param="cache-control",
            should_retry=False,
        )


class StoreUnavailable(GatewayError):
    """Redis cannot be reached or refuses writes.

    Args:
        reason: What does not work, as a sentence.
        refused: Whether a write was refused for certain. A read writes nothing, and a write whose reply was lost may
            have been executed.
        retry_after_s: Seconds after which the same call may succeed.
    """

    status = 503
    code = "store_unavailable"
    retryable = True

    def __init__(
        self, reason: str = "The job store cannot be reached.", *, refused: bool = False, retry_after_s: float = 1.0
    ) -> None:
        advice = "Nothing was accepted; try again." if refused else "Try again."
        super().__init__(f"{reason} {advice}", retry_after_s=retry_after_s)
