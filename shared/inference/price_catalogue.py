"""List the prices of the configured providers' models, and what a budget in USD would refuse for want of one."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from shared.errors import UnknownProvider
from shared.governance.pricing.prices import FREE, Price, PriceBook, configured_price, usd_prices
from shared.governance.pricing.published import BUNDLED, MILLION, PublishedPrices
from shared.inference.assembly import price_sources
from shared.providers.references import named_models
from shared.providers.registry import Providers
from shared.settings.model import Settings

ANY_MODEL = "*"
_WILDCARD = re.compile(r"[*?\[]")


class Unpriced(NamedTuple):
    """What a budget in USD would refuse.

    Attributes:
        name: ``provider/model``, or ``provider/*``: none of the provider's models has a price.
        place: Key of the configuration that names it.
    """

    name: str
    place: str


class PriceCatalogue:
    """The prices of the configured providers' models. It reads files: use it in a thread.

    Args:
        settings: With prices of its own.
        providers: Whose models they are.
        published: The published prices.
    """

    def __init__(self, settings: Settings, providers: Providers, published: PublishedPrices = BUNDLED) -> None:
        self._settings = settings
        self._providers = providers
        self._sources = price_sources(settings)
        self._published = published
        self._book = PriceBook(settings.prices, self._sources, published=published)

    def ids(self, *, provider: str = "", model: str = "") -> list[str]:
        """Return the ids of all models and patterns that may have a price, each once, by provider.

        Args:
            provider: Only this provider's.
            model: Only those whose name without the provider has this in it, in any case.

        Raises:
            UnknownProvider: There is no such provider.
        """
        if provider and provider not in self._providers:
            raise UnknownProvider(self._providers.unknown(provider), param="provider")
        names = [provider] if provider else sorted(self._providers)
        ids = dict.fromkeys(f"{name}/{each}" for name in names for each in self._models(name))
        return [each for each in ids if model.lower() in each.partition("/")[2].lower()]

    def entries(self, ids: list[str]) -> Iterator[dict[str, Any]]:
        """Iterate over the prices of ids that have one."""
        for each in ids:
            provider, _, model = each.partition("/")
            entry = self._entry(provider, model)
            if entry is not None:
                yield entry

    def find(self, name: str) -> dict[str, Any] | None:
        """Return the price of ``provider/model``; None: it is unknown.

        Raises:
            UnknownProvider, InvalidRequest: The name leads to no configured provider.
        """
        provider, model = self._providers.resolve(name)
        return self._entry(provider.name, model)

    def _entry(self, provider: str, model: str) -> dict[str, Any] | None:
        price = self._price(provider, model)
        if price is None:
            return None
        version, date = (
            self._published.published_as(self._sources[provider], model)
            if "published" in price.source
            else (None, None)
        )
        return {
            "object": "price",
            "id": f"{provider}/{model}",
            "provider": provider,
            "model": model,
            "source": price.source,
            "version": version,
            "date": date,
            "prices": usd_prices(price.rates),
            "tiers": [{"above": above, "prices": usd_prices(rates)} for above, rates in price.tiers],
            "discount": (MILLION - price.remaining_ppm) / MILLION,
            "context": price.context,
            "max_output": price.max_output,
        }

    def unpriced(self) -> list[Unpriced]:
        """Return the providers and models named in the configuration that have neither a price nor are free."""
        found = {}
        for name in sorted(self._providers):
            if not self._sources.get(name) and not self._has_price(name):
                found[f"{name}/{ANY_MODEL}"] = f"providers.{name}"
            for model in self._settings.providers[name].models if name in self._settings.providers else ():
                if not _WILDCARD.search(model) and self._book.price(name, model) is None:
                    found.setdefault(f"{name}/{model}", f"providers.{name}.models")
        for place, named in named_models(self._settings):
            if named not in self._settings.aliases and named not in self._settings.routes:
                provider, model = self._providers.resolve(named)
                if self._book.price(provider.name, model) is None:
                    found.setdefault(f"{provider.name}/{model}", place)
        return [Unpriced(name, place) for name, place in found.items()]

    def _has_price(self, provider: str) -> bool:
        return any(self._price(provider, model) is not None for model in self._configured(provider))

    def _models(self, provider: str) -> Iterator[str]:
        yield from self._configured(provider)
        source = self._sources.get(provider, "")
        yield from (ANY_MODEL,) if source == FREE else self._published.model_ids(source)

    def _configured(self, provider: str) -> Iterator[str]:
        """The configured patterns that may fit the provider's models, without its name."""
        for pattern in self._settings.prices:
            before, slash, rest = pattern.partition("/")
            literal = _WILDCARD.split(before)[0].lower()
            if slash and fnmatchcase(provider.lower(), before.lower()):
                yield rest
            elif not slash and literal != before.lower() and provider.lower().startswith(literal):
                yield ANY_MODEL

    def _price(self, provider: str, model: str) -> Price | None:
        """The price of a model, or of a pattern as it stands in the configuration."""
        price = self._book.price(provider, model)
        if price is not None or not _WILDCARD.search(model):
            return price
        for pattern, settings in self._settings.prices.items():
            before, _, rest = pattern.partition("/")
            if rest == model and fnmatchcase(provider.lower(), before.lower()):
                return configured_price(settings)
        return None
