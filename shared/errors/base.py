"""The root of the error tree."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar


class GatewayError(Exception):
    """An error that a caller sees, with a status and OpenAI's error envelope.

    Args:
        message: What is wrong and what to do; never a secret, a stack trace or an internal address.
        param: The request field or header at fault.
        code: Replaces the class's code where one class covers several cases.
        retry_after_s: Seconds after which the same call may succeed; sent as ``Retry-After``.
        should_retry: Sent as ``x-should-retry``, which the SDKs obey; if absent, they go by the status.

    Attributes:
        headers: Further response headers, lower-case (rate limits).
        retryable: Whether the same call may succeed later.
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
        """Return the body that the SDKs read: ``{"error": {"message", "type", "param", "code"}}``."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}
