"""Resources that belong to one provider (files, stored completions, …): forwarded untouched, both ways."""

import re
from typing import NamedTuple
from urllib.parse import unquote

from starlette.routing import Match

from api.http.dimensions import dimensions_of
from api.http.disconnect import Hangup
from api.http.headers import forwarded_headers
from api.http.request_context import SCOPE_KEY, HeaderLine, Receive, RequestContext, Scope, Send, header_text, read_body
from api.middleware.fast_routes import POSTED
from api.services import services_of
from shared.errors import InvalidRequest, MethodNotAllowed, NotFound
from shared.inference.passthrough import RawAnswer, RawRequest
from shared.providers.registry import DEFAULT_PROVIDER
from shared.surfaces.request_types import REQUEST_TYPES

# The resource families of the OpenAI API that a provider keeps for itself.
FAMILIES = frozenset(
    {
        "agents",
        "assistants",
        "audio",
        "batches",
        "chat",
        "chatkit",
        "containers",
        "content_provenance_checks",
        "conversations",
        "decisions",
        "evals",
        "files",
        "fine_tuning",
        "images",
        "live",
        "models",
        "realtime",
        "responses",
        "safety",
        "skills",
        "threads",
        "uploads",
        "vaults",
        "vector_stores",
        "videos",
    }
)
_ANSWERED_HERE = frozenset(request_type.path for request_type in REQUEST_TYPES)
_PROVIDER = re.compile(r"[A-Za-z0-9._-]{1,64}")


class _Place(NamedTuple):
    provider: str
    path: str


class PassthroughEndpoint:
    """Forwards to the provider that ``x-bf-provider`` or ``?provider=`` names, else the default one.

    Args:
        prefix: The surface's prefix, taken off the path.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Raises:
            NotFound: The family is unknown.
            MethodNotAllowed: The path is one of ours, with another method.
        """
        context: RequestContext = scope[SCOPE_KEY]
        context.surface, context.request_type = "openai", "passthrough"
        place = self._place(scope, context)
        services = services_of(scope)
        context.caller = await services.governance.identify(context.headers)
        request = RawRequest(
            method=scope["method"],
            path=place.path,
            body=await read_body(receive),
            content_type=context.headers.get(b"content-type", b"").decode("latin-1"),
            headers=forwarded_headers(context.headers),
            provider=place.provider,
            request_id=context.request_id,
            dimensions=dimensions_of(context.headers),
        )
        with Hangup(receive):
            answer = await services.inference.forwarder.forward(request, context.caller)
            context.provider = place.provider
            await send_raw(send, answer)

    def _place(self, scope: Scope, context: RequestContext) -> _Place:
        raw: str = scope.get("raw_path", scope["path"].encode()).decode("latin-1").partition("?")[0]
        path = raw[len(self._prefix) :]
        segments = unquote(path).strip("/").split("/")
        if segments[0] not in FAMILIES or any(segment in {"", ".", ".."} for segment in segments):
            _refuse(scope)
        if scope["method"] != "GET" and path.strip("/") in _ANSWERED_HERE:
            _refuse(scope)
        provider, query = requested_provider(context, scope.get("query_string", b"").decode("latin-1"))
        return _Place(provider or DEFAULT_PROVIDER, f"{path}?{query}" if query else path)


def _refuse(scope: Scope) -> None:
    """Say that there is nothing, or that it takes another method."""
    posted = {**scope, "method": "POST"}
    refusal = MethodNotAllowed(f"{scope['method']} is not allowed on {scope['path'][:200]!r}.")
    if POSTED in scope:
        raise refusal
    for route in scope["app"].router.routes:
        if getattr(route, "endpoint", None) is scope.get("endpoint"):
            continue
        if route.matches(scope)[0] is Match.PARTIAL or route.matches(posted)[0] is Match.FULL:
            raise refusal
    raise NotFound(f"There is nothing at {scope['path'][:200]!r}; see /docs for what is.")


def requested_provider(context: RequestContext, query: str) -> tuple[str, str]:
    """Who is to answer, empty if nobody is named, and the query without what says so.

    Raises:
        InvalidRequest: That can be no provider's name.
    """
    said = context.headers.get(b"x-bf-provider", b"").decode("latin-1").strip()
    kept = []
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        if name == "provider":
            said = said or unquote(value)
        else:
            kept.append(pair)
    return check_provider(said), "&".join(kept)


def check_provider(said: str) -> str:
    """A provider's name, or empty.

    Raises:
        InvalidRequest: That can be no provider's name.
    """
    if said and not _PROVIDER.fullmatch(said):
        raise InvalidRequest("The provider must be the name of a configured one.", param="provider")
    return said


async def send_raw(send: Send, answer: RawAnswer) -> None:
    """Send a provider's answer on as it comes."""
    lines: list[HeaderLine] = [(b"content-type", header_text(answer.content_type))]
    lines += [(header_text(name), header_text(value)) for name, value in answer.headers.items()]
    try:
        await send({"type": "http.response.start", "status": answer.status, "headers": lines})
        async for chunk in answer:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        await answer.aclose()
