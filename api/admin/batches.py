"""``/api/batches``: all callers' batches. They are read and cancelled at ``/v1/batches/{id}``, with the admin key."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ServicesDep, as_response
from api.http.query import list_reply, read_limit, unknown_cursor
from shared.batches.keys import EVERYONE

router = admin_router("/api/batches")

Text = Annotated[str | None, Query(max_length=256)]


@router.get("", summary="List all callers' batches")
async def list_all(services: ServicesDep, key: Text = None, after: Text = None, limit: Text = None) -> Response:
    """Newest first, each with its `key`; `key` selects those of one virtual key. Providers' own are not asked for."""
    page = await services.batches.page(key or EVERYONE, after=after or "", limit=read_limit(limit))
    if page is None:
        raise unknown_cursor()
    rows = [{**batch.as_object(), "key": batch.owner or None} for batch in page.batches]
    return as_response(list_reply(rows, more=page.has_more))
