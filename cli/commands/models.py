"""``finops models``: the models that a gateway serves."""

from pathlib import Path

import click

from cli.client.options import credentials, gateway_options
from cli.examples import examples


@click.command(name="models", epilog=examples("finops models", "finops models --provider anthropic --json"))
@click.option("--provider", help="Only models of this provider.")
@gateway_options
def command(*, provider: str | None, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """List the models of all configured providers, one a line, as a request names them."""
    from cli.client.gateway import call_gateway
    from cli.text import plain
    from cli.views.output import echo_json

    document = call_gateway(url, credentials(url, key, data_dir), lambda gateway: gateway.call("GET", "/v1/models"))
    found = [model for model in document["data"] if not provider or model["id"].partition("/")[0] == provider]
    if as_json:
        echo_json({**document, "data": found})
        return
    for model in found:
        click.echo(plain(model["id"]))
