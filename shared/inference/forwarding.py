"""Forwarding of requests that belong to one provider, with limits checked before and a ledger entry after."""

from shared.governance.keys.caller import Caller
from shared.inference.billing import Billing
from shared.inference.call import Call
from shared.inference.call_cost import CallCost
from shared.inference.passthrough import Passthrough, RawAnswer, RawRequest
from shared.surfaces.request_types import PASSTHROUGH


class Forwarder:
    """Forwards requests unread, and books those that create something at their provider.

    Args:
        passthrough: Forwards.
        billing: Checks limits and books; None: nothing is billed.
    """

    def __init__(self, passthrough: Passthrough, billing: Billing | None) -> None:
        self._passthrough = passthrough
        self._billing = billing

    async def forward(self, request: RawRequest, caller: Caller) -> RawAnswer:
        """Forward a request untouched.

        A POST is booked; its cost is unknown, so it is booked as unpriced unless providers do not charge for it.

        Raises:
            GatewayError: A limit is spent, the caller may not use the provider, or the provider's own error.
        """
        if self._billing is None or request.method != "POST":
            return await self._passthrough.forward(request, caller)
        return await self._forward_billed(self._billing, request, caller)

    async def _forward_billed(self, billing: Billing, request: RawRequest, caller: Caller) -> RawAnswer:
        self._passthrough.owner(request.provider, caller)
        call = Call(
            request_type=PASSTHROUGH,
            model=f"{request.provider}{request.path.partition('?')[0]}",
            body=b"",
            fields={},
            caller=caller,
            request_id=request.request_id,
            surface="openai",
            dimensions=request.dimensions,
            run=request.run,
        )
        call_cost = CallCost(billing, call)
        try:
            call_cost.reservation = await billing.check_forwarded(call, request.provider)
            call_cost.sent(request.provider, "", "")
            answer = await self._passthrough.forward(request, caller)
        except BaseException as error:
            call_cost.failed(error)
            raise
        call_cost.forwarded(answer.status, free=request.free)
        answer.headers = {**answer.headers, **call_cost.headers()}
        return answer
