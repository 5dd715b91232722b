"""``finops providers``: list providers, their request types, and which are configured."""

from pathlib import Path

import click

from cli import options
from cli.examples import examples


@click.command(
    name="providers",
    epilog=examples(
        "finops providers", "finops providers --configured --config finops.toml", "finops providers --json"
    ),
)
@options.config_option
@click.option("--configured", "only_configured", is_flag=True, help="Only configured providers.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(*, config: Path | None, only_configured: bool, as_json: bool) -> None:
    """List providers with wire format, host, request types and configuration state; never the keys."""
    from cli.views.output import echo_json, out, table
    from cli.views.providers import describe, rows_of
    from shared.providers.registry import configured_providers

    settings, environ = options.read_settings(config)
    described = [
        provider
        for provider in describe(configured_providers(settings, environ), environ)
        if provider["configured"] or not only_configured
    ]
    if as_json:
        echo_json(described)
        return
    if not described:
        click.echo("no provider is configured in this environment; `finops doctor` asks the running gateway")
        return
    out().print(table(("provider", "wire", "host", "offers", "configured", "needs"), rows_of(described)))
