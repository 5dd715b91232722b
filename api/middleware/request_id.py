"""Gives every request an id, which every response carries in ``x-request-id``."""

import os
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Iterable

from api.http.misspelt_headers import WARNING, unknown_headers, warning_of
from api.http.request_context import (
    HEADERS_KEY,
    SCOPE_KEY,
    App,
    HeaderLine,
    Receive,
    RequestContext,
    ResponseSender,
    Scope,
    Send,
)

_NONE: frozenset[bytes] = frozenset()
_SANE = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class RequestId:
    """ASGI middleware, the outermost: makes the request's ``RequestContext``."""

    def __init__(self, app: App) -> None:
        self._app = app
        # Ids must not collide; nothing hangs on their being unguessable. Asking the kernel for each costs 3 us.
        self._draw = random.Random(os.urandom(32)).getrandbits  # noqa: S311

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve a request; no coroutine of its own, as whoever waits for a job would keep it."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        lines = scope["headers"]
        headers = scope.pop(HEADERS_KEY, None) or dict(lines)
        request_id = _callers_id(headers) or f"req_{self._draw(128):032x}"
        repeated = _repeated(lines) if len(headers) != len(lines) else _NONE
        context = RequestContext(request_id, headers, repeated=repeated, started=time.perf_counter(), raw_headers=lines)
        scope[SCOPE_KEY] = context
        unknown = unknown_headers(headers)
        if unknown and (warning := warning_of(unknown)):
            context.lines = ((WARNING, warning.encode()),)
        return self._app(scope, receive, ResponseSender(send, context))


def _repeated(lines: Iterable[HeaderLine]) -> frozenset[bytes]:
    counted = Counter(name for name, _ in lines)
    return frozenset(name for name, count in counted.items() if count > 1)


def _callers_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id")
    return given.decode() if given and _SANE.fullmatch(given) else ""
