"""One log line and one count per request, after its response; never a body, a query or a secret."""

import time

from api.http.request_context import SCOPE_KEY, App, Receive, RequestContext, Scope, Send
from shared.errors import ClientGone
from shared.telemetry.logs import RequestLines
from shared.telemetry.metrics import Metrics

# Asked every few seconds by machines; a line each would bury the others.
_QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})


class AccessLog:
    """ASGI middleware, inside ``RequestId``.

    Args:
        metrics: Where requests are counted.
        lines: Whether lines are written too (``[log] requests``).
    """

    def __init__(self, app: App, *, metrics: Metrics, lines: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._lines = RequestLines("finops.requests") if lines else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context: RequestContext = scope[SCOPE_KEY]
        try:
            await self._app(scope, receive, send)
        finally:
            seconds = time.perf_counter() - context.started
            status = context.status or ClientGone.status
            self._metrics.request(
                context.surface or "other", context.request_type or "-", status, context.provider, seconds
            )
            if self._lines is not None and scope["path"] not in _QUIET:
                self._lines.write("request", _fields(scope, context, status, seconds))


def _fields(scope: Scope, context: RequestContext, status: int, seconds: float) -> dict[str, object]:
    fields: dict[str, object] = {
        "request_id": context.request_id,
        "method": scope["method"],
        "path": scope["path"][:256],
        "status": status,
        "ms": round(seconds * 1000, 2),
    }
    if context.caller.name:
        fields["caller"] = context.caller.name
    if context.model:
        fields["model"] = context.model
    if context.provider:
        fields["provider"] = context.provider
    if context.job_id:
        fields["job_id"] = context.job_id
    return fields
