"""Access to ``/api``: key or token and role are checked first, then a small body is read and validated."""

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from api.admin.audited import AuditedRoute, Serve
from api.admin.permissions import permission_for
from api.endpoints.administrators import authorise
from api.http.bodies import read_bounded_body, replay
from api.http.framework_errors import refused_input
from shared.errors import InvalidRequest
from shared.settings.errors import JSON, fault_of, section_in

MAX_BODY_BYTES = 64 * 1024


class AdminRoute(AuditedRoute):
    """A route for administrators. Nothing of a request is read before its key and role have been checked.

    Attributes:
        max_body_bytes: The largest body.
    """

    max_body_bytes = MAX_BODY_BYTES

    def get_route_handler(self) -> Serve:
        """Authorise, read, serve and audit."""
        serve = super().get_route_handler()
        method = next(iter(self.methods or ()))
        permission = permission_for(method, self.path_format)

        async def handler(request: Request) -> Response:
            await authorise(request, permission)
            body = await read_bounded_body(request.receive, self.max_body_bytes)
            try:
                return await serve(Request(request.scope, replay(body, request.receive)))
            except RequestValidationError as error:
                raise self._refusal(error) from None

        return handler

    def _refusal(self, error: RequestValidationError) -> InvalidRequest:
        """Name a field of the body by its path, with the nearest known name where it is unknown."""
        first = error.errors()[0]
        source, *path = first["loc"]
        if source != "body" or not path or first["type"] == "json_invalid":
            return refused_input(error)
        model = section_in(self.endpoint.__annotations__.get("body")) or BaseModel
        param = ".".join(map(str, path))[:100]
        return InvalidRequest(f"{fault_of({**first, 'loc': tuple(path)}, model, JSON)}.", param=param)


def admin_router(prefix: str, route_class: type[AdminRoute] = AdminRoute) -> APIRouter:
    """Make a router whose routes are all authorised and audited."""
    return APIRouter(prefix=prefix, tags=["administration"], route_class=route_class)
