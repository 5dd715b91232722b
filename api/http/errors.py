"""Renders every error, in the envelope of the caller's surface and with the headers that its SDKs obey."""

import logging
import math
from typing import Any

import orjson
from redis.exceptions import RedisError

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
    StoreUnavailable,
)
from shared.store.errors import StoreConnectionError
from shared.surfaces.anthropic import error_of as anthropic_error
from shared.surfaces.genai import error_of as genai_error

logger = logging.getLogger("finops.api")

ANTHROPIC_PREFIX = "/anthropic/"
GENAI_PREFIX = "/genai/"

_WITH_RETRY_AFTER = frozenset({429, 503})
# Not taken over from an upstream's error: its framing, and the headers that the gateway sets itself.
_OURS = frozenset({"content-type", "content-length", "transfer-encoding", "connection", "x-request-id", "retry-after"})


def error_reply(error: GatewayError, surface: str = "", request_id: str = "") -> Reply:
    """Render an error in the envelope of the surface that the request came through."""
    headers: list[HeaderLine] = [JSON_TYPE]
    retry_after_s = error.retry_after_s
    if retry_after_s is None and error.status in _WITH_RETRY_AFTER and error.should_retry is not False:
        retry_after_s = 1.0  # the provider did not say
    if retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(retry_after_s))))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    headers += [(header_text(name), header_text(value)) for name, value in error.headers.items() if name not in _OURS]
    if surface == "anthropic":
        body = _dump(anthropic_error(error.status, error.envelope()["error"], request_id or None))
        return Reply(error.status, body, (*headers, (b"request-id", header_text(request_id))))
    if surface == "genai":
        details = {**error.envelope()["error"], "retry_after_s": error.retry_after_s}
        return Reply(error.status, _dump(genai_error(error.status, details)), tuple(headers))
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
    """Convert any exception to an error for the caller; details of an unexpected one go to the log alone."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, StoreConnectionError | RedisError):
        logger.warning("The job store failed: %s", error, extra={"request_id": request_id})
        return StoreUnavailable()
    logger.error("A request failed unexpectedly", exc_info=error, extra={"request_id": request_id})
    return InternalError(
        f"The gateway failed on this request. Its log has the details under {request_id or 'the request id'}."
    )


class ErrorBoundary:
    """ASGI middleware: turns an exception into a response, or drops the connection if the response has begun."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # the outermost handler: nothing may escape it
            if scope["type"] != "http":
                raise
            await _answer(error, scope, send)


async def _answer(error: Exception, scope: Scope, send: Send) -> None:
    context: RequestContext = scope[SCOPE_KEY]
    if isinstance(error, ClientGone):
        context.status = context.status or ClientGone.status
        return
    gateway_error = as_gateway_error(error, context.request_id)
    if context.status == 0:
        await send_reply(send, error_reply(gateway_error, surface_of(scope["path"]), context.request_id))
    # Otherwise the response is half sent. Returning without its end makes the server drop the connection, which is how
    # HTTP marks a body as incomplete.


def surface_of(path: str) -> str:
    """The surface whose envelope callers of a path expect, whether or not anything is served there."""
    if path.startswith(GENAI_PREFIX):
        return "genai"
    return "anthropic" if path.startswith(ANTHROPIC_PREFIX) else ""
