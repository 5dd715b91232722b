"""From the options of `finops keys` to what the gateway is asked for."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SPAN = re.compile(r"(\d{1,9})([smhdw])")
_NUMBER = re.compile(r"\d[\d_']{0,19}(?:\.\d{1,9})?([kKM]?)")
_TIMES = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000}

RULES: Sequence[Callable[..., Any]] = (
    click.option("--team", help="Whose budgets and limits bind it too."),
    click.option("--customer", help="The same."),
    click.option("--budget", "budgets", multiple=True, metavar="USD/WINDOW", help="Money, as 50/1d or 20/rolling:1h."),
    click.option("--requests", multiple=True, metavar="N/WINDOW", help="Calls, as 600/1m."),
    click.option("--tokens", multiple=True, metavar="N/WINDOW", help="Tokens, as 1M/1m."),
    click.option("--model", "models", multiple=True, metavar="PATTERN", help="What it may use, as openai/*."),
    click.option("--deny-model", "denied_models", multiple=True, metavar="PATTERN", help="What it may not use."),
    click.option("--provider", "providers", multiple=True, metavar="PATTERN", help="Whose models it may use."),
    click.option("--fallback", "fallbacks", multiple=True, metavar="MODEL", help="Tried after the one asked for."),
    click.option("--weight", type=float, help="Its share of the queue; others have 1."),
    click.option("--max-jobs", "max_concurrent_jobs", type=int, help="Jobs of its that run at once."),
    click.option("--expires", "expires_at", metavar="TIME|SPAN", help="When it ends, as 2027-01-31 or 90d."),
    click.option(
        "--dimension", "dimensions", multiple=True, metavar="NAME=VALUE", help="What its calls are booked under."
    ),
)


def key_rules(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a key may use and spend, as options."""
    for option in reversed(RULES):
        command = option(command)
    return command


def rules_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the options name; those not given are left out.

    Raises:
        click.BadParameter: One is not understood.
    """
    plain = ("team", "customer", "weight", "max_concurrent_jobs")
    lists = ("models", "denied_models", "providers", "fallbacks")
    said: dict[str, Any] = {name: options[name] for name in plain if options[name] is not None}
    said |= {name: list(options[name]) for name in lists if options[name]}
    if options["budgets"]:
        said["budgets"] = [_budget(text) for text in options["budgets"]]
    rates = [_rate(kind, text) for kind in ("requests", "tokens") for text in options[kind]]
    if rates:
        said["rate_limits"] = rates
    if options["expires_at"]:
        said["expires_at"] = _moment(options["expires_at"])
    if options["dimensions"]:
        said["dimensions"] = dict(_pair(text) for text in options["dimensions"])
    return said


def seconds_of(text: str, option: str) -> int:
    """A span of time: ``90s``, ``24h``, or seconds.

    Raises:
        click.BadParameter: It is none.
    """
    found = _SPAN.fullmatch(text)
    if found:
        return int(found[1]) * _UNITS[found[2]]
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise click.BadParameter(f"{text!r} is no span of time, as 90s, 24h or 7d", param_hint=option)


def _budget(text: str) -> dict[str, Any]:
    amount, window = _over(text, "--budget", "50/1d")
    return {"limit_usd": _number(amount.removeprefix("$"), "--budget"), "window": window}


def _rate(kind: str, text: str) -> dict[str, Any]:
    option = f"--{kind}"
    amount, window = _over(text, option, "600/1m")
    number = _number(amount, option)
    if number != int(number):
        raise click.BadParameter(f"{amount!r} is no whole number", param_hint=option)
    return {kind: int(number), "window": window}


def _over(text: str, option: str, example: str) -> tuple[str, str]:
    amount, slash, window = text.partition("/")
    if not slash or not window:
        raise click.BadParameter(f"{text!r}: say how much per which window, as {example}", param_hint=option)
    return amount, window


def _number(text: str, option: str) -> float:
    found = _NUMBER.fullmatch(text)
    if not found:
        raise click.BadParameter(f"{text!r} is no number", param_hint=option)
    digits = text.removesuffix(found[1]).replace("_", "").replace("'", "")
    return float(digits) * _TIMES[found[1]]


def _moment(text: str) -> str:
    """A time as the gateway reads it; a day alone begins at midnight, UTC."""
    try:
        if _SPAN.fullmatch(text):
            at = datetime.now(UTC) + timedelta(seconds=seconds_of(text, "--expires"))
        else:
            at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is neither a time, as 2027-01-31, nor a span, as 90d", param_hint="--expires"
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat(timespec="seconds")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r}: say NAME=VALUE", param_hint="--dimension")
    return name, value
