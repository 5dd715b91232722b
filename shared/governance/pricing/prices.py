"""Price calls in whole micro-USD: by the configuration, else by the providers' published prices.

Published prices are the data of the package ``genai-prices``, which is read when first needed. A model that neither
knows is *unpriced*: its calls are booked as such and reported, never silently as free.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from shared.governance.pricing.model_sizes import ModelSize, model_size
from shared.governance.pricing.published import BUNDLED, MILLION, PublishedPrices, Rates
from shared.governance.pricing.usage import NOTHING_USED, Usage
from shared.settings.prices import PriceSettings
from shared.surfaces.request_types import UsageRule

REMEMBERED = 4_096
# Some providers' prices depend on the time of day, and all change some day.
REMEMBERED_S = 300.0

CONFIGURED_UNITS: Mapping[str, tuple[str, int]] = {
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
    "cache_write_1h": ("cache_write_1h", MILLION),
    "web_searches": ("web_search", 1),
    "file_searches": ("file_search", 1),
    "code_sessions": ("code_session", 1),
}
"""Unit to its name in ``[prices]``, and what its price is per."""
_TOOLS = ("web_searches", "file_searches", "code_sessions")
_NO_PARTS = NOTHING_USED[2:]
_ALONE = ("characters", "images", "milliseconds", *_TOOLS)
_WHOLES = ("input", "output", *_ALONE)
_PARTS_OF_INPUT = ("cached", "cache_write_1h", "cache_write", "audio_input", "image_input")
_PARTS_OF_OUTPUT = ("reasoning", "audio_output", "image_output")

# A cache for an hour is written at twice the price of input, one for five minutes at 1.25 times:
# https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching#pricing
_HOUR_BY_MINUTES = (8, 5)


class Cost(NamedTuple):
    """Cost of one call.

    Attributes:
        micro_usd: What it costs, after discounts.
        priced: False: the price is unknown, and the amount is a meaningless 0.
        list_micro_usd: Of the same use in a synchronous call at the standard tier, without a prompt cache and before
            discounts.
        saved_batch, saved_tier, saved_cache: What a batch, the service tier and the prompt cache made it cheaper,
            micro-USD; below 0: dearer. What is left of the difference are discounts.
    """

    micro_usd: int
    priced: bool = True
    list_micro_usd: int = 0
    saved_batch: int = 0
    saved_tier: int = 0
    saved_cache: int = 0


UNPRICED = Cost(0, priced=False)
NO_COST = Cost(0)
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
        context: The model's context window in tokens; None: unknown.
        max_output: The most tokens of an answer in the configuration; None: not set.
    """

    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    remaining_ppm: int = MILLION
    source: str = "published"
    context: int | None = None
    max_output: int | None = None

    def covers(self, usage: Usage) -> bool:
        """Whether everything that was used has a price; unknown usage has none unless calls have one."""
        rates = self.rates
        if usage.empty:
            return "requests" in rates
        if usage[2:] == _NO_PARTS:  # tokens alone
            return ("input" in rates or not usage.input) and ("output" in rates or not usage.output)
        return all(unit in rates or not getattr(usage, unit) for unit in _WHOLES)

    def cost(self, usage: Usage) -> Cost:
        """Cost of a usage, rounded to the nearest micro-USD.

        A part of the tokens (cached, reasoning, …) that has a price of its own is taken out of its whole.
        """
        rates = self._rates_for(usage)
        total = rates.get("requests", 0)
        if usage[2:] == _NO_PARTS:  # tokens alone, as in most estimates: a third of the time
            total += usage.input * rates.get("input", 0) + usage.output * rates.get("output", 0)
            return self._discounted(total)
        for whole, parts in (("input", _PARTS_OF_INPUT), ("output", _PARTS_OF_OUTPUT)):
            left = getattr(usage, whole)
            for part in parts:
                if part in rates and (count := min(getattr(usage, part), left)):
                    total += count * rates[part]
                    left -= count
            total += left * rates.get(whole, 0)
        for unit in _ALONE:
            count = getattr(usage, unit)
            if count:
                total += count * rates.get(unit, 0)
        return self._discounted(total)

    def _discounted(self, total: int) -> Cost:
        listed = _divided(total, MILLION)
        if self.remaining_ppm == MILLION:
            return Cost(listed, True, listed)
        return Cost(_divided(total * self.remaining_ppm, MILLION * MILLION), list_micro_usd=listed)

    def _rates_for(self, usage: Usage) -> Rates:
        rates = self.rates
        for above, dearer in self.tiers:
            if usage.input > above:
                rates = {**rates, **dearer}
        if usage.cache_write_1h and "cache_write_1h" not in rates and "cache_write" in rates:
            return {**rates, "cache_write_1h": rates["cache_write"] * _HOUR_BY_MINUTES[0] // _HOUR_BY_MINUTES[1]}
        return rates

    def lacks(self, rule: UsageRule, estimate: Usage) -> tuple[str, ...]:
        """Return the units that a call may use and that have no price here.

        Args:
            rule: How the endpoint's use is estimated.
            estimate: What the call may use; of it, only the provider's tools are looked at.
        """
        if estimate is NOTHING_USED and "input" in self.rates and "output" in self.rates:
            return ()
        tokens = ("input",) if rule == "prompt" else ("input", "output")
        alone = {"images": "images", "characters": "characters", "audio": "milliseconds"}.get(rule, "")
        missing = () if alone in self.rates else tuple(unit for unit in tokens if unit not in self.rates)
        return (*missing, *(unit for unit in _TOOLS if getattr(estimate, unit) and unit not in self.rates))

    def upper(self) -> "Price":
        """Return the prices of an upper estimate: cheaper parts (cached tokens) are ignored, dearer ones assumed."""
        rates = dict(self.rates)
        for _, tier in self.tiers:
            rates.update({unit: max(rate, rates.get(unit, 0)) for unit, rate in tier.items()})
        for whole, parts in (("input", ("cache_write",)), ("output", ("reasoning",))):
            rates[whole] = max((rates.get(name, 0) for name in (whole, *parts)), default=0)
        return replace(self, rates=rates, tiers=())

    def most(self, usage: Usage) -> Cost:
        """Return the upper bound of the cost of an estimate."""
        return self.upper().cost(usage)


class _Known(NamedTuple):
    """What is remembered of a model, until when: its price, the price of an upper estimate, and its size."""

    until: float
    price: Price | None
    upper: Price | None
    size: ModelSize


_FREE_PRICE = Price(dict.fromkeys((*_WHOLES, "requests"), 0), source=FREE)


class PriceBook:
    """Find prices.

    Args:
        configured: Pattern of ``provider/model`` to its prices in the configuration; the first one that fits counts.
        sources: Provider to its id in the published prices, or ``FREE``; of any other provider only the
            configuration knows prices.
        clock: Monotonic seconds.
        published: The published prices.

    Attributes:
        published: As given, or as ``use`` replaced them.
    """

    def __init__(
        self,
        configured: Mapping[str, PriceSettings],
        sources: Mapping[str, str] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        published: PublishedPrices = BUNDLED,
    ) -> None:
        self.published = published
        self._configured = configured
        self._sources = sources or {}
        self._clock = clock
        self._known: OrderedDict[tuple[str, str, str], _Known] = OrderedDict()

    @staticmethod
    def warm() -> None:
        """Read the published prices; takes up to half a second, so call it in a thread when a process starts."""
        BUNDLED.price("openai", "gpt-4o", {})

    def use(self, published: PublishedPrices) -> None:
        """Replace the published prices; the next call is priced by these."""
        self.published = published
        self._known.clear()

    def price(self, provider: str, model: str, *, variant: str = "") -> Price | None:
        """The price of a provider's model; None: unknown.

        Args:
            provider: Name as configured.
            model: As the provider calls it.
            variant: ``batch``, or a service tier (``flex``, ``priority``), where they have prices of their own.
        """
        return self._remembered(provider, model, variant).price

    def _remembered(self, provider: str, model: str, variant: str) -> _Known:
        key = (provider, model, variant)
        now = self._clock()
        known = self._known.get(key)
        if known is not None and known.until > now:
            return known
        price = self._find(provider, model, variant)
        size = model_size(model) if price is None else model_size(model, price.context, price.max_output)
        known = self._known[key] = _Known(now + REMEMBERED_S, price, price and price.upper(), size)
        self._known.move_to_end(key)
        if len(self._known) > REMEMBERED:  # names come from callers
            self._known.popitem(last=False)
        return known

    def cost(self, provider: str, model: str, usage: Usage, *, variant: str = "") -> Cost:
        """Cost of a call; ``UNPRICED`` if the price or the usage is unknown."""
        price = self.price(provider, model, variant=variant)
        if price is None or not price.covers(usage):
            return UNPRICED
        cost = price.cost(usage)
        uncached = usage if usage.cached + usage.cache_write + usage.cache_write_1h == 0 else uncached_usage(usage)
        if uncached is usage and not variant:
            return cost
        return self._with_savings(cost, price.cost(uncached), self.price(provider, model), uncached, variant)

    def _with_savings(self, cost: Cost, plain: Cost, standard: Price | None, usage: Usage, variant: str) -> Cost:
        """Add to a cost what it would have been without the variant and the prompt cache.

        Args:
            cost: As it is.
            plain: At the variant's prices, without a prompt cache.
            standard: The prices without the variant.
            usage: Without a prompt cache.
            variant: As ``price`` takes it.
        """
        listed = plain if not variant or standard is None or not standard.covers(usage) else standard.cost(usage)
        saved = listed.micro_usd - plain.micro_usd
        return cost._replace(
            list_micro_usd=listed.list_micro_usd,
            saved_batch=saved if variant == "batch" else 0,
            saved_tier=0 if variant == "batch" else saved,
            saved_cache=plain.micro_usd - cost.micro_usd,
        )

    def estimate(self, provider: str, model: str, usage: Usage, *, variant: str = "") -> Cost:
        """Upper bound of a call's cost, given an upper estimate of its usage."""
        upper = self._remembered(provider, model, variant).upper
        return UNPRICED if upper is None else upper.cost(usage)

    def size(self, provider: str, model: str) -> ModelSize:
        """What a provider's model can read and answer."""
        return self._remembered(provider, model, "").size

    def _find(self, provider: str, model: str, variant: str) -> Price | None:
        name = f"{provider}/{model}".lower()
        patterns = self._configured.items()
        configured = next((each for pattern, each in patterns if fnmatchcase(name, pattern.lower())), None)
        source = self._sources.get(provider, "")
        published = self._published_price(source, model, variant)
        if published is None and not model.islower():  # some providers take names in any case
            published = self._published_price(source, model.lower(), variant)
        return published if configured is None else _combined(configured, published, variant)

    def _published_price(self, source: str, model: str, variant: str) -> Price | None:
        if source == FREE:
            return _FREE_PRICE
        context = {"processing": "batch"} if variant == "batch" else {"service_tier": variant} if variant else {}
        found = self.published.price(source, model, context) if source else None
        return Price(found.rates, found.tiers, context=found.context) if found else None


def uncached_usage(usage: Usage) -> Usage:
    """Return a usage whose tokens were neither read from a prompt cache nor written to one."""
    return usage._replace(cached=0, cache_write=0, cache_write_1h=0)


def usd_prices(rates: Rates) -> dict[str, float]:
    """Return prices in USD per unit, by the names that ``[prices]`` has for them."""
    return {
        name: rates[unit] * per / (MILLION * MILLION) for unit, (name, per) in CONFIGURED_UNITS.items() if unit in rates
    }


def configured_price(settings: PriceSettings) -> Price | None:
    """Return the price that a row of ``[prices]`` sets on its own; None: it sets only a discount."""
    return _combined(settings, None, "")


def _combined(configured: PriceSettings, published: Price | None, variant: str) -> Price | None:
    """Configured prices on top of published ones."""
    rates = {
        unit: rate
        for unit, (name, per) in CONFIGURED_UNITS.items()
        if (rate := _rate(configured, name, per)) is not None
    }
    tiers = tuple(
        (tier.above, {unit: rate for unit in _TIERED if (rate := _rate(tier, unit, MILLION)) is not None})
        for tier in sorted(configured.tiers, key=lambda tier: tier.above)
    )
    if not rates and published is None:
        return None
    most = configured.max_output
    remaining = round((1 - configured.discount) * MILLION)
    discounts = {"batch": configured.batch_discount, "flex": configured.flex_discount}
    if (discount := discounts.get(variant)) is not None:
        remaining = round(remaining * (1 - discount))
    if published is None:
        return Price(rates, tiers, remaining, "configuration", max_output=most)
    source = f"configuration and {published.source}" if rates else published.source
    # A tier of published prices must not bring back what the configuration replaced.
    below = tuple((above, {u: r for u, r in tier.items() if u not in rates}) for above, tier in published.tiers)
    return Price({**published.rates, **rates}, tiers or below, remaining, source, published.context, most)


_TIERED = ("input", "output", "cached", "cache_write", "reasoning")


def _rate(settings: object, name: str, per: int) -> int | None:
    usd = getattr(settings, name)
    return None if usd is None else round(usd * MILLION * MILLION / per)


def _divided(amount: int, by: int) -> int:
    return (amount + by // 2) // by
