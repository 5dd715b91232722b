"""``/api/alerts``: alerts about budgets and unusual spending."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ServicesDep, as_response
from api.http.query import list_reply, read_limit
from shared.governance.forecasts.alerts import list_alerts

router = admin_router("/api/alerts")

Text = Annotated[str | None, Query(max_length=256)]


@router.get("", summary="List alerts on budget thresholds and unusual spending")
async def list_all(
    services: ServicesDep,
    kind: Annotated[str | None, Query(alias="type", max_length=64)] = None,
    scope: Text = None,
    after: Text = None,
    limit: Text = None,
) -> Response:
    """A page, newest first; pass its ``last_id`` as ``after`` for the next page."""
    size = read_limit(limit)
    alerts, more = await list_alerts(
        services.commands, kind=kind or "", scope=scope or "", after=after or "", limit=size
    )
    return as_response(list_reply([alert.to_dict() for alert in alerts], more=more))
