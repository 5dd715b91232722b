"""Renders the framework's own errors, wrong paths and refused input, in the envelopes of the gateway's surfaces."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.http.errors import error_reply, surface_of
from api.http.request_context import SCOPE_KEY, Reply
from shared.errors import GatewayError, InvalidRequest, MethodNotAllowed, NotFound
from shared.surfaces.request_types import REQUEST_TYPES


def install_error_handlers(app: FastAPI) -> None:
    """Render the framework's own errors in the same envelopes."""
    app.add_exception_handler(HTTPException, _render_http_exception)
    app.add_exception_handler(RequestValidationError, _render_validation_error)


async def _render_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    gateway_error: GatewayError
    if error.status_code == 404:
        gateway_error = NotFound(
            f"Nothing is served at {request.method} {request.url.path[:200]!r}; /docs lists the paths."
            f"{_hint_for(request.url.path)}"
        )
    elif error.status_code == 405:
        gateway_error = MethodNotAllowed(f"{request.method} is not allowed on {request.url.path[:200]!r}.")
    else:
        gateway_error = InvalidRequest(str(error.detail)[:500])
        gateway_error.status = error.status_code
    return _response(_for_path(request, gateway_error), dict(error.headers or {}))


def _hint_for(path: str) -> str:
    """Name the path that was meant: SDKs add theirs to a base URL, and that is easily one without its surface."""
    for request_type in REQUEST_TYPES:
        if path.endswith(f"/{request_type.path}"):
            return f" Did you mean '/openai/v1/{request_type.path}'? The base URL of the SDK ends in /openai/v1."
    return ""


def _for_path(request: Request, gateway_error: GatewayError) -> Reply:
    return error_reply(gateway_error, surface_of(request.url.path), request.scope[SCOPE_KEY].request_id)


async def _render_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    return _response(_for_path(request, refused_input(error)), {})


def refused_input(error: RequestValidationError) -> InvalidRequest:
    """Convert the framework's validation error to the gateway's own: a 400 that names the parameter."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return InvalidRequest("The request body is not valid JSON.", param="body")
    location = [str(part) for part in first["loc"]]
    return InvalidRequest(f"{'.'.join(location)}: {first['msg']}.", param=location[-1])


def _response(reply: Reply, headers: dict[str, str]) -> Response:
    for name, value in reply.headers:
        headers[name.decode()] = value.decode("latin-1")
    return Response(reply.body, reply.status, headers)
