"""Requests that belong to one provider and are forwarded untouched: its files, its stored responses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from shared.errors import Unsupported
from shared.governance.keys.caller import Caller
from shared.governance.limits.runs import Run
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
        provider: Name of the provider that owns the resource.
        request_id: For the ledger.
        dimensions: Names and values for the ledger.
        run: The run that it belongs to; None: none.
        fields: The body's JSON object, where it was parsed already; None: it is parsed where it is needed.
    """

    method: str
    path: str
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    provider: str = DEFAULT_PROVIDER
    request_id: str = ""
    dimensions: Mapping[str, str] = field(default_factory=dict)
    run: Run | None = None
    fields: Mapping[str, Any] | None = None

    @property
    def free(self) -> bool:
        """Whether providers do not charge for it: reading, deleting, storing files, and cancelling what runs."""
        if self.method not in {"POST", "PUT", "PATCH"}:
            return True
        steps = self.path.partition("?")[0].strip("/").split("/")
        return steps[0] in {"files", "uploads"} or steps[-1] == "cancel"


class RawAnswer:
    """A provider's unread answer; iterate its body once, or close it.

    Attributes:
        observer: Awaited with each piece of the body before it is passed on.
    """

    def __init__(self, exchange: UpstreamResponse) -> None:
        self._exchange = exchange
        self._body: bytes | None = None
        self.observer: Callable[[bytes], Awaitable[None]] | None = None
        self.status = exchange.status
        self.content_type = exchange.content_type
        self.headers: Mapping[str, str] = exchange.headers

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._body is not None:
            yield self._body
            return
        try:
            async for chunk in self._exchange.chunks():
                if self.observer is not None:
                    await self.observer(chunk)
                yield chunk
        finally:
            await self.aclose()

    def with_body(self, body: bytes) -> Self:
        """Return the answer with another body in place of the one that was read."""
        self._body = body
        return self

    async def read(self) -> bytes:
        """Return the whole body."""
        if self._body is not None:
            return self._body
        async with self._exchange as exchange:
            return await exchange.read()

    async def aclose(self) -> None:
        """Close the upstream connection, or return it to the pool at the end."""
        await asyncio.shield(self._exchange.aclose())


class Passthrough:
    """Forwards requests that only the owning provider can answer."""

    def __init__(self, providers: Providers, client: ProviderClient) -> None:
        self._providers = providers
        self._client = client

    async def forward(self, request: RawRequest, caller: Caller) -> RawAnswer:
        """Forward a request and return the answer, whose status is 2xx.

        Raises:
            UnknownProvider: The provider is not configured.
            UpstreamRefused: The provider's own error.
        """
        provider = self.owner(request.provider, caller)
        upstream = UpstreamRequest(
            path=request.path,
            body=request.body if request.method in {"POST", "PUT", "PATCH"} else b"",
            content_type=request.content_type if request.body else "",
            method=request.method,
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

    def authorise(self, name: str, caller: Caller) -> None:
        """Check that the caller may use a model.

        Raises:
            InvalidRequest: The name is not in its canonical form.
            ProviderBlocked, ModelBlocked: The caller may not use it.
        """
        provider, model = self._providers.resolve(name)
        caller.authorise(provider.name, model)

    def owner(self, name: str, caller: Caller) -> Provider:
        """Return the provider of that name, if it has such resources and the caller may use it.

        Raises:
            UnknownProvider: It is not configured.
            Unsupported: Its format is not OpenAI's.
            ProviderBlocked, ModelBlocked: The caller may not use it.
        """
        provider, _ = self._providers.resolve(f"{name}/-")
        if provider.wire != "openai":
            raise Unsupported(f"Provider {name!r} does not have this resource in OpenAI's format.")
        caller.authorise(provider.name, "")
        return provider
