"""``/api/runs``: all callers' runs."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ServicesDep, as_response
from api.http.query import list_reply, read_limit, unknown_cursor
from api.usage.models import RunPage
from shared.governance.limits.runs import Runs

router = admin_router("/api/runs")

Text = Annotated[str | None, Query()]


@router.get("", summary="List all callers' runs, the last used first", response_model=RunPage)
async def list_all(services: ServicesDep, after: Text = None, limit: Text = None) -> Response:
    """A page of runs with their owners; pass its `last_id` as `after` for the next page."""
    page = await Runs(services.commands).page(after=after or "", limit=read_limit(limit))
    if page is None:
        raise unknown_cursor()
    found, cursor, more = page
    return as_response(list_reply([run.to_admin_dict() for run in found], more=more, last_id=cursor))
