"""What administrators were told of budgets and of unusual spending."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.admin.access import admin_router
from api.http.deps import ServicesDep, as_response
from api.http.request_context import json_reply
from api.jobs.lists import read_limit
from shared.governance.forecasts.alerts import list_alerts

router = admin_router("/api/alerts")

Text = Annotated[str | None, Query(max_length=256)]


@router.get("", summary="Budgets that are spent in part, and keys that spend far above their habit")
async def list_all(
    services: ServicesDep,
    kind: Annotated[str | None, Query(alias="type", max_length=64)] = None,
    scope: Text = None,
    after: Text = None,
    limit: Text = None,
) -> Response:
    """A page, newest first; the next one starts ``after`` the ``last_id`` of this one."""
    size = read_limit(limit)
    alerts, more = await list_alerts(
        services.commands, kind=kind or "", scope=scope or "", after=after or "", limit=size
    )
    page = {
        "object": "list",
        "data": [alert.to_dict() for alert in alerts],
        "first_id": alerts[0].id if alerts else None,
        "last_id": alerts[-1].id if alerts else None,
        "has_more": more,
    }
    return as_response(json_reply(page))
