"""Requests that belong to one provider and go to it untouched: its files, its stored responses, its list of models."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

import orjson

from shared.errors import GatewayError, ModelNotFound, UnknownProvider, Unsupported
from shared.governance.caller import Caller
from shared.providers.base import Provider
from shared.providers.client import Exchange, ProviderClient
from shared.providers.registry import DEFAULT_PROVIDER, Providers
from shared.providers.selection import choose_key
from shared.providers.wires.anthropic.wire import VERSION as ANTHROPIC_VERSION
from shared.providers.wires.base import UpstreamRequest

MODELS_CACHE_S = 60.0
MODELS_TIMEOUT_S = 5.0
NO_HEADERS: Mapping[str, str] = {}
# Where a wire that is not OpenAI's lists its models, and what of the format it asks for.
_LISTS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "anthropic": ("/v1/models?limit=1000", {"anthropic-version": ANTHROPIC_VERSION}),
}


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
        self._models: dict[str, tuple[float, list[dict[str, object]]]] = {}

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

    async def models(self, caller: Caller) -> list[dict[str, object]]:
        """What the caller may use, over all providers at once; one that does not answer is left out."""
        lists = await asyncio.gather(*(self._models_of(provider) for provider in self._providers.values()))
        return [model for models in lists for model in models if caller.may_use(*str(model["id"]).split("/", 1))]

    async def model(self, name: str, caller: Caller) -> dict[str, object]:
        """One model, as the provider whose it is by its name describes it: a list need not name all that it serves.

        Raises:
            ModelNotFound: No provider is known to have it, or the caller may not use it.
            UpstreamRefused: The provider's own error.
        """
        missing = ModelNotFound(f"No provider here lists the model {name[:256]!r}; GET /v1/models says what there is.")
        try:
            provider, wanted = self._providers.resolve(name)
        except UnknownProvider:
            raise missing from None
        if provider.wire != "openai" or not caller.may_use(provider.name, wanted):
            raise missing
        try:
            described = await self._get(provider, f"/models/{quote(wanted, safe='')}")
        except ValueError:
            raise missing from None
        if not isinstance(described, dict) or "id" not in described:
            raise missing
        return _model(provider, described)

    async def _models_of(self, provider: Provider) -> list[dict[str, object]]:
        if provider.models:
            return [_model(provider, {"id": name}) for name in provider.models]
        known = self._models.get(provider.name)
        if known and known[0] > time.monotonic():
            return known[1]
        try:
            models = await self._fetch_models(provider)
        except (GatewayError, ValueError):
            models = known[1] if known else []
        self._models[provider.name] = (time.monotonic() + MODELS_CACHE_S, models)
        return models

    async def _fetch_models(self, provider: Provider) -> list[dict[str, object]]:
        path, headers = _LISTS.get(provider.wire, ("/models", {}))
        listed = await self._get(provider, path, headers)
        data = listed.get("data") if isinstance(listed, dict) else None
        return [_model(provider, model) for model in data or () if isinstance(model, dict) and "id" in model]

    async def _get(self, provider: Provider, path: str, headers: Mapping[str, str] = NO_HEADERS) -> object:
        """The JSON at a path of the provider.

        Raises:
            ValueError: It is none.
        """
        request = UpstreamRequest(path=path, body=b"", method="GET", content_type="", headers=headers)
        exchange = await self._client.open(
            provider, choose_key(provider.keys), "", request, headers={}, total_s=MODELS_TIMEOUT_S
        )
        async with exchange:
            said: object = orjson.loads(await exchange.read())
        return said


def _model(provider: Provider, said: Mapping[str, object]) -> dict[str, object]:
    """OpenAI's model object, all four fields present (the SDKs' strict mode asks for them)."""
    if provider.wire == "anthropic":
        said = {
            "id": said["id"],
            "name": said.get("display_name", said["id"]),
            "created": _unix_s(said.get("created_at")),
        }
    return {
        "created": 0,
        "owned_by": provider.name,
        **said,
        "object": "model",
        "id": f"{provider.name}/{said['id']}",
    }


def _unix_s(time_said: object) -> int:
    """Unix seconds of an RFC 3339 time; 0 if it is none."""
    try:
        return int(datetime.fromisoformat(str(time_said)).timestamp())
    except ValueError:
        return 0
