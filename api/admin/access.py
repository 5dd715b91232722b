"""The way into ``/api``: the admin key first, then a small body, whose faults are told with the nearest known name."""

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from api.admin.audited import AuditedRoute, Serve
from api.http.deps import require_admin
from api.http.request_context import Message, Receive, read_body
from shared.errors import GatewayError, InvalidRequest, RequestTooLarge
from shared.settings.errors import JSON, fault_of, section_in

MAX_BODY_BYTES = 64 * 1024


class AdminRoute(AuditedRoute):
    """A route for administrators. Nothing of a request is read before its key has been looked at."""

    def get_route_handler(self) -> Serve:
        """Authorise, read, serve, keep."""
        serve = super().get_route_handler()

        async def handler(request: Request) -> Response:
            await require_admin(request)
            bounded = Request(request.scope, _read_already(await _small_body(request)))
            try:
                return await serve(bounded)
            except RequestValidationError as error:
                raise self._refusal(error) from None

        return handler

    def _refusal(self, error: RequestValidationError) -> GatewayError:
        first = error.errors()[0]
        where, *place = first["loc"]
        if first["type"] == "json_invalid":
            return InvalidRequest("The body is no JSON.", param="body")
        if where != "body" or not place:
            return InvalidRequest(
                f"{'.'.join(map(str, (where, *place)))}: {first['msg']}.", param=str(first["loc"][-1])
            )
        model = section_in(self.endpoint.__annotations__.get("body")) or BaseModel
        param = ".".join(map(str, place))[:100]
        return InvalidRequest(f"{fault_of({**first, 'loc': tuple(place)}, model, JSON)}.", param=param)


def admin_router(prefix: str) -> APIRouter:
    """Where routes of the administration are put: all of them are authorised and audited."""
    return APIRouter(prefix=prefix, tags=["administration"], route_class=AdminRoute)


async def _small_body(request: Request) -> bytes:
    """A request's body.

    Raises:
        RequestTooLarge: It is larger than administration needs.
    """
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body") or b"")
        if seen > MAX_BODY_BYTES:
            raise RequestTooLarge(f"A body of the administration has at most {MAX_BODY_BYTES} bytes.")
        return message

    return await read_body(counted)


def _read_already(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
