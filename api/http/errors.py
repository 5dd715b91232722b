"""The only place that renders errors: OpenAI's envelope, with the headers that its SDKs obey."""

import logging
import math
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.http.request_context import (
    JSON_TYPE,
    SCOPE_KEY,
    App,
    HeaderLine,
    Receive,
    Reply,
    RequestContext,
    Scope,
    Send,
    header_text,
    send_reply,
)
from shared.errors import (
    ClientGone,
    GatewayError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    StoreUnavailable,
)
from shared.store.errors import StoreConnectionError
from shared.surfaces.anthropic import error_of as anthropic_error
from shared.surfaces.genai import error_of as genai_error

logger = logging.getLogger("finops.api")

ANTHROPIC_PREFIX = "/anthropic/"
GENAI_PREFIX = "/genai/"

# The upstream's framing and what we say ourselves do not come from an upstream's error.
_OURS = frozenset({"content-type", "content-length", "transfer-encoding", "connection", "x-request-id", "retry-after"})


def error_reply(error: GatewayError, surface: str = "", request_id: str = "") -> Reply:
    """The response that tells a caller of an error, in the envelope of the surface it came through."""
    headers: list[HeaderLine] = [JSON_TYPE]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s))))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    headers += [(header_text(name), header_text(value)) for name, value in error.headers.items() if name not in _OURS]
    if surface == "anthropic":
        body = _dump(anthropic_error(error.status, error.envelope()["error"], request_id or None))
        return Reply(error.status, body, (*headers, (b"request-id", header_text(request_id))))
    if surface == "genai":
        said = {**error.envelope()["error"], "retry_after_s": error.retry_after_s}
        return Reply(error.status, _dump(genai_error(error.status, said)), tuple(headers))
    return Reply(error.status, _dump(error.envelope()), tuple(headers))


def _dump(envelope: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(envelope, default=str)
    except TypeError:  # text that has no UTF-8 form
        return orjson.dumps(_escaped(envelope), default=str)


def _escaped(value: object) -> object:
    if isinstance(value, dict):
        return {name: _escaped(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return ascii(value) if isinstance(value, str) and not value.isascii() else value


def as_gateway_error(error: Exception, request_id: str = "") -> GatewayError:
    """What a caller is told of any exception; one that nobody foresaw is logged, and its details stay in the log."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, StoreConnectionError | RedisError):
        logger.warning("The job store failed: %s", error, extra={"request_id": request_id})
        return StoreUnavailable()
    logger.error("A request failed unexpectedly", exc_info=error, extra={"request_id": request_id})
    return InternalError(
        f"The gateway failed on this request; its log has the details under {request_id or 'the request id'}."
    )


class ErrorBoundary:
    """ASGI middleware: turns what the application raises into a response, or ends the connection if one has begun."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # the outermost place: nothing may escape it
            if scope["type"] != "http":
                raise
            await _answer(error, scope, send)


async def _answer(error: Exception, scope: Scope, send: Send) -> None:
    context: RequestContext = scope[SCOPE_KEY]
    if isinstance(error, ClientGone):
        context.status = context.status or ClientGone.status
        return
    told = as_gateway_error(error, context.request_id)
    if context.status == 0:
        await send_reply(send, error_reply(told, _surface(scope["path"]), context.request_id))
    # Else the response is half sent: returning without its end makes the server drop the connection, which is
    # how HTTP says that a body is incomplete.


def install_error_handlers(app: FastAPI) -> None:
    """Put the framework's own errors into the same envelope."""
    app.add_exception_handler(HTTPException, _render_http_exception)
    app.add_exception_handler(RequestValidationError, _render_validation_error)


async def _render_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    told: GatewayError
    if error.status_code == 404:
        told = NotFound(f"There is nothing at {request.method} {request.url.path[:200]!r}; see /docs for what is.")
    elif error.status_code == 405:
        told = MethodNotAllowed(f"{request.method} is not allowed on {request.url.path[:200]!r}.")
    else:
        told = InvalidRequest(str(error.detail)[:500])
        told.status = error.status_code
    return _response(_for_path(request, told), dict(error.headers or {}))


def _for_path(request: Request, told: GatewayError) -> Reply:
    return error_reply(told, _surface(request.url.path), request.scope[SCOPE_KEY].request_id)


def _surface(path: str) -> str:
    """Whose envelope callers of a path read; it may be one where nothing is."""
    if path.startswith(GENAI_PREFIX):
        return "genai"
    return "anthropic" if path.startswith(ANTHROPIC_PREFIX) else ""


async def _render_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    told = InvalidRequest(f"{'.'.join(place)}: {first['msg']}.", param=place[-1])
    told.status = 422
    return _response(_for_path(request, told), {})


def _response(reply: Reply, headers: dict[str, str]) -> Response:
    for name, value in reply.headers:
        headers[name.decode()] = value.decode("latin-1")
    return Response(reply.body, reply.status, headers)
