"""Published prices: the data of ``genai-prices``, and a table of what it lacks."""

import importlib.metadata
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

MILLION = 1_000_000
Rates = Mapping[str, int]
"""Unit to its price in micro-USD per million of the unit."""

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
    "cache_write_1h": (("cache_write_1h_mtok", MILLION),),
    "web_searches": (("web_searches_kcount", 1_000),),
    "file_searches": (("storage_searches_kcount", 1_000),),
}
_USD: Final = MILLION * MILLION
OWN_TABLE: Final = "2026-11"
"""When the table was last compared with the providers' pages: https://openai.com/api/pricing/."""

# Provider in the data and beginning of the model's name to rates that the data lacks, added to what it has.
_OWN: tuple[tuple[str, str, Rates], ...] = (
    ("openai", r"(omni|text)-moderation", {"requests": 0, "input": 0}),  # free
    (
        "openai|azure",
        r"ft:gpt-4\.1-nano",
        {"input": MILLION * 2 // 10, "cached": MILLION // 20, "output": MILLION * 8 // 10},
    ),
    (
        "openai|azure",
        r"ft:gpt-4\.1-mini",
        {"input": MILLION * 8 // 10, "cached": MILLION // 5, "output": MILLION * 32 // 10},
    ),
    ("openai|azure", r"ft:gpt-4\.1", {"input": MILLION * 3, "cached": MILLION * 3 // 4, "output": MILLION * 12}),
    ("openai", r"gpt-4o(-mini)?-search-preview", {"requests": _USD * 25 // 1_000}),  # each call is a search
    ("openai|azure", r"gpt-4o-audio-preview", {"audio_input": MILLION * 40, "audio_output": MILLION * 80}),
    ("openai|azure", r"gpt-4o-mini-audio-preview", {"audio_input": MILLION * 10, "audio_output": MILLION * 20}),
    ("openai", r"gpt-5-search-api", {"requests": _USD // 100}),
    ("openai|azure", r"", {"code_sessions": _USD * 3 // 100}),  # a container of 1 GB
)


class Published(NamedTuple):
    """What is published of a model.

    Attributes:
        tiers: Rates in place of the others for prompts with more tokens than that, ascending.
        context: Its context window; None: unknown.
    """

    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    context: int | None = None


class PublishedPrices:
    """Published prices of providers' models: of the package ``genai-prices``, or of newer data in its format.

    The package's data is read when it is first needed: it costs a quarter of a second and 28 MB, which the command line
    need not pay.

    Args:
        snapshot: Newer data; None: the package's.
        version: Of the newer data.
    """

    def __init__(self, snapshot: "DataSnapshot | None" = None, version: str = "") -> None:
        self._newer = snapshot
        self._version = version

    @property
    def version(self) -> str:
        """Return the data's name and version."""
        return self._version or f"genai-prices {importlib.metadata.version('genai-prices')}"

    @property
    def _snapshot(self) -> "DataSnapshot":
        from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

        return self._newer or get_snapshot()

    def price(self, provider: str, model: str, context: Mapping[str, str]) -> Published | None:
        """Return what is published of a model's price now; None: nothing.

        Args:
            provider: Its id in the data.
            model: As the provider calls it.
            context: What selects a variant of the price: ``service_tier``, ``processing``.
        """
        from datetime import UTC, datetime  # noqa: PLC0415

        try:
            _, found = self._snapshot.find_provider_model(model, None, provider, None)
        except LookupError:
            own = _own_rates(provider, model)
            return Published(own) if own.keys() - _EXTRAS else None
        prices = found.get_prices(datetime.now(tz=UTC), context or None)
        reader = _TierReader()
        rates = {
            unit: rate
            for unit, names in _PUBLISHED_UNITS.items()
            if (rate := _first(reader.read(unit, getattr(prices, name), per) for name, per in names)) is not None
        }
        rates = {**_own_rates(provider, model), **rates}
        return Published(rates, reader.tiers(), found.context_window) if rates.keys() - _EXTRAS else None

    def model_ids(self, provider: str) -> list[str]:
        """Return the ids of a provider's models in the data, those of others that it also serves included."""
        known = {each.id: each for each in self._snapshot.providers}
        row = known.get(provider)
        rows = [row, *(known[name] for name in row.fallback_model_providers or () if name in known)] if row else []
        return list(dict.fromkeys(model.id for each in rows for model in each.models))

    def published_as(self, provider: str, model: str) -> tuple[str, str | None]:
        """Return the data that a price is from, with its version, and since when the price is in force.

        The date is None where the data has none for it.
        """
        from datetime import UTC, datetime  # noqa: PLC0415

        for name in dict.fromkeys((model, model.lower())):  # some providers take names in any case
            with suppress(LookupError):
                _, found = self._snapshot.find_provider_model(name, None, provider, None)
                break
        else:
            return "the gateway's own table", OWN_TABLE
        prices = found.prices if isinstance(found.prices, list) else []
        starts = [day for each in prices if (day := getattr(each.constraint, "start_date", None)) is not None]
        today = datetime.now(tz=UTC).date()
        return self.version, max((f"{day:%Y-%m-%d}" for day in starts if day <= today), default=None)


BUNDLED: Final = PublishedPrices()


def read_published(data: bytes, version: str) -> PublishedPrices:
    """Read data in the format of ``genai-prices``: an array of providers with their models.

    Providers are read one by one: the parser holds the interpreter for the whole of what it is given.

    Args:
        data: JSON.
        version: What to call it.

    Raises:
        ValueError: It is not such data, or has a price below zero; the message names the provider.
    """
    from genai_prices.data_snapshot import DataSnapshot  # noqa: PLC0415
    from genai_prices.types import _providers_from_raw  # noqa: PLC0415

    try:
        rows = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"The price data is not valid JSON: {error}.") from None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError("The price data must be an array of providers, in the format of genai-prices.")
    providers = []
    for row in rows:
        name = str(row.get("id"))[:50]
        try:
            providers += _providers_from_raw([row])
        except ValueError as error:
            reason = str(error).splitlines()
            raise ValueError(
                f"The price data of provider {name!r} is not valid: {' '.join(reason[1:3])[:300]}"
            ) from None
        _refuse_negative(name, row)
    return PublishedPrices(DataSnapshot(providers=providers, from_auto_update=False), version)


def _refuse_negative(provider: str, value: object) -> None:
    """Raise ``ValueError`` if a price in a provider's raw data is below zero."""
    if isinstance(value, dict):
        for each in value.values():
            _refuse_negative(provider, each)
    elif isinstance(value, list):
        for each in value:
            _refuse_negative(provider, each)
    elif isinstance(value, int | float) and value < 0:
        raise ValueError(f"The price data of provider {provider!r} has a price below zero.")


_EXTRAS = frozenset({"code_sessions", "audio_input", "audio_output"})


def _own_rates(provider: str, model: str) -> dict[str, int]:
    """The first row that names the model, and those that name every model of its provider."""
    rates: dict[str, int] = {}
    named = False
    for providers, pattern, row in _OWN:
        if provider in providers.split("|") and (not pattern or (not named and re.match(pattern, model))):
            rates |= row
            named = named or bool(pattern)
    return rates


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
