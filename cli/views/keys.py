"""How virtual keys look on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from cli.views.output import age, err, out, plain, table

_COLUMNS = ("id", "name", "status", "team", "customer", "limits", "models", "age")
_LEFT_OUT = frozenset({"object", "budgets", "rate_limits", "value"})


def print_keys(page: Mapping[str, Any]) -> None:
    """A page of keys as a table, with the way to the next one."""
    keys = page.get("data") or []
    console = out()
    if not keys:
        console.print("no keys")
        return
    console.print(table(_COLUMNS, [_row(key) for key in keys]))
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
    """All of them in short: ``$50/1d 600 requests/1m``."""
    said = [f"${budget['limit_usd']:g}/{budget['window']}" for budget in key.get("budgets") or ()]
    for rate in key.get("rate_limits") or ():
        said += [f"{rate[kind]:,} {kind}/{rate['window']}" for kind in ("requests", "tokens") if rate.get(kind)]
    return " ".join(said) or "none"


def print_key(key: Mapping[str, Any], limit_statuses: Sequence[Mapping[str, Any]] = ()) -> None:
    """A key, field by field, and how its limits stand."""
    console = out()
    fields = [(name, _said(key[name])) for name in key if name not in _LEFT_OUT and key[name] not in (None, "", [], {})]
    console.print(table(("field", "value"), [*fields, ("limits", _limits(key))]))
    if limit_statuses:
        console.print()
        console.print(
            table(("limit", "of", "window", "used", "reserved", "left", "resets", "forecast"), _rows(limit_statuses))
        )


def _said(value: object) -> object:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{name}={said}" for name, said in value.items())
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
        )
        for limit_status in limit_statuses
    ]


def _amount(limit_status: Mapping[str, Any], name: str) -> str:
    money = limit_status.get(f"{name}_usd")
    return f"{limit_status.get(name, 0):,}" if money is None else f"${money:,.6f}".rstrip("0").rstrip(".")


def _forecast(said: Mapping[str, Any] | None) -> object:
    if not said:
        return ""
    if said.get("exhausted_at"):
        return Text(f"spent at {plain(said['exhausted_at'])}", style="red")
    return f"${said.get('projected_usd', 0):,.2f} at its end"


def print_value(key: Mapping[str, Any], *, grace_s: int = 0) -> None:
    """A key's value: alone on standard output, for scripts; what there is to know of it on standard error."""
    out().print(Text(plain(key.get("value"))), soft_wrap=True)
    console = err()
    console.print(f"{plain(key.get('id'))} {plain(key.get('name'))}", markup=False)
    console.print("This is the only time its value is shown: keep it now.", style="yellow")
    if grace_s:
        console.print(f"The value before it works for {grace_s} s more.")
