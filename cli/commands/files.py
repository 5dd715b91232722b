"""``finops files``: upload, list, read and delete files of batches."""

from pathlib import Path
from typing import Unpack

import click

from cli.client.options import caller_options, json_option
from cli.client.stored import Page, page_options, provider_option, read_page, save_content, upload
from cli.examples import examples


@click.group(name="files", epilog=examples("finops files upload requests.jsonl", "finops files list"))
def command() -> None:
    """Upload, list, read and delete files."""


@command.command(name="upload", epilog=examples("finops files upload requests.jsonl"))
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--purpose", default="batch", show_default=True, help="What the file is for.")
@provider_option
@json_option
@caller_options
def upload_(
    *,
    path: Path,
    purpose: str,
    provider: str | None,
    url: str,
    key: str | None,
    as_json: bool,
) -> None:
    """Upload a file and print its id."""
    from cli.client.gateway import call_gateway
    from cli.views.output import echo_json

    stored = call_gateway(url, key or "", lambda gateway: upload(gateway, path, purpose, provider))
    echo_json(stored) if as_json else click.echo(stored["id"])


@command.command(name="list", epilog=examples("finops files list", "finops files list --json"))
@page_options
@json_option
@caller_options
def list_(*, as_json: bool, key: str | None, **page: Unpack[Page]) -> None:
    """List files, newest first."""
    from cli.views.batches import print_files
    from cli.views.output import echo_json

    found = read_page("/v1/files", key or "", **page)
    echo_json(found) if as_json else print_files(found)


@command.command(name="get", epilog=examples("finops files get file-3f0c… --output results.jsonl"))
@click.argument("file_id", metavar="ID")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file, not to standard output."
)
@caller_options
def get(
    *,
    file_id: str,
    output: Path | None,
    url: str,
    key: str | None,
) -> None:
    """Print the bytes of a file."""
    save_content(url, key or "", file_id, output)


@command.command(name="delete", epilog=examples("finops files delete file-3f0c…"))
@click.argument("file_ids", metavar="ID...", nargs=-1, required=True)
@caller_options
def delete(*, file_ids: tuple[str, ...], url: str, key: str | None) -> None:
    """Delete files that no open batch reads."""
    from urllib.parse import quote

    from cli.client.gateway import Gateway, call_gateway

    async def call(gateway: Gateway) -> None:
        for file_id in file_ids:
            await gateway.call("DELETE", f"/v1/files/{quote(file_id, safe='')}")
            click.echo(f"{file_id} deleted")

    call_gateway(url, key or "", call)
