"""``/api/config``: read the configuration again."""

from fastapi import Request
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ContextDep, ServicesDep, as_response
from api.http.reloads import Reload
from api.http.request_context import AuditEvent, json_reply
from shared.errors import Conflict
from shared.store.errors import StoreConnectionError
from shared.store.reloads import announce_reload

router = admin_router("/api/config")


@router.post("/reload", summary="Read the configuration again, in every process")
async def reload(request: Request, services: ServicesDep, context: ContextDep) -> Response:
    """Validates file and environment first; an invalid one is a 400 that names each fault, and changes nothing.

    `changes` has the settings that differ, secrets masked. No call fails: those that run end with the old
    configuration. The gateway's other processes then read their own files, and log what they find; `notified` is
    their number.
    """
    found: Reload | None = getattr(request.app.state, "reload", None)
    if found is None:
        raise Conflict("This process cannot read its configuration again; restart it.", code="reload_unavailable")
    context.audit_event = AuditEvent("config")
    changes = await found()
    context.audit_event = AuditEvent("config", {"changes": [str(change) for change in changes]})
    try:
        notified = await announce_reload(services.commands, found.origin) - 1
    except StoreConnectionError:
        notified = 0
    return as_response(
        json_reply(
            {
                "object": "config.reload",
                "changed": bool(changes),
                "changes": [change.to_dict() for change in changes],
                "notified": max(0, notified),
            }
        )
    )
