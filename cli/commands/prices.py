"""``finops prices``: the price of each model, its source and its date."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import options
from cli.client.options import credentials, gateway_options
from cli.examples import examples

if TYPE_CHECKING:
    from shared.inference.price_catalogue import PriceCatalogue
    from shared.settings.model import Settings

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group(name="prices", epilog=examples("finops prices list --provider openai", "finops prices check"))
def command() -> None:
    """Show prices: those of the configuration, published ones, and what has none. Update the published ones."""


@command.command(
    name="list", epilog=examples("finops prices list", "finops prices list --provider openai --model gpt-4o --json")
)
@options.config_option
@click.option("--provider", default="", help="Only this provider's prices.")
@click.option("--model", default="", help="Only models with this in their names.")
@_json_option
def list_(*, config: Path | None, provider: str, model: str, as_json: bool) -> None:
    """List the prices of the configured providers' models."""
    from cli.views.output import echo_json
    from cli.views.prices import print_prices
    from shared.errors import UnknownProvider

    _, catalogue = _catalogue(config)
    try:
        entries = list(catalogue.entries(catalogue.ids(provider=provider, model=model)))
    except UnknownProvider as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        echo_json(entries)
    else:
        print_prices(entries)


@command.command(
    name="show", epilog=examples("finops prices show openai/gpt-4o", "finops prices show ollama/llama3.1:8b --json")
)
@click.argument("model", metavar="MODEL")
@options.config_option
@_json_option
def show(*, model: str, config: Path | None, as_json: bool) -> None:
    """Explain the price of one model, written provider/model."""
    from cli.views.output import echo_json
    from cli.views.prices import print_price
    from shared.errors import InvalidRequest

    _, catalogue = _catalogue(config)
    try:
        entry = catalogue.find(model)
    except InvalidRequest as error:
        raise click.ClickException(str(error)) from None
    if entry is None:
        raise click.ClickException(f'{model!r} has no known price; set one in [prices."{model}"] of finops.toml')
    if as_json:
        echo_json(entry)
    else:
        print_price(entry)


@command.command(name="check", epilog=examples("finops prices check", "finops prices check --config finops.toml"))
@options.config_option
@_json_option
def check(*, config: Path | None, as_json: bool) -> None:
    """Name the providers and models that a budget in USD would refuse; exits 1 if there are any."""
    from cli.views.output import echo_json
    from cli.views.prices import print_unpriced

    settings, catalogue = _catalogue(config)
    found = catalogue.unpriced()
    refused = bool(found) and settings.ledger.unpriced == "refuse"
    if as_json:
        echo_json({"refused": refused, "unpriced": [each._asdict() for each in found]})
    else:
        print_unpriced(found, refused=refused)
    if refused:
        raise SystemExit(1)


@command.command(
    name="update",
    epilog=examples(
        "finops prices update prices.json --dry-run",
        "finops prices update https://example.com/prices.json",
        "finops prices update --bundled",
    ),
)
@click.argument("source", metavar="FILE|URL", required=False)
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--bundled", is_flag=True, help="Go back to the prices of the installed package.")
@gateway_options
def update(
    *, source: str | None, dry_run: bool, bundled: bool, url: str, key: str | None, as_json: bool, data_dir: Path
) -> None:
    """Replace the published prices of a running gateway; needs the admin key.

    The data is an array of providers in the format of genai-prices. Nothing updates prices by itself.
    """
    from cli.client.gateway import call_gateway
    from cli.client.price_data import read_price_data
    from cli.views.output import echo_json
    from cli.views.prices import print_price_changes

    if bundled == (source is not None) or (bundled and dry_run):
        raise click.UsageError("Give a file or a URL, or --bundled alone.")
    secret = credentials(url, key, data_dir)
    if source is None:
        document = call_gateway(url, secret, lambda gateway: gateway.administer("DELETE", "prices/data"))
    else:
        params = {"dry_run": str(dry_run).lower(), "source": source[:500]}
        data = read_price_data(source)
        headers = {"content-type": "application/json"}
        document = call_gateway(
            url,
            secret,
            lambda gateway: gateway.administer("PUT", "prices/data", params=params, content=data, headers=headers),
        )
    if as_json:
        echo_json(document)
    else:
        print_price_changes(document)


def _catalogue(config: Path | None) -> "tuple[Settings, PriceCatalogue]":
    from shared.inference.price_catalogue import PriceCatalogue
    from shared.providers.registry import configured_providers

    settings, environ = options.read_settings(config)
    return settings, PriceCatalogue(settings, configured_providers(settings, environ))
