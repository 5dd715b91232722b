"""A span for each request that is traced: a middleware that exists only where traces are configured."""

from api.http.request_context import SCOPE_KEY, App, Receive, RequestContext, Scope, Send
from shared.errors import ClientGone
from shared.telemetry.tracing import Tracing, Value

_QUIET = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})


class TracedRequests:
    """ASGI middleware, inside ``RequestId``: continues the caller's trace, or begins one.

    Args:
        tracing: Decides what is traced, and makes the span.
    """

    def __init__(self, app: App, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or scope["path"] in _QUIET:
            await self._app(scope, receive, send)
            return
        context: RequestContext = scope[SCOPE_KEY]
        parent = self._tracing.incoming(context.headers)
        if parent is None:
            await self._app(scope, receive, send)
            return
        attributes: dict[str, Value] = {
            "http.request.method": scope["method"],
            "url.path": scope["path"][:256],
            "finops.request.id": context.request_id,
        }
        with self._tracing.span(scope["method"], "server", attributes, parent=parent) as span:
            try:
                await self._app(scope, receive, send)
            finally:
                if context.request_type:  # of a fixed list: a name of few values, as backends group by it
                    span.update_name(f"{scope['method']} {context.request_type}")
                status = context.status or ClientGone.status
                span.set_attributes(_outcome(context, status))
                if status >= 500:
                    self._tracing.fail(span, str(status))


def _outcome(context: RequestContext, status: int) -> dict[str, Value]:
    found: dict[str, Value] = {"http.response.status_code": status}
    about = {
        "finops.surface": context.surface,
        "finops.key.id": context.caller.key_id,
        "finops.job.id": context.job_id,
        "finops.provider": context.provider,
        "gen_ai.request.model": context.model,
    }
    return found | {name: value for name, value in about.items() if value}
