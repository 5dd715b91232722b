"""Files and batches through the gateway, for the commands about them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

if TYPE_CHECKING:
    from cli.client.gateway import Gateway

provider_option = click.option(
    "--provider", metavar="NAME", help="Whose files and batches: a provider's, or finops for those kept here."
)


def provider_header(provider: str | None) -> dict[str, str]:
    """Return the header that names whose files and batches are meant."""
    return {"x-bf-provider": provider} if provider else {}


async def upload(gateway: "Gateway", path: Path, purpose: str, provider: str | None) -> dict[str, Any]:
    """Upload a file and return its description."""
    import asyncio  # noqa: PLC0415 - `--help` needs none

    content = await asyncio.to_thread(path.read_bytes)
    return await gateway.call(
        "POST",
        "/v1/files",
        data={"purpose": purpose},
        files={"file": (path.name, content, "application/jsonl")},
        headers=provider_header(provider),
        timeout=600.0,
    )


def save_content(url: str, key: str, file_id: str, output: Path | None) -> None:
    """Write the bytes of a stored file to a file or to standard output.

    Raises:
        click.ClickException: There is no such file, or it cannot be written.
    """
    from cli.client.gateway import call_gateway  # noqa: PLC0415 - `--help` needs no HTTP client

    path = f"/v1/files/{quote(file_id, safe='')}/content"
    if output is None:
        call_gateway(url, key, lambda gateway: gateway.save(path, {}, sys.stdout.buffer))
        return
    partial = output.with_name(f"{output.name}.partial")
    try:
        with partial.open("wb") as file:
            size = call_gateway(url, key, lambda gateway: gateway.save(path, {}, file))
        partial.replace(output)
    except OSError as error:
        raise click.ClickException(f"cannot write {output}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
    click.echo(f"{output}: {size:,} bytes", err=True)
