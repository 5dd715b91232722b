"""``/api/audit``: the audit trail of administrators' calls."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ServicesDep, as_response
from api.http.query import read_limit
from api.http.request_context import json_reply

router = admin_router("/api/audit")

Text = Annotated[str | None, Query()]


@router.get("", summary="List administrators' calls, newest first")
async def list_entries(services: ServicesDep, target: Text = None, after: Text = None, limit: Text = None) -> Response:
    """Who, when, which action on which target, and its status; pass ``last_id`` as ``after`` for the next page."""
    entries, last = await services.audit.entries(after=after or "", limit=read_limit(limit), target=target or "")
    page = {"object": "list", "data": entries, "last_id": last or None, "has_more": bool(last)}
    return as_response(json_reply(page))
