"""Answers about providers' batches, as callers see them while the gateway rescues their lines, and after that."""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import orjson

from shared.errors import UpstreamRefused
from shared.governance.keys.caller import Caller
from shared.governance.ledger.followed_batches import FollowedBatches
from shared.inference.passthrough import Passthrough, RawAnswer, RawRequest
from shared.inference.provider_batch_lines import parse_object

Forward = Callable[[], Awaitable[RawAnswer]]


class BatchAnswers:
    """Reads and cancels providers' batches.

    Args:
        passthrough: Forwards.
        followed: The batches that are followed, and what callers see of them.
    """

    def __init__(self, passthrough: Passthrough, followed: FollowedBatches) -> None:
        self._passthrough = passthrough
        self._followed = followed

    async def cancel(self, request: RawRequest, batch_id: str, caller: Caller, forward: Forward) -> RawAnswer:
        """Cancel a batch and its rescue.

        Args:
            request: The caller's.
            batch_id: The provider's id.
            caller: Who cancels it.
            forward: Sends the request to the provider.

        Raises:
            GatewayError: The provider's own error, unless it has ended there and its rescue goes on.
        """
        view = await self._followed.view(request.provider, batch_id)
        if view is None or view.final:
            return await forward()
        await self._followed.stop_rescue(request.provider, batch_id, view)
        try:
            return await forward()
        except UpstreamRefused:
            path = f"/batches/{quote(batch_id, safe='')}"
            found = RawRequest(method="GET", path=path, provider=request.provider, request_id=request.request_id)
            return await self._passthrough.forward(found, caller)

    async def show(self, provider: str, answer: RawAnswer) -> RawAnswer:
        """Return a batch, or a list of batches, as its caller sees it.

        Raises:
            StoreUnavailable: No answer.
        """
        if not answer.content_type.startswith("application/json"):
            return answer
        body = await answer.read()
        found = parse_object(body)
        rows = found.get("data") if isinstance(found.get("data"), list) else None
        if rows is None:
            viewed = await self._viewed(provider, found)
            return answer.with_body(body if viewed is found else orjson.dumps(viewed))
        return answer.with_body(
            orjson.dumps({**found, "data": await asyncio.gather(*(self._viewed(provider, row) for row in rows))})
        )

    async def _viewed(self, provider: str, found: object) -> object:
        if not isinstance(found, dict) or not isinstance(found.get("id"), str):
            return found
        view = await self._followed.view(provider, found["id"])
        return found if view is None else view.apply(found)
