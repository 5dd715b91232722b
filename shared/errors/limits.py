"""Errors of limits: budgets, rates, the queue and concurrency (402, 429, 503)."""

from shared.errors.base import GatewayError


class LimitReached:
    """What errors of a caller's limits have in common.

    Attributes:
        limit: The limit's id, as in the administration API.
        turns_in_s: Seconds until its window gives room again.
        parks: Whether a job waits for that rather than fail (``on_exhausted = "park"``).
    """

    limit: str = ""
    turns_in_s: float = 0.0
    parks: bool = False


class BudgetExceeded(LimitReached, GatewayError):
    """The caller's budget is spent or reserved."""

    status = 402
    type = "insufficient_quota"
    code = "budget_exceeded"


class RunBudgetExceeded(BudgetExceeded):
    """The budget of the request's run (``x-bf-run-budget-usd``) is spent or reserved."""

    code = "run_budget_exceeded"


class PriceUnknown(BudgetExceeded):
    """A budget binds the call, and what the call may use has no known price."""

    code = "price_unknown"


class RateLimited(GatewayError):
    """Too many requests at once; ``Retry-After`` says when to try again."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limited"
    retryable = True


class RequestLimited(LimitReached, RateLimited):
    """The caller's requests per window are used up."""

    code = "request_limited"


class ConcurrencyLimited(RateLimited):
    """The caller has as many synchronous calls open as its key may have."""

    code = "concurrency_limited"


class TokenLimited(LimitReached, RateLimited):
    """The caller's tokens per window are used up."""

    code = "token_limited"


class QueueFull(RateLimited):
    """The queue, or the caller's share of it, is full."""

    code = "queue_full"


class StorageFull(RateLimited):
    """The caller's request bodies and results take all the room that it may have in the job store."""

    code = "storage_full"


class TooManyAttempts(RateLimited):
    """Too many wrong admin keys from this address."""

    code = "too_many_attempts"


class ProviderRateLimited(RateLimited):
    """The provider's rate limit is in effect; ``Retry-After`` says until when."""

    code = "provider_rate_limited"


class Overloaded(GatewayError):
    """The gateway or the provider is at its concurrency limit."""

    status = 503
    code = "overloaded"
    retryable = True


class CircuitOpen(Overloaded):
    """The provider failed repeatedly and is not called for a moment."""

    code = "circuit_open"
