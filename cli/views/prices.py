"""Prices on a terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cli.text import plain
from cli.views.output import out, table

if TYPE_CHECKING:
    from shared.inference.price_catalogue import Unpriced

_COLUMNS = ("model", "input", "output", "cached", "others", "source", "date")
_TOKENS = ("input", "output", "cached")
MOST_NAMED = 20


def print_prices(entries: Sequence[Mapping[str, Any]]) -> None:
    """Print prices as a table; tokens are per million."""
    if not entries:
        out().print("no prices")
        return
    out().print(table(_COLUMNS, [_row(each) for each in entries]))


def print_price(entry: Mapping[str, Any]) -> None:
    """Print all that is known of one price."""
    tiers = [
        (f"prompts above {tier['above']:,} tokens", ", ".join(_named(tier["prices"], ()))) for tier in entry["tiers"]
    ]
    rows = [
        ("model", entry["id"]),
        ("source", _source(entry)),
        ("in force since", entry["date"]),
        *((name, _usd(usd)) for name, usd in entry["prices"].items()),
        *tiers,
        ("discount", f"{entry['discount']:.2%}" if entry["discount"] else None),
        ("context", entry["context"]),
        ("max_output", entry["max_output"]),
    ]
    out().print(table(("", ""), [row for row in rows if row[1] is not None]))


def print_unpriced(found: Sequence["Unpriced"], *, refused: bool) -> None:
    """Print what has no price, and what that means."""
    console = out()
    if not found:
        console.print("every configured provider and model has a price or is free")
        return
    console.print(table(("no price", "named in"), found))
    console.print(
        "\nA budget in USD refuses these. Set their prices in \\[prices], 0 where they are free."
        if refused
        else '\nBudgets ignore these: \\[ledger] unpriced = "allow".'
    )


def print_price_changes(document: Mapping[str, Any]) -> None:
    """Print the price data in use, and what an update changes."""
    console = out()
    for change in document.get("changed") or ():
        console.print(f"{plain(change['id'])}: {_difference(change['before'], change['after'])}", markup=False)
    for name, ids in (("new", document.get("added")), ("without a price now", document.get("removed"))):
        if ids:
            more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
            console.print(f"{name}: {', '.join(map(plain, ids[:MOST_NAMED]))}{more}", markup=False)
    if "changed" in document:
        counts = ((len(document[name]), name) for name in ("changed", "added", "removed"))
        console.print(f"{document['models']:,} models; " + ", ".join(f"{count:,} {name}" for count, name in counts))
    state = "would be used" if document.get("dry_run") else "in use"
    console.print(f"{state}: {plain(document['version'])} ({plain(document['source'])})", markup=False)


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    names = [name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)]
    return ", ".join(f"{plain(name)} {_amount(before.get(name))} -> {_amount(after.get(name))}" for name in names)


def _amount(value: object) -> str:
    if isinstance(value, int | float):
        return _usd(value)
    return "none" if value is None else "other tiers"


def _row(entry: Mapping[str, Any]) -> tuple[object, ...]:
    prices = entry["prices"]
    tokens = (_usd(prices[name]) if name in prices else "" for name in _TOKENS)
    return (entry["id"], *tokens, ", ".join(_named(prices, _TOKENS)), _source(entry), entry["date"])


def _named(prices: Mapping[str, float], without: Sequence[str]) -> list[str]:
    return [f"{plain(name)} {_usd(usd)}" for name, usd in prices.items() if name not in without]


def _source(entry: Mapping[str, Any]) -> str:
    return f"{entry['source']} ({entry['version']})" if entry["version"] else str(entry["source"])


def _usd(amount: float) -> str:
    return f"${amount:,.8f}".rstrip("0").rstrip(".")
