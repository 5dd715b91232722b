"""Finds the endpoints whose speed matters by one look-up of the whole path, past everything that the framework does."""

from collections.abc import Awaitable, Mapping

from api.http.request_context import App, Receive, Scope, Send

POSTED = "finops.posted"
"""In the scope of a request whose path is an endpoint of ours, for POST: if nobody takes its method, it is a 405."""


class FastRoutes:
    """ASGI middleware, the innermost: ASGI endpoints by exact path; everything else goes on to the framework.

    The framework's exception handling and its router cost some 25 us a request; these endpoints need neither, as
    ``ErrorBoundary`` is around them and their paths hold no parameters.

    Args:
        endpoints: Applications by path, for POST.
        probes: Applications by path, for GET.
    """

    def __init__(self, app: App, *, endpoints: Mapping[str, App], probes: Mapping[str, App]) -> None:
        self._app = app
        self._endpoints = dict(endpoints)
        self._probes = dict(probes)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve a request; no coroutine of its own, as whoever waits for a job would keep it."""
        endpoint = self._endpoints.get(scope["path"])
        if endpoint is None:
            probe = self._probes.get(scope["path"]) if scope["method"] == "GET" else None
            return (probe or self._app)(scope, receive, send)
        if scope["method"] != "POST":
            scope[POSTED] = True
            return self._app(scope, receive, send)
        return endpoint(scope, receive, send)
