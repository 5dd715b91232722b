"""Forwards what is not read here, through the books all the same."""

from shared.governance.keys.caller import Caller
from shared.inference.billing import Billing
from shared.inference.call import Call
from shared.inference.call_cost import CallCost
from shared.inference.passthrough import Passthrough, RawAnswer, RawRequest
from shared.surfaces.request_types import PASSTHROUGH


async def forward_booked(passthrough: Passthrough, billing: Billing, request: RawRequest, caller: Caller) -> RawAnswer:
    """Forward a request that makes something at its provider: admitted before, booked after.

    What it costs nobody knows, so it is booked as unpriced, unless no provider asks money for such requests.

    Raises:
        GatewayError: What the caller is told.
    """
    passthrough.owner(request.provider, caller)
    call = Call(
        request_type=PASSTHROUGH,
        model=f"{request.provider}{request.path.partition('?')[0]}",
        body=b"",
        fields={},
        caller=caller,
        request_id=request.request_id,
        surface="openai",
        dimensions=request.dimensions,
    )
    call_cost = CallCost(billing, call)
    try:
        call_cost.admission = await billing.admit_forwarded(caller, request.provider)
        call_cost.sent(request.provider, "", "")
        answer = await passthrough.forward(request, caller)
    except BaseException as error:
        call_cost.failed(error)
        raise
    call_cost.forwarded(answer.status, free=request.free)
    answer.headers = {**answer.headers, **call_cost.headers()}
    return answer
