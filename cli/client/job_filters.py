"""Options that select jobs: those of ``finops jobs list``, and their query parameters."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from cli.client.key_options import SPAN, seconds_of

Decorated = Callable[..., Any]

ADMIN = ("virtual_key", "team", "customer")
_NAMES = {"virtual_key": "key", "type_name": "type"}


def filter_options(command: Decorated) -> Decorated:
    """Add an option for every parameter by which lists filter jobs."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def filter_parameters(options: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the query parameters of the options that were given."""
    parameters: dict[str, list[str]] = {}
    for name, value in options.items():
        values = [str(one) for one in value] if isinstance(value, tuple) else [] if value is None else [str(value)]
        if values:
            parameters[_NAMES.get(name, name)] = values
    return parameters


def needs_all_jobs(options: Mapping[str, Any]) -> bool:
    """Whether an option is given that only the list of all callers' jobs has."""
    return any(options.get(name) for name in ADMIN)


_OPTIONS = (
    click.option(
        "--status",
        type=click.Choice(["pending", "processing", "completed", "failed", "cancelled"]),
        multiple=True,
        help="Only jobs in this state; like most of these options it may be repeated for alternatives.",
    ),
    click.option("--type", "type_name", multiple=True, help="Only jobs of this request type, such as embeddings."),
    click.option("--model", multiple=True, help="Only jobs of this model."),
    click.option("--provider", multiple=True, help="Only jobs that this provider answered or is to answer."),
    click.option("--code", multiple=True, help="Only jobs that ended with this error code."),
    click.option("--priority", type=click.Choice(["high", "normal", "low"]), multiple=True, help="Of this priority."),
    click.option(
        "--label", metavar="NAME=VALUE", multiple=True, callback=lambda _ctx, _param, texts: _labels(texts),
        help="Only jobs with this label; of several, jobs that have them all.",
    ),
    click.option(
        "--created-after", "--since", "created_after", metavar="TIME|SPAN",
        callback=lambda _ctx, _param, text: _moment(text),
        help="Created after this time (RFC 3339 or Unix seconds), or since so long ago, such as 1h or 7d.",
    ),
    click.option(
        "--created-before", metavar="TIME|SPAN", callback=lambda _ctx, _param, text: _moment(text),
        help="Created before this time, or longer ago than this span.",
    ),
    click.option("--min-cost-usd", type=float, metavar="USD", help="Cost of at least this."),
    click.option("--max-cost-usd", type=float, metavar="USD", help="Cost of at most this."),
    click.option("--virtual-key", metavar="ID", multiple=True, help="Submitted with this key; needs the admin key."),
    click.option("--team", multiple=True, help="Of this team; needs the admin key."),
    click.option("--customer", multiple=True, help="Of this customer; needs the admin key."),
)  # fmt: skip


def _moment(text: str | None) -> str | None:
    """Return a time as it was given, or a span as the time so long ago."""
    if text is None or not SPAN.fullmatch(text):
        return text
    return (datetime.now(UTC) - timedelta(seconds=seconds_of(text, "--since"))).isoformat(timespec="milliseconds")


def _labels(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return labels as the gateway reads them, from ``name=value`` or ``name:value``."""
    labels = []
    for text in texts:
        at = min((text.find(sign) for sign in "=:" if sign in text), default=0)
        if at <= 0:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--label")
        labels.append(f"{text[:at]}:{text[at + 1 :]}")
    return tuple(labels)
