"""Requests that belong to one provider and go to it untouched: its files, its stored responses."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from shared.errors import Unsupported
from shared.governance.caller import Caller
from shared.providers.base import Provider
from shared.providers.client import Exchange, ProviderClient
from shared.providers.registry import DEFAULT_PROVIDER, Providers
from shared.providers.selection import choose_key
from shared.providers.wires.base import UpstreamRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRequest:
    """A request to be forwarded.

    Attributes:
        path: Below the provider's base URL, percent-encoded as it came, with its query.
        provider: Who owns what it speaks of.
    """

    method: str
    path: str
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    provider: str = DEFAULT_PROVIDER


class RawAnswer:
    """A provider's answer as it is; iterate its body once, or close it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.status = exchange.status
        self.content_type = exchange.content_type
        self.headers = exchange.headers

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
        provider = self._provider(request.provider)
        caller.authorise(provider.name, "")
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

    def _provider(self, name: str) -> Provider:
        provider, _ = self._providers.resolve(f"{name}/-")
        if provider.wire != "openai":
            raise Unsupported(f"The provider {name!r} has no such resource in OpenAI's format.")
        return provider
