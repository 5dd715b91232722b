"""Routes found by one look-up of the whole path, for the endpoints whose speed matters."""

from collections.abc import Mapping

from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import ASGIApp, Receive, Scope, Send


class ExactRoutes(BaseRoute):
    """ASGI endpoints by exact path, for POST; another method goes on to later routes, and is a 405 if none takes it.

    Matching forty patterns one after the other would cost more than all else that the router does.
    """

    def __init__(self, endpoints: Mapping[str, ASGIApp]) -> None:
        self.endpoints = dict(endpoints)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the path is one of ours."""
        if scope["type"] != "http":
            return Match.NONE, {}
        endpoint = self.endpoints.get(scope["path"])
        if endpoint is None or scope["method"] != "POST":
            return Match.NONE, {}
        return Match.FULL, {"endpoint": endpoint}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that matched."""
        await scope["endpoint"](scope, receive, send)

    def url_path_for(self, name: str, /, **_path_params: object) -> str:  # type: ignore[override]
        """They have no names."""
        raise NoMatchFound(name, {})
