"""``/api/limits``: the limits of all active keys, closest to its end first."""

from typing import Annotated, Any, Final

from fastapi import Query
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ServicesDep, as_response
from api.http.query import list_reply, read_limit
from api.services import Services
from shared import clock
from shared.governance.forecasts.limit_status import limit_status_of, read_rates
from shared.governance.keys.model import VirtualKey, caller_of_key
from shared.governance.keys.store import KeyFilter
from shared.governance.ledger.reports import Reports
from shared.governance.limits.guard import LimitGuard
from shared.governance.limits.model import Limit
from shared.governance.limits.raises import Raises

router = admin_router("/api")

KEYS: Final = 200
FRESH_S: Final = 0.5
RATES_FRESH_S: Final = 30.0  # 24 hashes of the ledger: too many for every second


@router.get("/limits", summary="List the limits of active virtual keys, closest to its end first")
async def list_limits(
    services: ServicesDep,
    limit: Annotated[str | None, Query(description="1 to 1000, default 100.")] = None,
) -> Response:
    """Limits of keys, and those that they share in a team or customer; `has_more`: there are more than are listed.

    The first 200 active keys are looked at. Read from the store twice a second at most, however many ask.
    """
    most = read_limit(limit, default=100, most=1000)
    rows, more = await services.shared_answers.get("limits", FRESH_S, lambda: _read(services))
    return as_response(list_reply(rows[:most], more=more or len(rows) > most))


async def _read(services: Services) -> tuple[list[dict[str, Any]], bool]:
    keys, more = await services.keys.list(limit=KEYS, only=KeyFilter(status="active"))
    owners: dict[str, tuple[Limit, VirtualKey]] = {}
    for key in keys:
        for limit in caller_of_key(key, services.settings).limits:
            owners.setdefault(limit.id, (limit, key))
    limits = [limit for limit, _ in owners.values()]
    reports, now = Reports(services.commands), clock.now()
    rates = await services.shared_answers.get(
        "limits.rates", RATES_FRESH_S, lambda: read_rates(reports, limits, now), version=",".join(owners)
    )
    found = await limit_status_of(
        LimitGuard(services.commands), reports, Raises(services.commands), limits, now, rates=rates
    )
    rows = [
        {"key": key.id, "key_name": key.name, **status} if status["of"] == "key" else {"key": None, **status}
        for status, (_, key) in zip(found, owners.values(), strict=True)
    ]
    return sorted(rows, key=_share, reverse=True), more


def _share(row: dict[str, Any]) -> float:
    """The part of a limit that is used or reserved."""
    unit = "_usd" if "limit_usd" in row else ""
    whole = row[f"limit{unit}"]
    return float((row[f"used{unit}"] + row[f"reserved{unit}"]) / whole) if whole else 0.0
