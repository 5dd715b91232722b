"""Forwards resources that one provider keeps (files, stored completions, …), unchanged in both directions."""

from typing import NoReturn

from starlette.routing import Match

from api.endpoints.base import AsgiEndpoint
from api.http.bodies import content_type_of, parse_object, read_body
from api.http.dimensions import dimensions_of
from api.http.disconnect import Hangup
from api.http.forwarding import requested_provider, send_raw
from api.http.headers import forwarded_headers
from api.http.ownership import access_of
from api.http.request_context import Receive, RequestContext, Scope, Send
from api.http.runs import run_of
from api.middleware.fast_routes import POSTED
from api.services import Services
from shared.background import LARGE_BYTES
from shared.errors import MethodNotAllowed, NotFound
from shared.inference.forwarding import holds_json
from shared.inference.passthrough import RawRequest
from shared.providers.registry import DEFAULT_PROVIDER
from shared.surfaces.forwarded_paths import match_path


class PassthroughEndpoint(AsgiEndpoint):
    """Forwards to the provider that ``x-bf-provider`` or ``?provider=`` names, else to the default one.

    Args:
        prefix: The surface's prefix, removed from the path.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__("openai", "passthrough")
        self._prefix = prefix

    def prepare(self, context: RequestContext, scope: Scope) -> None:
        """Label the request, and refuse paths that no provider has.

        Raises:
            NotFound: No provider has the path.
            MethodNotAllowed: The path is served with another method.
        """
        super().prepare(context, scope)
        path = match_path(self._path(scope))
        if path is None:
            _refuse(scope)
        if scope["method"] not in path.methods:
            raise MethodNotAllowed(f"{scope['method']} is not allowed on {scope['path'][:200]!r}.")

    async def handle(
        self, services: Services, context: RequestContext, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Forward a request and stream the answer back.

        Raises:
            GatewayError: The provider is unknown, or not allowed to the caller, or does not answer.
        """
        named, query = requested_provider(context, scope.get("query_string", b"").decode("latin-1"))
        provider = named or DEFAULT_PROVIDER
        matched = match_path(self._path(scope))
        assert matched is not None  # noqa: S101 - ``prepare`` refuses every other path
        path, body, fields = matched.path, await read_body(receive), None
        if len(body) > LARGE_BYTES and holds_json(content_type_of(context), body):
            fields = await parse_object(body, services.settings.server.max_json_values)
        access = await access_of(services.governance, context.caller)
        request = RawRequest(
            method=scope["method"],
            path=f"{path}?{query}" if query else path,
            body=body,
            fields=fields,
            content_type=content_type_of(context),
            headers=forwarded_headers(context.headers),
            provider=provider,
            request_id=context.request_id,
            dimensions=dimensions_of(context.headers, context.caller),
            run=run_of(context.headers),
        )
        with services.call_slots.hold(context.caller), Hangup(receive):
            answer = await services.inference.forwarder.forward(request, context.caller, access)
            context.provider = provider
            await send_raw(send, answer)

    def _path(self, scope: Scope) -> str:
        """The path as it was sent, still percent-encoded."""
        raw: str = scope.get("raw_path", scope["path"].encode()).decode("latin-1").partition("?")[0]
        return raw[len(self._prefix) :]


def _refuse(scope: Scope) -> NoReturn:
    """Raise ``MethodNotAllowed`` if the gateway serves the path with another method, else ``NotFound``."""
    posted = {**scope, "method": "POST"}
    refusal = MethodNotAllowed(f"{scope['method']} is not allowed on {scope['path'][:200]!r}.")
    if POSTED in scope:
        raise refusal
    for route in scope["app"].router.routes:
        if getattr(route, "endpoint", None) is scope.get("endpoint"):
            continue
        if route.matches(scope)[0] is Match.PARTIAL or route.matches(posted)[0] is Match.FULL:
            raise refusal
    raise NotFound(f"Nothing is served at {scope['path'][:200]!r}; see /docs.")
