"""Refuses bodies above ``server.max_body_mb``: declared ones before they are read, others when they grow too long."""

import asyncio
from contextlib import suppress

from api.errors import error_reply
from api.exchange import KEY, App, Facts, Message, Receive, Scope, Send
from shared.errors import RequestTooLarge

# How long a refused caller's remaining bytes are taken off the wire: a connection that is closed on unread bytes is
# reset, and the caller then never sees why.
LINGER_S = 5.0


class BodyLimit:
    """ASGI middleware, inside ``ErrorBoundary``."""

    def __init__(self, app: App, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        facts: Facts = scope[KEY]
        declared = facts.headers.get(b"content-length")
        if declared is not None:
            if not declared.isdigit() or len(declared) > 18 or int(declared) > self._max_bytes:
                await self._refuse(facts, receive, send)
                return
        elif b"transfer-encoding" in facts.headers:
            await self._serve_counted(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _serve_counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body") or b"")
            if seen > self._max_bytes:
                raise self._too_large()
            return message

        try:
            await self._app(scope, counted, send)
        except RequestTooLarge:
            if scope[KEY].status:
                raise
            await self._refuse(scope[KEY], receive, send)

    def _too_large(self) -> RequestTooLarge:
        return RequestTooLarge(
            f"The request body is larger than {self._max_bytes / 1024 / 1024:g} MB, the limit of this gateway "
            "(server.max_body_mb)."
        )

    async def _refuse(self, facts: Facts, receive: Receive, send: Send) -> None:
        reply = error_reply(self._too_large())
        lines = [*reply.headers, (b"content-length", b"%d" % len(reply.body)), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": reply.status, "headers": lines})
        await send({"type": "http.response.body", "body": reply.body, "more_body": True})
        if b"expect" not in facts.headers:
            with suppress(TimeoutError):
                await asyncio.wait_for(_discard(receive), LINGER_S)
        await send({"type": "http.response.body", "body": b""})


async def _discard(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            return
