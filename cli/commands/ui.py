"""``finops ui``: open the web console, signed in."""

from pathlib import Path

import click

from cli.client.options import credentials, gateway_options
from cli.examples import examples


@click.command(name="ui", epilog=examples("finops ui", "finops ui --no-open --url http://gateway.example:8080"))
@click.option("--no-open", is_flag=True, help="Print the link without opening a browser.")
@gateway_options
def command(*, no_open: bool, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Open the console in a browser by a one-time link, which is good for two minutes; needs the admin key."""
    from cli.client.gateway import call_gateway
    from cli.views.output import echo_json

    made = call_gateway(
        url, credentials(url, key, data_dir), lambda gateway: gateway.administer("POST", "console/ticket")
    )
    link = url.rstrip("/") + made["path"]
    if as_json:
        echo_json({"url": link})
        return
    click.echo(link)
    if not no_open and click.launch(link) != 0:
        click.echo("No browser could be opened; open the link yourself.", err=True)
