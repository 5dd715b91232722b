"""Build the body of a virtual key from the options of `finops keys`."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
SPAN = re.compile(r"(\d{1,9})([smhdw])")
_NUMBER = re.compile(r"\d[\d_']{0,19}(?:\.\d{1,9})?([kKM]?)")
_TIMES = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000}

RULES: Sequence[Callable[..., Any]] = (
    click.option("--team", help="Team whose budgets and limits apply too."),
    click.option("--customer", help="Customer whose budgets and limits apply too."),
    click.option(
        "--budget",
        "budgets",
        multiple=True,
        metavar="USD/WINDOW",
        help="Budget in USD, such as 50/1d or 20/rolling:1h.",
    ),
    click.option("--requests", multiple=True, metavar="N/WINDOW", help="Request limit, such as 600/1m."),
    click.option("--tokens", multiple=True, metavar="N/WINDOW", help="Token limit, such as 1M/1m."),
    click.option("--model", "models", multiple=True, metavar="PATTERN", help="Models it may use, such as openai/*."),
    click.option("--deny-model", "denied_models", multiple=True, metavar="PATTERN", help="Models it may not use."),
    click.option("--provider", "providers", multiple=True, metavar="PATTERN", help="Providers it may use."),
    click.option(
        "--fallback", "fallbacks", multiple=True, metavar="MODEL", help="Model to try when the requested one fails."
    ),
    click.option("--weight", type=float, help="Share of the queue relative to other keys; default 1."),
    click.option("--max-jobs", "max_concurrent_jobs", type=int, help="Maximum concurrent jobs."),
    click.option("--max-calls", "max_concurrent_calls", type=int, help="Maximum synchronous calls open at once."),
    click.option("--max-stored-mb", type=float, help="Most MiB of request bodies and results in the job store."),
    click.option("--expires", "expires_at", metavar="TIME|SPAN", help="Expiry, such as 2027-01-31 or 90d."),
    click.option(
        "--passthrough",
        type=click.Choice(["off", "owned", "account"]),
        help="Objects in a provider's account that it may use; default owned.",
    ),
    click.option(
        "--dimension", "dimensions", multiple=True, metavar="NAME=VALUE", help="Dimension recorded with its calls."
    ),
)


def key_rules(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for what a key may use and spend."""
    for option in reversed(RULES):
        command = option(command)
    return command


def rules_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the key's settings for the options that are set.

    Raises:
        click.BadParameter: A value is invalid.
    """
    scalars = (
        "team",
        "customer",
        "weight",
        "max_concurrent_jobs",
        "max_concurrent_calls",
        "max_stored_mb",
        "passthrough",
    )
    lists = ("models", "denied_models", "providers", "fallbacks")
    settings: dict[str, Any] = {name: options[name] for name in scalars if options[name] is not None}
    settings |= {name: list(options[name]) for name in lists if options[name]}
    if options["budgets"]:
        settings["budgets"] = [_budget(text) for text in options["budgets"]]
    rates = [_rate(kind, text) for kind in ("requests", "tokens") for text in options[kind]]
    if rates:
        settings["rate_limits"] = rates
    if options["expires_at"]:
        settings["expires_at"] = time_of(options["expires_at"], "--expires")
    if options["dimensions"]:
        settings["dimensions"] = dict(_pair(text) for text in options["dimensions"])
    return settings


def seconds_of(text: str, option: str) -> int:
    """Return a time span such as ``90s``, ``24h`` or ``3600`` in seconds.

    Raises:
        click.BadParameter: The text is not a time span.
    """
    found = SPAN.fullmatch(text)
    if found:
        return int(found[1]) * _UNITS[found[2]]
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise click.BadParameter(f"{text!r} is not a time span such as 90s, 24h or 7d", param_hint=option)


def _budget(text: str) -> dict[str, Any]:
    amount, window = _over(text, "--budget", "50/1d")
    return {"limit_usd": _number(amount.removeprefix("$"), "--budget"), "window": window}


def _rate(kind: str, text: str) -> dict[str, Any]:
    option = f"--{kind}"
    amount, window = _over(text, option, "600/1m")
    number = _number(amount, option)
    if number != int(number):
        raise click.BadParameter(f"{amount!r} is not a whole number", param_hint=option)
    return {kind: int(number), "window": window}


def _over(text: str, option: str, example: str) -> tuple[str, str]:
    amount, slash, window = text.partition("/")
    if not slash or not window:
        raise click.BadParameter(f"{text!r} is not AMOUNT/WINDOW, such as {example}", param_hint=option)
    return amount, window


def _number(text: str, option: str) -> float:
    found = _NUMBER.fullmatch(text)
    if not found:
        raise click.BadParameter(f"{text!r} is not a number", param_hint=option)
    digits = text.removesuffix(found[1]).replace("_", "").replace("'", "")
    return float(digits) * _TIMES[found[1]]


def time_of(text: str, option: str) -> str:
    """Return a time, or a span from now, in RFC 3339; a day without a time means midnight, UTC.

    Raises:
        click.BadParameter: The text is neither.
    """
    try:
        if SPAN.fullmatch(text):
            at = datetime.now(UTC) + timedelta(seconds=seconds_of(text, option))
        else:
            at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is neither a time such as 2027-01-31 nor a span such as 90d", param_hint=option
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat(timespec="seconds")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--dimension")
    return name, value
