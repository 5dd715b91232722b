"""Options of the commands that act on many jobs: which jobs, how fast, and whether to wait."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

Decorated = Callable[..., Any]

NAMES = (
    "status", "type", "model", "provider", "code", "priority", "label", "created_after", "created_before",
    "min_cost_usd", "max_cost_usd", "key", "team", "customer",
)  # fmt: skip


def bulk_options(command: Decorated) -> Decorated:
    """Add ``--filter``, ``--dry-run``, ``--rate`` and ``--detach``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_filters(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the filter of a bulk request.

    Args:
        texts: ``NAME=VALUE`` each; ``label=app=search`` and ``label=app:search`` are the same.

    Raises:
        click.BadParameter: One is not of this form, or its name is unknown.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not sign or not value:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--filter")
        if name not in NAMES:
            raise click.BadParameter(f"unknown filter {name!r}; known: {', '.join(NAMES)}", param_hint="--filter")
        found.setdefault(name, []).append(_label(value) if name == "label" else value)
    return found


def _label(value: str) -> str:
    """Return a label as the gateway reads it."""
    return value if ":" in value.partition("=")[0] else value.replace("=", ":", 1)


def bulk_body(action: str, filters: Sequence[str], rate: float | None, **more: Any) -> Mapping[str, Any]:  # noqa: ANN401
    """Return the body of a bulk request; options that were not given are absent."""
    body = {"action": action, "filter": read_filters(filters), "rate_per_s": rate, **more}
    return {name: value for name, value in body.items() if value is not None and value is not False}


_OPTIONS = (
    click.option(
        "--filter", "filters", metavar="NAME=VALUE", multiple=True,
        help="All jobs that match, instead of ids: a parameter of `finops jobs list`, such as status=pending or "
        "label=app:search. Repeat to combine; several values of one name are alternatives, labels must all match.",
    ),
    click.option("--dry-run", is_flag=True, help="Only count the jobs that match, and estimate their cost."),
    click.option("--rate", type=click.FloatRange(0, min_open=True), metavar="N", help="At most so many jobs a second."),
    click.option("--detach", is_flag=True, help="Print the operation's id instead of waiting for its end."),
)  # fmt: skip
