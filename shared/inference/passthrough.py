"""Requests that belong to one provider and go to it untouched: its files, its stored responses."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from shared.errors import Unsupported
from shared.governance.keys.caller import Caller
from shared.providers.base import Provider
from shared.providers.client import ProviderClient, UpstreamResponse
from shared.providers.health.selection import choose_key
from shared.providers.registry import DEFAULT_PROVIDER, Providers
from shared.providers.wires.base import UpstreamRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRequest:
    """A request to be forwarded.

    Attributes:
        path: Below the provider's base URL, percent-encoded as it came, with its query.
        provider: Who owns what it speaks of.
        request_id: For the books.
        dimensions: Names and values that it is booked under.
    """

    method: str
    path: str
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    provider: str = DEFAULT_PROVIDER
    request_id: str = ""
    dimensions: Mapping[str, str] = field(default_factory=dict)

    @property
    def free(self) -> bool:
        """Whether no provider asks money for it: keeping files, and calling off what runs."""
        steps = self.path.partition("?")[0].strip("/").split("/")
        return steps[0] in {"files", "uploads"} or steps[-1] == "cancel"


class RawAnswer:
    """A provider's answer as it is; iterate its body once, or close it."""

    def __init__(self, exchange: UpstreamResponse) -> None:
        self._exchange = exchange
        self.status = exchange.status
        self.content_type = exchange.content_type
        self.headers: Mapping[str, str] = exchange.headers

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._exchange.chunks():
                yield chunk
        finally:
            await self.aclose()

    async def read(self) -> bytes:
        """The whole body."""
        async with self._exchange as exchange:
            return await exchange.read()

    async def aclose(self) -> None:
        """Drop the upstream connection, or give it back at the end."""
        await asyncio.shield(self._exchange.aclose())


class Passthrough:
    """Forwards what only the owning provider can answer."""

    def __init__(self, providers: Providers, client: ProviderClient) -> None:
        self._providers = providers
        self._client = client

    async def forward(self, request: RawRequest, caller: Caller) -> RawAnswer:
        """Send it on and give back what comes, with the provider's status only if 2xx.

        Raises:
            UnknownProvider: The provider is not configured.
            UpstreamRefused: The provider's own error.
        """
        provider = self.owner(request.provider, caller)
        upstream = UpstreamRequest(
            path=request.path, body=request.body, content_type=request.content_type, method=request.method
        )
        exchange = await self._client.open(
            provider,
            choose_key(provider.keys),
            "",
            upstream,
            headers=request.headers,
            total_s=provider.timeouts.total_s,
        )
        return RawAnswer(exchange)

    def owner(self, name: str, caller: Caller) -> Provider:
        """The provider of that name, if it has such resources and the caller may use it.

        Raises:
            UnknownProvider: It is not configured.
            Unsupported: It speaks another format.
            ProviderBlocked, ModelBlocked: It is not for this caller.
        """
        provider, _ = self._providers.resolve(f"{name}/-")
        if provider.wire != "openai":
            raise Unsupported(f"The provider {name!r} has no such resource in OpenAI's format.")
        caller.authorise(provider.name, "")
        return provider
