"""Access to ``/api``: the admin key is checked first, then a small body is read and validated."""

import hmac

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from api.admin.audited import AuditedRoute, Serve
from api.http.bodies import read_bounded_body, replay
from api.http.errors import refused_input
from api.http.request_context import SCOPE_KEY, RequestContext
from api.services import services_of
from shared.errors import AdminKeyRequired, InvalidRequest
from shared.governance.keys.authenticate import ADMINISTRATOR
from shared.settings.errors import JSON, fault_of, section_in

MAX_BODY_BYTES = 64 * 1024
_REFUSED = "This endpoint requires the admin key, sent as `Authorization: Bearer <admin key>`."


class AdminRoute(AuditedRoute):
    """A route for administrators. Nothing of a request is read before its key has been checked.

    Attributes:
        max_body_bytes: The largest body.
    """

    max_body_bytes = MAX_BODY_BYTES

    def get_route_handler(self) -> Serve:
        """Authorise, read, serve and audit."""
        serve = super().get_route_handler()

        async def handler(request: Request) -> Response:
            await self.authorise(request)
            body = await read_bounded_body(request.receive, self.max_body_bytes)
            try:
                return await serve(Request(request.scope, replay(body, request.receive)))
            except RequestValidationError as error:
                raise self._refusal(error) from None

        return handler

    async def authorise(self, request: Request) -> None:
        """Let those pass who may use the route.

        Raises:
            AdminKeyRequired, TooManyAttempts: As ``require_admin``.
        """
        await require_admin(request)

    def _refusal(self, error: RequestValidationError) -> InvalidRequest:
        """Name a field of the body by its path, with the nearest known name where it is unknown."""
        first = error.errors()[0]
        source, *path = first["loc"]
        if source != "body" or not path or first["type"] == "json_invalid":
            return refused_input(error)
        model = section_in(self.endpoint.__annotations__.get("body")) or BaseModel
        param = ".".join(map(str, path))[:100]
        return InvalidRequest(f"{fault_of({**first, 'loc': tuple(path)}, model, JSON)}.", param=param)


class MonitoringRoute(AdminRoute):
    """A route that the monitoring token may read too."""

    async def authorise(self, request: Request) -> None:
        """Let administrators and holders of the monitoring token pass."""
        await require_monitor(request)


async def require_monitor(request: Request) -> None:
    """Let administrators and holders of ``auth.monitoring_token`` pass.

    Raises:
        AdminKeyRequired, TooManyAttempts: As ``require_admin``.
    """
    context: RequestContext = request.scope[SCOPE_KEY]
    token = services_of(request.scope).settings.auth.monitoring_token
    if token is not None:
        expected = b"Bearer " + token.get_secret_value().encode()
        if hmac.compare_digest(context.headers.get(b"authorization", b""), expected):
            context.surface = "api"
            return
    await require_admin(request)


async def require_admin(request: Request) -> None:
    """Let administrators pass, and no one else.

    Raises:
        AdminKeyRequired: The request has no admin key, or a wrong one.
        TooManyAttempts: Too many wrong keys came from this address.
    """
    context: RequestContext = request.scope[SCOPE_KEY]
    context.surface = "api"
    services = services_of(request.scope)
    if b"cookie" in context.headers:
        caller = await services.governance.signed_in(context.headers)
        if caller is not None and caller.admin:
            context.caller = caller
            return
    if not services.governance.is_admin(context.headers):
        fingerprint = services.governance.fingerprint_of(context.headers)
        services.attempts.wrong(services.addresses.of(request.scope), fingerprint)
        raise AdminKeyRequired(_REFUSED)
    context.caller = ADMINISTRATOR


def admin_router(prefix: str, route_class: type[AdminRoute] = AdminRoute) -> APIRouter:
    """Make a router whose routes are all authorised and audited."""
    return APIRouter(prefix=prefix, tags=["administration"], route_class=route_class)
