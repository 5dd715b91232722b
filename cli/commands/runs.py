"""``finops runs``: what runs have spent and reserved."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from cli.client.options import credentials, gateway_options
from cli.examples import examples


@click.group(name="runs", epilog=examples("finops runs list", "finops runs show agent-7"))
def command() -> None:
    """Show runs: the calls and jobs that share an x-bf-run-id, and their budget."""


@command.command(name="list", epilog=examples("finops runs list", "finops runs list --limit 100 --json"))
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="Runs per page.")
@click.option("--after", metavar="CURSOR", help="The next page: what the last one printed.")
@gateway_options
def list_(*, limit: int, after: str | None, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """List all callers' runs, the last used first; needs the admin key."""
    from cli.client.gateway import call_gateway
    from cli.views.output import echo_json
    from cli.views.runs import print_runs

    params: dict[str, Any] = {"limit": limit} | ({"after": after} if after else {})
    secret = credentials(url, key, data_dir)
    page = call_gateway(url, secret, lambda gateway: gateway.administer("GET", "runs", params=params))
    if as_json:
        echo_json(page)
    else:
        print_runs(page)


@command.command(name="show", epilog=examples("finops runs show agent-7", "finops runs show agent-7 --json"))
@click.argument("run_id", metavar="ID")
@gateway_options
def show(*, run_id: str, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Show a run of the key's team, else of the key itself."""
    from cli.client.gateway import call_gateway
    from cli.views.output import echo_json
    from cli.views.runs import print_runs

    secret = credentials(url, key, data_dir)
    found = call_gateway(url, secret, lambda gateway: gateway.call("GET", f"/v1/runs/{quote(run_id, safe='')}"))
    if as_json:
        echo_json(found)
    else:
        print_runs({"data": [found]})
