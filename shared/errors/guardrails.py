"""Errors of calls that a guardrail does not let pass."""

from shared.errors.base import GatewayError
from shared.errors.requests import InvalidRequest

RETRY_AFTER_S = 5.0


class GuardrailDenied(InvalidRequest):
    """A guardrail denied the request, or the answer to it.

    Args:
        guardrail: Its name.
        stage: ``request`` or ``answer``.
        reason: Its own explanation; empty: none.
    """

    code = "guardrail_denied"

    def __init__(self, guardrail: str, stage: str, reason: str) -> None:
        ending = f": {reason}" if reason else "."
        super().__init__(f"The guardrail {guardrail!r} denied the {stage}{ending}", should_retry=False)
        self.guardrail = guardrail


class GuardrailUnavailable(GatewayError):
    """A guardrail does not answer as it should, and calls are not made without it.

    Args:
        guardrail: Its name.
        stage: ``request`` or ``answer``.
        transient: Whether the same request may succeed later; never an answer's, which was paid for.
    """

    status = 503
    type = "api_error"
    code = "guardrail_unavailable"
    retryable = True

    def __init__(self, guardrail: str, stage: str, *, transient: bool) -> None:
        super().__init__(
            f"The guardrail {guardrail!r} did not decide on the {stage}, and nothing passes without it.",
            retry_after_s=RETRY_AFTER_S if transient else None,
            should_retry=None if transient else False,
        )
        self.guardrail = guardrail
