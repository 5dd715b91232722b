"""``finops cache``: what the cache of answers holds and saves, and purging it."""

from pathlib import Path
from typing import Any

import click

from cli.client.options import credentials, gateway_options
from cli.examples import examples


@click.group(
    name="cache",
    epilog=examples("finops cache stats", "finops cache shadow", "finops cache purge --model openai/gpt-4o --dry-run"),
)
def command() -> None:
    """Show and purge the cache of answers."""


@command.command(name="stats", epilog=examples("finops cache stats", "finops cache stats --days 30 --json"))
@click.option("--days", type=click.IntRange(1, 35), default=7, show_default=True, help="Days to count, today included.")
@gateway_options
def stats(*, days: int, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Show size, hits and savings; needs the admin key."""
    from cli.client.gateway import call_gateway
    from cli.views.cache import print_cache
    from cli.views.output import echo_json

    secret = credentials(url, key, data_dir)
    document = call_gateway(url, secret, lambda gateway: gateway.administer("GET", "cache", params={"days": days}))
    if as_json:
        echo_json(document)
    else:
        print_cache(document)


@command.command(name="shadow", epilog=examples("finops cache shadow", "finops cache shadow --json"))
@gateway_options
def shadow(*, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Show how often semantic matches were or would have been right; needs the admin key."""
    from cli.client.gateway import call_gateway
    from cli.views.cache import print_shadow
    from cli.views.output import echo_json

    secret = credentials(url, key, data_dir)
    document = call_gateway(url, secret, lambda gateway: gateway.administer("GET", "cache/shadow"))
    if as_json:
        echo_json(document)
    else:
        print_shadow(document)


@command.command(
    name="purge",
    epilog=examples(
        "finops cache purge --scope team:search --dry-run",
        "finops cache purge --model openai/gpt-4o --before 2026-11-29T00:00:00Z",
        "finops cache purge --own --key sk-bf-0123456789abcdef",
    ),
)
@click.option("--scope", help="Whose: key:ID, team:NAME, customer:NAME or shared; default: all.")
@click.option("--cache-key", help="The x-bf-cache-key of their requests.")
@click.option("--model", metavar="PROVIDER/MODEL", help="The model that made them.")
@click.option("--before", metavar="TIME", help="Only older ones: RFC 3339 or Unix seconds; default: now.")
@click.option("--own", is_flag=True, help="The virtual key's own; needs no admin key.")
@click.option("--dry-run", is_flag=True, help="Count them, and purge nothing.")
@gateway_options
def purge(*, own: bool, url: str, key: str | None, as_json: bool, data_dir: Path, **filters: Any) -> None:  # noqa: ANN401
    """Purge stored answers: no process serves them afterwards, and their texts are gone."""
    from cli.client.gateway import call_gateway
    from cli.views.output import echo_json

    if own and filters["scope"]:
        raise click.UsageError("--own and --scope exclude each other.")
    body = {name: value for name, value in filters.items() if value}
    path = "/v1/cache/purge" if own else "/api/cache/purge"
    secret = credentials(url, key, data_dir)
    document = call_gateway(url, secret, lambda gateway: gateway.call("POST", path, json=body))
    if as_json:
        echo_json(document)
        return
    done = "would be purged" if document["dry_run"] else "purged"
    click.echo(f"{document['purged']:,} stored answers {done}")
