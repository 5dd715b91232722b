"""Price calls in whole micro-USD: by the configuration, else by the providers' published prices.

Published prices are the data of the package ``genai-prices``, which is read when first needed. A model that neither
knows is *unpriced*: its calls are booked as such and reported, never silently as free.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from shared.governance.pricing.usage import Usage
from shared.settings.model import PriceSettings

MILLION = 1_000_000
REMEMBERED = 4_096
# Some providers' prices depend on the time of day, and all change some day.
REMEMBERED_S = 300.0

# Unit: the name of the published price, and what it is per, in our units (tokens, characters, milliseconds, calls).
_PUBLISHED_UNITS: Mapping[str, tuple[tuple[str, int], ...]] = {
    "input": (("input_mtok", MILLION),),
    "output": (("output_mtok", MILLION),),
    "cached": (("cache_read_mtok", MILLION),),
    "cache_write": (("cache_write_mtok", MILLION),),
    "reasoning": (("output_reasoning_mtok", MILLION),),
    "audio_input": (("input_audio_mtok", MILLION),),
    "audio_output": (("output_audio_mtok", MILLION),),
    "image_input": (("input_image_mtok", MILLION),),
    "image_output": (("output_image_mtok", MILLION),),
    "characters": (("input_mchars", MILLION),),
    "milliseconds": (("input_audio_hours", 3_600_000), ("audio_hours", 3_600_000)),
    "requests": (("requests_kcount", 1_000),),
}
_CONFIGURED_UNITS: Mapping[str, tuple[str, int]] = {
    "input": ("input", MILLION),
    "output": ("output", MILLION),
    "cached": ("cached", MILLION),
    "cache_write": ("cache_write", MILLION),
    "reasoning": ("reasoning", MILLION),
    "audio_input": ("audio_input", MILLION),
    "audio_output": ("audio_output", MILLION),
    "image_input": ("image_input", MILLION),
    "image_output": ("image_output", MILLION),
    "characters": ("million_characters", MILLION),
    "images": ("image", 1),
    "milliseconds": ("second", 1_000),
    "requests": ("request", 1),
}
_WHOLES = ("input", "output", "characters", "images", "milliseconds")
_PARTS_OF_INPUT = ("cached", "cache_write", "audio_input", "image_input")
_PARTS_OF_OUTPUT = ("reasoning", "audio_output", "image_output")

Rates = Mapping[str, int]
"""Unit to its price in micro-USD per million of the unit."""


class Cost(NamedTuple):
    """Cost of one call.

    Attributes:
        micro_usd: What it costs, after discounts.
        priced: False: the price is unknown, and the amount is a meaningless 0.
        list_micro_usd: Before discounts.
    """

    micro_usd: int
    priced: bool = True
    list_micro_usd: int = 0


UNPRICED = Cost(0, priced=False)
FREE: Final = "free"
"""A price source: calls cost nothing unless the configuration says otherwise."""


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of a model.

    Attributes:
        rates: Its prices.
        tiers: Prices in place of those for calls whose prompt has more tokens than that, ascending.
        remaining_ppm: Share that is left after the discount, in millionths.
        source: ``configuration``, ``published``, ``free``, or the first with one of the others.
    """

    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    remaining_ppm: int = MILLION
    source: str = "published"

    def covers(self, usage: Usage) -> bool:
        """Whether everything that was used has a price; unknown usage has none unless calls have one."""
        rates = self.rates
        if usage.empty:
            return "requests" in rates
        return all(unit in rates or not getattr(usage, unit) for unit in _WHOLES)

    def cost(self, usage: Usage) -> Cost:
        """Cost of a usage, rounded to the nearest micro-USD.

        A part of the tokens (cached, reasoning, …) that has a price of its own is taken out of its whole.
        """
        rates = self.rates
        for above, dearer in self.tiers:
            if usage.input > above:
                rates = {**rates, **dearer}
        total = rates.get("requests", 0)
        for whole, parts in (("input", _PARTS_OF_INPUT), ("output", _PARTS_OF_OUTPUT)):
            left = getattr(usage, whole)
            for part in parts:
                if part in rates and (count := min(getattr(usage, part), left)):
                    total += count * rates[part]
                    left -= count
            total += left * rates.get(whole, 0)
        for unit in ("characters", "images", "milliseconds"):
            count = getattr(usage, unit)
            if count:
                total += count * rates.get(unit, 0)
        return Cost(_divided(total * self.remaining_ppm, MILLION * MILLION), list_micro_usd=_divided(total, MILLION))

    def most(self, usage: Usage) -> Cost:
        """Upper bound of the cost of an estimate: cheaper parts (cached tokens) are ignored, dearer ones assumed."""
        rates = dict(self.rates)
        for _, tier in self.tiers:
            rates.update({unit: max(rate, rates.get(unit, 0)) for unit, rate in tier.items()})
        for whole, parts in (("input", ("cache_write",)), ("output", ("reasoning",))):
            rates[whole] = max((rates.get(name, 0) for name in (whole, *parts)), default=0)
        return replace(self, rates=rates, tiers=()).cost(usage)


_FREE_PRICE = Price(dict.fromkeys((*_WHOLES, "requests"), 0), source=FREE)


class PriceBook:
    """Find prices.

    Args:
        configured: Pattern of ``provider/model`` to its prices in the configuration; the first one that fits counts.
        sources: Provider to its id in the published prices, or ``FREE``; of any other provider only the
            configuration knows prices.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        configured: Mapping[str, PriceSettings],
        sources: Mapping[str, str] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._configured = configured
        self._sources = sources or {}
        self._clock = clock
        self._known: OrderedDict[tuple[str, str, str], tuple[float, Price | None]] = OrderedDict()

    @staticmethod
    def warm() -> None:
        """Read the published prices; takes up to half a second, so call it in a thread when a process starts."""
        _published("openai", "gpt-4o", {})

    def price(self, provider: str, model: str, *, variant: str = "") -> Price | None:
        """The price of a provider's model; None: unknown.

        Args:
            provider: Name as configured.
            model: As the provider calls it.
            variant: ``batch``, or a service tier (``flex``, ``priority``), where they have prices of their own.
        """
        key = (provider, model, variant)
        now = self._clock()
        known = self._known.get(key)
        if known is not None and known[0] > now:
            return known[1]
        price = self._find(provider, model, variant)
        self._known[key] = (now + REMEMBERED_S, price)
        self._known.move_to_end(key)
        if len(self._known) > REMEMBERED:  # names come from callers
            self._known.popitem(last=False)
        return price

    def cost(self, provider: str, model: str, usage: Usage, *, variant: str = "") -> Cost:
        """Cost of a call; ``UNPRICED`` if the price or the usage is unknown."""
        price = self.price(provider, model, variant=variant)
        if price is None or not price.covers(usage):
            return UNPRICED
        return price.cost(usage)

    def estimate(self, provider: str, model: str, usage: Usage, *, variant: str = "") -> Cost:
        """Upper bound of a call's cost, given an upper estimate of its usage."""
        price = self.price(provider, model, variant=variant)
        return UNPRICED if price is None else price.most(usage)

    def _find(self, provider: str, model: str, variant: str) -> Price | None:
        name = f"{provider}/{model}"
        configured = next((each for pattern, each in self._configured.items() if fnmatchcase(name, pattern)), None)
        published = self._published(self._sources.get(provider, ""), model, variant)
        return published if configured is None else _combined(configured, published, batch=variant == "batch")

    @staticmethod
    def _published(source: str, model: str, variant: str) -> Price | None:
        if source == FREE:
            return _FREE_PRICE
        context = {"processing": "batch"} if variant == "batch" else {"service_tier": variant} if variant else {}
        return _published(source, model, context) if source else None


def _combined(configured: PriceSettings, published: Price | None, *, batch: bool) -> Price | None:
    """Configured prices on top of published ones."""
    rates = {
        unit: rate
        for unit, (name, per) in _CONFIGURED_UNITS.items()
        if (rate := _rate(configured, name, per)) is not None
    }
    tiers = tuple(
        (tier.above, {unit: rate for unit in _TIERED if (rate := _rate(tier, unit, MILLION)) is not None})
        for tier in sorted(configured.tiers, key=lambda tier: tier.above)
    )
    if not rates and published is None:
        return None
    remaining = round((1 - configured.discount) * MILLION)
    if batch and configured.batch_discount is not None:
        remaining = round(remaining * (1 - configured.batch_discount))
    if published is None:
        return Price(rates, tiers, remaining, "configuration")
    source = f"configuration and {published.source}" if rates else published.source
    # A tier of published prices must not bring back what the configuration replaced.
    below = tuple((above, {u: r for u, r in tier.items() if u not in rates}) for above, tier in published.tiers)
    return Price({**published.rates, **rates}, tiers or below, remaining, source)


_TIERED = ("input", "output", "cached", "cache_write", "reasoning")


def _rate(settings: object, name: str, per: int) -> int | None:
    usd = getattr(settings, name)
    return None if usd is None else round(usd * MILLION * MILLION / per)


def _published(provider: str, model: str, context: Mapping[str, str]) -> Price | None:
    """The data's price of a model now.

    Imported here: the data costs a quarter of a second and 28 MB, which the command line need not pay.
    """
    from datetime import UTC, datetime  # noqa: PLC0415

    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

    try:
        _, found = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    prices = found.get_prices(datetime.now(tz=UTC), context or None)
    reader = _TierReader()
    rates = {
        unit: rate
        for unit, names in _PUBLISHED_UNITS.items()
        if (rate := _first(reader.read(unit, getattr(prices, name), per) for name, per in names)) is not None
    }
    return Price(rates, reader.tiers()) if rates else None


def _first(rates: Iterable[int | None]) -> int | None:
    return next((rate for rate in rates if rate is not None), None)


@dataclass(slots=True)
class _TierReader:
    """Gathers the tiers of published prices, which the data keeps per unit, per threshold."""

    found: dict[int, dict[str, int]] = field(default_factory=dict)

    def read(self, unit: str, price: Any, per: int) -> int | None:  # noqa: ANN401 - Decimal or the data's tiers
        if price is None:
            return None
        for tier in getattr(price, "tiers", ()):
            self.found.setdefault(tier.start, {})[unit] = round(tier.price * MILLION * MILLION / per)
        whole: int = round(getattr(price, "base", price) * MILLION * MILLION / per)
        return whole

    def tiers(self) -> tuple[tuple[int, Rates], ...]:
        return tuple(sorted(self.found.items()))


def _divided(amount: int, by: int) -> int:
    return (amount + by // 2) // by
