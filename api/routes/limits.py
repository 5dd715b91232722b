"""``/v1/limits``: the limits of the calling virtual key."""

from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from api.endpoints.deps import CallerDep, ServicesDep, as_response
from api.http.request_context import json_reply
from api.usage.limits import limit_status
from api.usage.models import OwnLimits
from shared import clock
from shared.errors import VirtualKeyRequired
from shared.governance.forecasts.limit_status import read_rates
from shared.governance.ledger.reports import Reports

router = APIRouter(prefix="/v1/limits", tags=["usage"])

RATES_FRESH_S: Final = 30.0
"""Of the forecasts: they read 25 hashes of the ledger, and a caller may ask as often as it likes."""


@router.get("", summary="Get the status of the calling virtual key's limits", response_model=OwnLimits)
async def own_limits(services: ServicesDep, caller: CallerDep) -> Response:
    """Limits of the key, its team and its customer: used, reserved and remaining, and a forecast for budgets."""
    if not caller.key_id:
        raise VirtualKeyRequired("This endpoint shows a virtual key its limits. With the admin key, use /api/limits.")
    limits = caller.limits
    rates = await services.shared_answers.get(
        f"limits.rates.{caller.key_id}",
        RATES_FRESH_S,
        lambda: read_rates(Reports(services.commands), limits, clock.now()),
        version=",".join(limit.id for limit in limits),
    )
    rows = await limit_status(services, limits, rates)
    return as_response(json_reply({"object": "list", "id": caller.key_id, "data": rows}))
