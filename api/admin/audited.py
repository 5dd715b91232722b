"""Audit trail: a route class that records each call by an administrator."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.http.request_context import SCOPE_KEY, AuditEvent, RequestContext
from api.services import Services, services_of
from shared import clock
from shared.errors import StoreUnavailable
from shared.governance.keys.authenticate import ADMINISTRATOR

logger = logging.getLogger("finops.audit")

Serve = Callable[[Request], Coroutine[Any, Any, Response]]
_READS = frozenset({"GET", "HEAD"})
_MAX_TARGET = 100


class AuditedRoute(APIRoute):
    """A route that records administrators' calls which change something, or which set ``context.audit_event``."""

    def get_route_handler(self) -> Serve:
        """Wrap the framework's handler: the entry is written before the answer is sent."""
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
        "who": name_of(services, context),
        "address": services.addresses.of(request.scope),
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
        # The action is done, and its answer may hold a value that is returned only once; the log above has the entry.
        logger.exception("An audit entry could not be stored", extra={"request_id": context.request_id})


def name_of(services: Services, context: RequestContext) -> str:
    """The admin key's, a token's or a person's."""
    caller = context.caller
    return services.governance.admin_key_name if caller.name == ADMINISTRATOR.name else caller.name


def _path_target(request: Request) -> str:
    return next((str(value) for value in request.path_params.values()), "")


def _status_of(error: Exception) -> int:
    if isinstance(error, RequestValidationError):
        return 400
    status = getattr(error, "status", None) or getattr(error, "status_code", None)
    return status if isinstance(status, int) else 500
