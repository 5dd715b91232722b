"""Lists of the models of all providers."""

import asyncio
import time
from collections import defaultdict
from urllib.parse import quote

import orjson

from shared.errors import GatewayError, ModelNotFound, UnknownProvider
from shared.governance.keys.caller import Caller
from shared.providers.base import Provider
from shared.providers.client import ProviderClient
from shared.providers.health.selection import choose_key
from shared.providers.registry import Providers
from shared.providers.wires.base import UpstreamRequest
from shared.providers.wires.listing import LISTINGS, Listed, Listing
from shared.surfaces.fields import MISSHAPEN

CACHE_S = 60.0
TIMEOUT_S = 5.0
# A list longer than that is not worth the wait.
MAX_PAGES = 20

Model = dict[str, object]


class ModelLists:
    """Fetches every provider's list, and caches it for a minute.

    If a list cannot be fetched, the last known one is used; other providers' lists are not affected.
    """

    def __init__(self, providers: Providers, client: ProviderClient) -> None:
        self._providers = providers
        self._client = client
        self._known: dict[str, tuple[float, list[Model]]] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def models(self, caller: Caller) -> list[Model]:
        """Return OpenAI's model objects of what the caller may use, ids with the provider's prefix."""
        lists = await asyncio.gather(*(self._models_of(provider) for provider in self._providers.values()))
        return [model for models in lists for model in models if caller.may_use(*str(model["id"]).split("/", 1))]

    async def model(self, name: str, caller: Caller) -> Model:
        """Return one model as the provider in its name describes it: a provider's list may be incomplete.

        Raises:
            ModelNotFound: The provider does not know it, or the caller may not use it.
            UpstreamRefused: The provider's own error.
        """
        missing = ModelNotFound(f"Unknown model {name[:256]!r}. GET /v1/models lists the available models.")
        try:
            provider, wanted = self._providers.resolve(name)
        except UnknownProvider:
            raise missing from None
        if provider.wire != "openai" or not caller.may_use(provider.name, wanted):
            raise missing
        listing = LISTINGS[provider.wire][0]
        try:
            described = await self._page(provider, listing, f"/models/{quote(wanted, safe='')}")
            return _model(provider, next(iter(listing.models({"data": [described]}))))
        except (StopIteration, *MISSHAPEN):
            raise missing from None

    async def _models_of(self, provider: Provider) -> list[Model]:
        configured = provider.models or tuple(provider.deployments)
        if configured:
            return [_model(provider, Listed(name)) for name in configured]
        async with self._asking[provider.name]:  # requests that come meanwhile use the first one's reply
            known = self._known.get(provider.name)
            if known and known[0] > time.monotonic():
                return known[1]
            models = await self._fetch(provider)
            if models is None:
                models = known[1] if known else []
            self._known[provider.name] = (time.monotonic() + CACHE_S, models)
            return models

    async def _fetch(self, provider: Provider) -> list[Model] | None:
        """Return everything on the provider's lists; None if none of them could be fetched."""
        lists = await asyncio.gather(*(self._read(provider, listing) for listing in LISTINGS[provider.wire]))
        if all(models is None for models in lists):
            return None
        return list({model.id: _model(provider, model) for models in lists for model in models or ()}.values())

    async def _read(self, provider: Provider, listing: Listing) -> list[Listed] | None:
        models: list[Listed] = []
        path = listing.path
        try:
            for _ in range(MAX_PAGES):
                page = await self._page(provider, listing, path)
                models += listing.models(page)
                path = listing.next_path(page)
                if not path:
                    break
        except (GatewayError, *MISSHAPEN):
            return models or None
        return models

    async def _page(self, provider: Provider, listing: Listing, path: str) -> dict[str, object]:
        request = UpstreamRequest(path=path, body=b"", method="GET", content_type="", headers=listing.headers)
        exchange = await self._client.open(
            provider, choose_key(provider.keys), "", request, headers={}, total_s=TIMEOUT_S
        )
        async with exchange:
            page: dict[str, object] = orjson.loads(await exchange.read())
        return page


def _model(provider: Provider, listed: Listed) -> Model:
    """Return OpenAI's model object, all four fields present (the SDKs' strict mode asks for them)."""
    name = {"name": listed.name} if listed.name else {}
    owned = {"owned_by": provider.name, **listed.more}
    return {**owned, **name, "id": f"{provider.name}/{listed.id}", "object": "model", "created": listed.created}
