"""Admission of calls that a stored answer may serve, and which failures one may replace."""

from collections.abc import Sequence

from shared.cache.use import CacheUse
from shared.errors import (
    BudgetExceeded,
    GatewayError,
    Overloaded,
    PriceUnknown,
    ProviderRateLimited,
    TokenLimited,
    UpstreamFailure,
)
from shared.inference.call import Target
from shared.inference.call_cost import CallCost

TOO_MANY = 429
SERVER_ERROR = 500


def is_rescued(use: CacheUse, error: GatewayError) -> bool:
    """Whether an answer past its time to live is served because no provider answers (``stale_if_error_s``)."""
    failing = isinstance(error, UpstreamFailure | Overloaded | ProviderRateLimited) and (
        error.status == TOO_MANY or error.status >= SERVER_ERROR
    )
    if use.spare is None or not failing:
        return False
    use.entry = use.spare
    return True


async def admit(targets: Sequence[Target], cost: CallCost) -> BudgetExceeded | TokenLimited | None:
    """Reserve what a call may cost; return the refusal that does not hold for a stored answer.

    Raises:
        GatewayError: Any other refusal.
    """
    try:
        await cost.open(targets)
    except PriceUnknown:
        raise
    except (BudgetExceeded, TokenLimited) as error:
        return error
    return None
