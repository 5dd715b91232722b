"""``/api/audit``: what administrators did."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.admin.access import admin_router
from api.http.deps import ServicesDep, as_response
from api.http.request_context import json_reply
from api.jobs.lists import read_limit

router = admin_router("/api/audit")

Text = Annotated[str | None, Query()]


@router.get("", summary="What administrators did, newest first")
async def list_entries(services: ServicesDep, target: Text = None, after: Text = None, limit: Text = None) -> Response:
    """Who, when, what, to which id, with which result; the next page starts ``after`` the ``last_id`` of this one."""
    entries, last = await services.audit.entries(after=after or "", limit=read_limit(limit), target=target or "")
    page = {"object": "list", "data": entries, "last_id": last or None, "has_more": bool(last)}
    return as_response(json_reply(page))
