"""``finops batches``: run the requests of a file as a batch, and watch it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import quote

import click

from cli.client.options import caller_options, json_option
from cli.client.stored import Page, page_options, provider_header, provider_option, read_page, save_content, upload
from cli.examples import examples

if TYPE_CHECKING:
    from cli.client.gateway import Gateway


@click.group(
    name="batches",
    epilog=examples("finops batches create requests.jsonl --watch", "finops batches results batch_3f0c…"),
)
def command() -> None:
    """Create, list, watch and cancel batches, and read their results."""


@command.command(name="create", epilog=examples("finops batches create requests.jsonl --watch"))
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--endpoint", help="Endpoint of all lines, such as /v1/chat/completions. Default: that of the first line."
)
@click.option("--window", default="24h", show_default=True, help="Completion window.")
@click.option("--watch", "watched", is_flag=True, help="Wait for its end; exit with 1 unless it completes.")
@provider_option
@json_option
@caller_options
def create(
    *,
    path: Path,
    endpoint: str | None,
    window: str,
    watched: bool,
    provider: str | None,
    url: str,
    key: str | None,
    as_json: bool,
) -> None:
    """Upload a file of requests, one JSON object a line, and run it as a batch."""
    from cli.client.gateway import call_gateway

    endpoint = endpoint or _first_endpoint(path)

    async def call(gateway: "Gateway") -> dict[str, Any]:
        stored = await upload(gateway, path, "batch", provider)
        body = {"input_file_id": stored["id"], "endpoint": endpoint, "completion_window": window}
        batch = await gateway.call("POST", "/v1/batches", json=body, headers=provider_header(provider))
        return await _until_ended(gateway, batch["id"]) if watched else batch

    _print(call_gateway(url, key or "", call), as_json=as_json, ended=watched)


def _first_endpoint(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return str(json.loads(file.readline())["url"])
    except (ValueError, KeyError, TypeError):
        raise click.UsageError(f"the first line of {path} names no url; pass --endpoint") from None


async def _until_ended(gateway: "Gateway", batch_id: str) -> dict[str, Any]:
    from cli.views.batches import watch_batch
    from cli.views.output import err

    return await watch_batch(lambda: gateway.call("GET", _path(batch_id)), err())


def _print(batch: dict[str, Any], *, as_json: bool, ended: bool) -> None:
    """Print a batch; exit with 1 if it has ended otherwise than completed."""
    from cli.views.batches import print_batch
    from cli.views.output import echo_json

    if as_json:
        echo_json(batch)
    elif ended:
        print_batch(batch)
    else:
        click.echo(f"{batch['id']} {batch['status']}")
    if ended and batch.get("status") != "completed":
        raise click.exceptions.Exit(1)


@command.command(name="list", epilog=examples("finops batches list", "finops batches list --json"))
@page_options
@json_option
@caller_options
def list_(*, as_json: bool, key: str | None, **page: Unpack[Page]) -> None:
    """List batches, newest first."""
    from cli.views.batches import print_batches
    from cli.views.output import echo_json

    found = read_page("/v1/batches", key or "", **page)
    echo_json(found) if as_json else print_batches(found)


@command.command(name="watch", epilog=examples("finops batches watch batch_3f0c…"))
@click.argument("batch_id", metavar="ID")
@json_option
@caller_options
def watch(*, batch_id: str, url: str, key: str | None, as_json: bool) -> None:
    """Show the progress of a batch until it has ended; exit with 1 unless it completes."""
    from cli.client.gateway import call_gateway

    batch = call_gateway(url, key or "", lambda gateway: _until_ended(gateway, batch_id))
    _print(batch, as_json=as_json, ended=True)


@command.command(name="cancel", epilog=examples("finops batches cancel batch_3f0c…"))
@click.argument("batch_id", metavar="ID")
@json_option
@caller_options
def cancel(*, batch_id: str, url: str, key: str | None, as_json: bool) -> None:
    """Cancel a batch; results that exist are kept."""
    from cli.client.gateway import call_gateway

    batch = call_gateway(url, key or "", lambda gateway: gateway.call("POST", f"{_path(batch_id)}/cancel"))
    _print(batch, as_json=as_json, ended=False)


@command.command(name="results", epilog=examples("finops batches results batch_3f0c… --output results.jsonl"))
@click.argument("batch_id", metavar="ID")
@click.option("--errors", is_flag=True, help="The file of failed lines instead.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file, not to standard output."
)
@caller_options
def results(
    *,
    batch_id: str,
    errors: bool,
    output: Path | None,
    url: str,
    key: str | None,
) -> None:
    """Print the results of a batch, one JSON object a line."""
    from cli.client.gateway import call_gateway

    batch = call_gateway(url, key or "", lambda gateway: gateway.call("GET", _path(batch_id)))
    file_id = batch.get("error_file_id" if errors else "output_file_id")
    if not file_id:
        raise click.ClickException(
            f"the batch is {batch.get('status')}, and has no {'errors' if errors else 'results'}"
        )
    save_content(url, key or "", str(file_id), output)


def _path(batch_id: str) -> str:
    return f"/v1/batches/{quote(batch_id, safe='')}"
