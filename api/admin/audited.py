"""Keeps what administrators do: a route that writes an entry of the audit trail for each of their calls."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.http.request_context import SCOPE_KEY, AuditEvent, RequestContext
from api.services import services_of
from shared import clock
from shared.errors import StoreUnavailable

logger = logging.getLogger("finops.audit")

Serve = Callable[[Request], Coroutine[Any, Any, Response]]
_READS = frozenset({"GET", "HEAD"})
_MAX_TARGET = 100


class AuditedRoute(APIRoute):
    """A route whose calls by administrators are kept, if they change something or say what they act on."""

    def get_route_handler(self) -> Serve:
        """The framework's, and the entry before its answer is sent."""
        serve = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                response = await serve(request)
            except Exception as error:
                await _record(request, self.path_format, _status_of(error))
                raise
            await _record(request, self.path_format, response.status_code)
            return response

        return handler


async def _record(request: Request, path: str, status: int) -> None:
    context: RequestContext = request.scope[SCOPE_KEY]
    if not context.caller.admin or (request.method in _READS and context.audit_event is None):
        return
    audit_event = context.audit_event or AuditEvent(_path_target(request))
    services = services_of(request.scope)
    entry = {
        "at": clock.rfc3339(clock.now(), "milliseconds"),
        "who": services.governance.admin_key_name,
        "address": request.client.host if request.client else "",
        "action": f"{request.method} {path}",
        "target": audit_event.target[:_MAX_TARGET],
        "detail": dict(audit_event.detail),
        "status": status,
        "request_id": context.request_id,
    }
    logger.info("administration", extra=entry)
    try:
        await services.audit.record(entry)
    except StoreUnavailable:
        # What was done is done, and its answer may hold what is told only once; the log has the entry.
        logger.exception("an entry of the audit trail could not be kept", extra={"request_id": context.request_id})


def _path_target(request: Request) -> str:
    return next((str(value) for value in request.path_params.values()), "")


def _status_of(error: Exception) -> int:
    if isinstance(error, RequestValidationError):
        return 400
    said = getattr(error, "status", None) or getattr(error, "status_code", None)
    return said if isinstance(said, int) else 500
