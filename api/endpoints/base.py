"""Base class of the plain ASGI endpoints: every one of them authenticates its caller before it does anything else."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import ClassVar, Literal, final

from api.endpoints.callers import caller_of
from api.http.request_context import SCOPE_KEY, Receive, RequestContext, Scope, Send
from api.jobs.async_headers import POLL
from api.services import Services


class AsgiEndpoint(ABC):
    """An endpoint in plain ASGI: labels the request, authenticates its caller, then calls ``handle``.

    The hot path is written this way: no request object, no dependency injection, no models. Subclasses implement
    ``handle`` and cannot skip authentication, as ``__call__`` is final.

    Args:
        surface: ``RequestContext.surface`` of its requests.
        request_type: ``RequestContext.request_type`` of its requests.
    """

    administrable: ClassVar[Literal["never", "polls", "always"]] = "never"
    """For which requests the admin key is accepted: those that read or end what callers made, never new calls."""

    def __init__(self, surface: str, request_type: str) -> None:
        self._surface = surface
        self._label = request_type

    @final
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authenticate the caller and serve the request.

        Raises:
            GatewayError: The caller is unknown, or the request is refused; not after the response has begun.
        """
        context: RequestContext = scope[SCOPE_KEY]
        self.prepare(context, scope)
        services: Services = scope["app"].state["services"]  # as an attribute it is looked for as one of its own first
        mode = self.administrable
        administrable = mode == "always" or (mode == "polls" and POLL in context.headers)
        context.caller = await caller_of(services, context, scope, administrable=administrable)
        await self.handle(services, context, scope, receive, send)

    def prepare(self, context: RequestContext, scope: Scope) -> None:  # noqa: ARG002 - for subclasses
        """Label the request for logs and metrics, before its caller is known.

        A subclass may also refuse a path that leads nowhere. It must not read the body, nor anything stored.
        """
        context.surface, context.request_type = self._surface, self._label

    @abstractmethod
    async def handle(
        self, services: Services, context: RequestContext, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a request of the authenticated ``context.caller``.

        Raises:
            GatewayError: The request is refused; not after the response has begun.
        """

    def take_over(
        self, services: Services, context: RequestContext, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        """Serve a request that another endpoint has authenticated and passes on."""
        self.prepare(context, scope)
        return self.handle(services, context, scope, receive, send)
