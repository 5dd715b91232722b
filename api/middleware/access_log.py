"""One log line and one count per request, after its response; never a body, a query or a secret."""

import time

from api.http.request_context import KEY, App, Facts, Receive, Scope, Send
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
        facts: Facts = scope[KEY]
        try:
            await self._app(scope, receive, send)
        finally:
            seconds = time.perf_counter() - facts.started
            status = facts.status or ClientGone.status
            self._metrics.request(facts.surface or "other", facts.request_type or "-", status, facts.provider, seconds)
            if self._lines is not None and scope["path"] not in _QUIET:
                self._lines.write("request", _fields(scope, facts, status, seconds))


def _fields(scope: Scope, facts: Facts, status: int, seconds: float) -> dict[str, object]:
    fields: dict[str, object] = {
        "request_id": facts.request_id,
        "method": scope["method"],
        "path": scope["path"][:256],
        "status": status,
        "ms": round(seconds * 1000, 2),
    }
    if facts.caller.name:
        fields["caller"] = facts.caller.name
    if facts.model:
        fields["model"] = facts.model
    if facts.provider:
        fields["provider"] = facts.provider
    if facts.job_id:
        fields["job_id"] = facts.job_id
    return fields
