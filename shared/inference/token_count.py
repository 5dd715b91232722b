"""Counts the input tokens of a request at its provider."""

from shared.errors import UpstreamRefused
from shared.inference.attempts import Attempt, Attempts
from shared.inference.call import Call, Target
from shared.providers.client import ProviderClient
from shared.providers.wires.base import MalformedAnswer, TokenCount

_NO_SUCH_ENDPOINT = frozenset({404, 405, 501})  # not every server that speaks Anthropic's format counts tokens


async def count_tokens(
    client: ProviderClient, attempts: Attempts, call: Call, target: Target, counting: TokenCount | None
) -> int | None:
    """Return how many input tokens a call's provider counts; None if it cannot count.

    Args:
        client: Sends the request.
        attempts: Of the call.
        call: The call.
        target: The provider and its model.
        counting: The request that counts; None: the provider's format has none.

    Raises:
        GatewayError: No attempt was answered.
    """
    if counting is None:
        return None

    async def once(attempt: Attempt) -> int:
        exchange = await client.open(
            target.provider,
            attempt.key,
            target.model,
            counting.request,
            headers=call.passed_on(),
            total_s=attempt.total_s,
        )
        async with exchange:
            return counting.read(await exchange.read())

    try:
        return await attempts.at(target, once, last=True)
    except UpstreamRefused as error:
        if error.status in _NO_SUCH_ENDPOINT:
            return None
        raise
    except MalformedAnswer:
        return None
