"""``finops tokens``: manage API tokens, with which machines administer."""

from pathlib import Path

import click

from cli.client.administration import administer
from cli.client.key_options import time_of
from cli.client.options import credentials, gateway_options
from cli.examples import examples

ROLES = ("viewer", "operator", "finance", "admin")


@click.group(name="tokens", epilog=examples("finops tokens create grafana --role viewer", "finops tokens list"))
def command() -> None:
    """Create, list and delete API tokens; needs the admin key, or a token with the role admin."""


@command.command(
    name="create",
    epilog=examples(
        "finops tokens create grafana --role viewer",
        "finops tokens create deploy --role operator --expires 30d",
        "FINOPS_KEY=$(finops tokens create report --role finance)",
    ),
)
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What it may do.")
@click.option("--expires", default="90d", show_default=True, metavar="TIME|SPAN", help="Its end, such as 2027-01-31.")
@gateway_options
def create(*, name: str, role: str, expires: str, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Create a token and print its value, this once only."""
    from cli.views.output import echo_json

    body = {"name": name, "role": role, "expires_at": time_of(expires, "--expires")}
    token = administer(url, credentials(url, key, data_dir), "POST", "tokens", json=body)
    if as_json:
        echo_json(token)
        return
    click.echo(token["value"])
    click.echo(f"{token['id']} has the role {token['role']} until {token['expires_at']}", err=True)


@command.command(name="list", epilog=examples("finops tokens list", "finops tokens list --json"))
@gateway_options
def list_(*, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """List tokens, the one that ends first first."""
    from cli.views.output import age, echo_json, out, table

    page = administer(url, credentials(url, key, data_dir), "GET", "tokens")
    if as_json:
        echo_json(page)
    elif not page["data"]:
        click.echo("no tokens")
    else:
        columns = ("id", "name", "role", "expires", "age", "created by")
        rows = [
            (each["id"], each["name"], each["role"], each["expires_at"], age(each["created_at"]), each["created_by"])
            for each in page["data"]
        ]
        out().print(table(columns, rows))


@command.command(name="delete", epilog=examples("finops tokens delete tok_0123456789abcdef"))
@click.argument("token_ids", metavar="ID...", nargs=-1, required=True)
@gateway_options
def delete(*, token_ids: tuple[str, ...], url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Delete tokens; their next use is refused."""
    from urllib.parse import quote

    from cli.views.output import echo_json

    secret = credentials(url, key, data_dir)
    deleted = [administer(url, secret, "DELETE", f"tokens/{quote(token_id, safe='')}") for token_id in token_ids]
    if as_json:
        echo_json(deleted if len(deleted) > 1 else deleted[0])
        return
    for token in deleted:
        click.echo(f"{token['id']} deleted")
