"""``/api/schedules``: all callers' schedules. They are changed at ``/v1/async/schedules``, with the admin key."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ServicesDep, as_response
from api.http.query import list_reply, read_limit, unknown_cursor
from api.http.request_context import json_reply
from api.http.schedule_models import ScheduleAnswer, ScheduleList

router = admin_router("/api/schedules")

Text = Annotated[str | None, Query(max_length=256)]


@router.get("", summary="List all callers' schedules", response_model=ScheduleList)
async def list_all(services: ServicesDep, key: Text = None, after: Text = None, limit: Text = None) -> Response:
    """Newest first; `key` is the id of a virtual key. The admin key also works at `/v1/async/schedules`."""
    page = await services.schedules.page(key or None, after=after or "", limit=read_limit(limit))
    if page is None:
        raise unknown_cursor()
    rows = [schedule.to_dict(with_owner=True) for schedule in page.schedules]
    return as_response(list_reply(rows, more=page.has_more))


@router.get("/{schedule_id}", summary="Get any schedule", response_model=ScheduleAnswer)
async def get_any(schedule_id: str, services: ServicesDep) -> Response:
    """With its next and its last firing."""
    return as_response(json_reply((await services.schedules.get(schedule_id)).to_dict(with_owner=True)))
