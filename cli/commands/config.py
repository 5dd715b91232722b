"""``finops config``: what is in force."""

from pathlib import Path
from typing import Any

import click

from cli import options
from cli.examples import examples
from cli.views.output import echo_json, out, table
from shared.settings.load import effective


@click.group(name="config", epilog=examples("finops config show --config finops.toml"))
def command() -> None:
    """Show the effective configuration."""


@command.command(name="show", epilog=examples("finops config show --config finops.toml", "finops config show --json"))
@options.config_option
@options.redis_url_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def show(config: Path | None, redis_url: str | None, as_json: bool) -> None:
    """Print every setting in force: defaults, file and environment together; secrets are masked."""
    settings, _ = options.read_settings(config, FINOPS_REDIS_URL=redis_url)
    document = effective(settings)
    if as_json:
        echo_json(document)
        return
    out().print(table(["setting", "value"], list(_flatten(document))))


def _flatten(value: Any, place: str = "") -> list[tuple[str, str]]:  # noqa: ANN401 - any setting
    """Settings as lines of dotted name and value; what is empty says so on its own line."""
    if isinstance(value, dict) and value:
        return [line for key, item in value.items() for line in _flatten(item, f"{place}.{key}" if place else str(key))]
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [line for at, item in enumerate(value) for line in _flatten(item, f"{place}[{at}]")]
    return [(place, _to_dict(value))]


def _to_dict(value: Any) -> str:  # noqa: ANN401
    if value is None or value in ({}, []):
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
