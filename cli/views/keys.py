"""Virtual keys on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from cli.text import plain
from cli.views.output import age, err, fitted, out, table

_COLUMNS = ("id", "name", "status", "team", "customer", "limits", "models", "age")
_DROPPED = ("customer", "models", "age", "team", "limits")
_HIDDEN_FIELDS = frozenset({"object", "budgets", "rate_limits", "value"})


def print_keys(page: Mapping[str, Any], *, wide: bool = False) -> None:
    """Print a page of keys as a table, with the option for the next page."""
    keys = page.get("data") or []
    console = out(wide=wide)
    if not keys:
        console.print("no keys")
        return
    console.print(fitted(_COLUMNS, [_row(key) for key in keys], console, _DROPPED))
    if page.get("has_more"):
        console.print(f"\nmore with --after {plain(page.get('last_id'))}", markup=False)


def _row(key: Mapping[str, Any]) -> Sequence[object]:
    return (
        key.get("id"),
        key.get("name"),
        key.get("status"),
        key.get("team"),
        key.get("customer"),
        _limits(key),
        " ".join(map(str, key.get("models") or ())),
        "in finops.toml" if key.get("configured") else age(key.get("created_at")),
    )


def _limits(key: Mapping[str, Any]) -> str:
    """Return a key's limits in short: ``$50/1d 600 requests/1m``."""
    limits = [f"${budget['limit_usd']:g}/{budget['window']}" for budget in key.get("budgets") or ()]
    for rate in key.get("rate_limits") or ():
        limits += [f"{rate[kind]:,} {kind}/{rate['window']}" for kind in ("requests", "tokens") if rate.get(kind)]
    return " ".join(limits) or "none"


def print_key(key: Mapping[str, Any], limit_statuses: Sequence[Mapping[str, Any]] = ()) -> None:
    """Print a key field by field, and the state of its limits."""
    console = out()
    fields = [
        (name, _format(key[name])) for name in key if name not in _HIDDEN_FIELDS and key[name] not in (None, "", [], {})
    ]
    console.print(table(("field", "value"), [*fields, ("limits", _limits(key))]))
    if limit_statuses:
        console.print()
        console.print(
            table(
                ("limit", "of", "window", "used", "reserved", "left", "resets", "forecast", "id"), _rows(limit_statuses)
            )
        )


def _format(value: object) -> object:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{name}={item}" for name, item in value.items())
    return value


def _rows(limit_statuses: Sequence[Mapping[str, Any]]) -> list[Sequence[object]]:
    return [
        (
            f"{limit_status['kind']} {_amount(limit_status, 'limit')}",
            f"{limit_status['of']} {limit_status['of_name']}",
            limit_status["window"],
            *(_amount(limit_status, name) for name in ("used", "reserved", "left")),
            limit_status["resets_at"],
            _forecast(limit_status.get("forecast")),
            Text(plain(limit_status["id"])),
        )
        for limit_status in limit_statuses
    ]


def print_raised(limit_status: Mapping[str, Any]) -> None:
    """Print what a budget is raised to, and until when."""
    until = plain(limit_status["raise"]["until"])
    out().print(
        f"{plain(limit_status['id'])}: {_amount(limit_status, 'limit')} until {until}", markup=False, emoji=False
    )


def _amount(limit_status: Mapping[str, Any], name: str) -> str:
    money = limit_status.get(f"{name}_usd")
    return f"{limit_status.get(name, 0):,}" if money is None else f"${money:,.6f}".rstrip("0").rstrip(".")


def _forecast(forecast: Mapping[str, Any] | None) -> object:
    if not forecast:
        return ""
    if forecast.get("exhausted_at"):
        return Text(f"spent at {plain(forecast['exhausted_at'])}", style="red")
    return f"${forecast.get('projected_usd', 0):,.2f} at its end"


def print_value(key: Mapping[str, Any], *, grace_s: int = 0) -> None:
    """Print a key's value: alone on standard output, for scripts, and its details on standard error."""
    out().print(Text(plain(key.get("value"))), soft_wrap=True)
    console = err()
    console.print(f"{plain(key.get('id'))} {plain(key.get('name'))}", markup=False)
    console.print("The value is printed only this once: store it now.", style="yellow")
    if grace_s:
        console.print(f"The previous value keeps working for {grace_s} s.")
