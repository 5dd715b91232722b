"""Lists that hold the gateway's own objects first, then the default provider's."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from api.endpoints.base import AsgiEndpoint
from api.http.bodies import drain
from api.http.query import list_reply, read_query
from api.http.request_context import Receive, RequestContext, Scope, Send, send_reply
from api.services import Services
from shared.providers.registry import DEFAULT_PROVIDER

GATEWAY = "finops"
"""The value of ``x-bf-provider`` that means the gateway itself."""

Page = tuple[list[dict[str, Any]], bool]
"""Objects, and whether there are more."""


class MergedList(AsgiEndpoint):
    """``GET`` of a list: the gateway's objects, and after the last of them the default provider's.

    Args:
        kind: The listed objects: ``files`` or ``batches``.
        passthrough: Serves the provider's part.
    """

    administrable = "always"

    def __init__(self, kind: str, passthrough: AsgiEndpoint) -> None:
        super().__init__("openai", kind)
        self._passthrough = passthrough

    async def handle(
        self, services: Services, context: RequestContext, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a request.

        Raises:
            InvalidRequest: A parameter is invalid; ``param`` names it.
        """
        query = read_query(scope.get("query_string", b""))
        after = query.get("after", "")
        provider = _named_provider(context, query)
        if provider not in ("", GATEWAY) or (after and not self.is_ours(after)):
            await self._passthrough.take_over(services, context, scope, receive, send)
            return
        objects, more = await self.page(services, context, query)
        default = services.inference.providers.get(DEFAULT_PROVIDER)
        provider_lists = default is not None and default.batches and not provider
        if provider_lists and not objects:
            await self._passthrough.take_over(services, context, _without_cursor(scope), receive, send)
            return
        await drain(receive)
        await send_reply(send, list_reply(objects, more=more or provider_lists))

    @abstractmethod
    def is_ours(self, cursor: str) -> bool:
        """Whether the gateway made this id."""

    @abstractmethod
    async def page(self, services: Services, context: RequestContext, query: Mapping[str, str]) -> Page:
        """Read a page of the caller's objects.

        Raises:
            InvalidRequest: A parameter is invalid; ``param`` names it.
        """


def _named_provider(context: RequestContext, query: Mapping[str, str]) -> str:
    """The provider whose list alone is asked for; ``finops``: the gateway's own; empty: both."""
    return context.headers.get(b"x-bf-provider", b"").decode("latin-1").strip() or query.get("provider", "")


def _without_cursor(scope: Scope) -> Scope:
    """The same request for the first page: providers do not know the gateway's cursors."""
    pairs = scope.get("query_string", b"").split(b"&")
    return {**scope, "query_string": b"&".join(pair for pair in pairs if not pair.startswith(b"after="))}
