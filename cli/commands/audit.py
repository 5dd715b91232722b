"""``finops audit``: what administrators changed."""

from pathlib import Path

import click

from cli.client.options import credentials, gateway_options
from cli.examples import examples


@click.command(name="audit", epilog=examples("finops audit", "finops audit --target vk_99ff7c75342fa34a --json"))
@click.option("--target", help="Only entries about this id of a key, job or schedule.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="Entries to list.")
@click.option("--after", help="Go on after this id, as the end of a page prints it.")
@gateway_options
def command(
    *, target: str | None, limit: int, after: str | None, url: str, key: str | None, as_json: bool, data_dir: Path
) -> None:
    """List administrative changes, the latest first: who, when, which action, on what; needs the admin key."""
    from cli.client.gateway import call_gateway
    from cli.views.audit import print_entries
    from cli.views.output import echo_json

    params = {name: value for name, value in (("target", target), ("limit", limit), ("after", after)) if value}
    page = call_gateway(
        url, credentials(url, key, data_dir), lambda gateway: gateway.administer("GET", "audit", params=params)
    )
    if as_json:
        echo_json(page)
    else:
        print_entries(page)
