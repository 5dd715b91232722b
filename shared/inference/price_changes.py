"""What newer price data would change; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.governance.pricing.prices import FREE, usd_prices
from shared.governance.pricing.published import Published, PublishedPrices


@dataclass(frozen=True, slots=True)
class PriceChanges:
    """Models whose price would change, as ``provider/model`` in the data, in order.

    Attributes:
        models: How many of them have a price in the newer data.
        added: Those without a price today.
        removed: Those without a price then.
        changed: Id to its prices today and then, in USD.
    """

    models: int
    added: list[str]
    removed: list[str]
    changed: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]

    def to_dict(self) -> dict[str, Any]:
        """Return the form that is answered."""
        changed = [{"id": name, "before": before, "after": after} for name, (before, after) in self.changed.items()]
        return {"models": self.models, "added": self.added, "removed": self.removed, "changed": changed}


def price_changes(before: PublishedPrices, after: PublishedPrices, sources: Iterable[str]) -> PriceChanges:
    """Compare two sets of published prices. It takes up to seconds: use it in a thread.

    Args:
        before: Those in use.
        after: Newer ones.
        sources: Ids of the data's providers whose prices are used here.

    Raises:
        ValueError: One of these has prices in use, and none in the newer data.
    """
    was: dict[str, Published] = {}
    now: dict[str, Published] = {}
    for source in sorted({each for each in sources if each and each != FREE}):
        old, new = _priced(before, source), _priced(after, source)
        if old and not new:
            raise ValueError(f"The data has no prices of {source!r}, which are used here. It must be complete.")
        was |= old
        now |= new
    changed = {name: (_usd(was[name]), _usd(now[name])) for name in now if name in was and was[name] != now[name]}
    return PriceChanges(
        models=len(now),
        added=[name for name in now if name not in was],
        removed=[name for name in was if name not in now],
        changed=changed,
    )


def _priced(published: PublishedPrices, source: str) -> dict[str, Published]:
    found = ((f"{source}/{model}", published.price(source, model, {})) for model in published.model_ids(source))
    return {name: price for name, price in found if price is not None}


def _usd(price: Published) -> Mapping[str, Any]:
    prices: dict[str, Any] = dict(usd_prices(price.rates))
    if price.tiers:
        prices["tiers"] = [{"above": above, "prices": usd_prices(rates)} for above, rates in price.tiers]
    return prices
