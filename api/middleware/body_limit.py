"""Refuses bodies that are too large: declared ones before they are read, others when they grow too long."""

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import suppress

from api.http.bodies import too_large
from api.http.errors import error_reply
from api.http.request_context import SCOPE_KEY, App, Message, Receive, RequestContext, Scope, Send
from shared.errors import RequestTooLarge

# How long a refused caller's remaining bytes are taken off the wire: a connection that is closed on unread bytes is
# reset, and the caller then never sees why.
LINGER_S = 5.0


class BodyLimit:
    """ASGI middleware, inside ``ErrorBoundary``.

    Args:
        max_bytes: The largest body, ``server.max_body_mb``.
        larger: Paths whose endpoints take larger ones, and look after them themselves.
    """

    def __init__(self, app: App, *, max_bytes: int, larger: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._larger = larger or {}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve a request; no coroutine of its own, as whoever waits for a job would keep it."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        context: RequestContext = scope[SCOPE_KEY]
        declared = context.headers.get(b"content-length")
        if declared is not None:
            limit = self._limit(scope)
            if not declared.isdigit() or len(declared) > 18 or int(declared) > limit:
                return self._refuse(limit, context, receive, send)
        elif b"transfer-encoding" in context.headers:
            return self._serve_counted(scope, receive, send)
        return self._app(scope, receive, send)

    async def _serve_counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = 0
        limit = self._limit(scope)

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body") or b"")
            if seen > limit:
                raise too_large(limit)
            return message

        try:
            await self._app(scope, counted, send)
        except RequestTooLarge:
            if scope[SCOPE_KEY].status:
                raise
            await self._refuse(limit, scope[SCOPE_KEY], receive, send)

    def _limit(self, scope: Scope) -> int:
        return self._larger.get(scope["path"], self._max_bytes)

    async def _refuse(self, limit: int, context: RequestContext, receive: Receive, send: Send) -> None:
        reply = error_reply(too_large(limit))
        lines = [*reply.headers, (b"content-length", b"%d" % len(reply.body)), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": reply.status, "headers": lines})
        await send({"type": "http.response.body", "body": reply.body, "more_body": True})
        if b"expect" not in context.headers:
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    await _discard(receive)
        await send({"type": "http.response.body", "body": b""})


async def _discard(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            return
