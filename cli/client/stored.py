"""Files and batches through the gateway, for the commands about them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack
from urllib.parse import quote

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.client.gateway import Gateway

provider_option = click.option(
    "--provider", metavar="NAME", help="Whose files and batches: a provider's, or finops for those kept here."
)


class Page(TypedDict):
    """The options of ``page_options``, and the gateway's address."""

    limit: int
    after: str | None
    provider: str | None
    url: str


def page_options(command: "Callable[..., None]") -> "Callable[..., None]":
    """Add the options of a list of files or batches: ``limit``, ``after`` and ``provider``."""
    limit = click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="Rows per page.")
    after = click.option("--after", metavar="ID", help="Only what comes after this one: the next page.")
    return limit(after(provider_option(command)))


def read_page(path: str, key: str, **page: Unpack[Page]) -> dict[str, Any]:
    """Return a page of a list.

    Raises:
        click.ClickException: The gateway refuses it or cannot be reached.
    """
    from cli.client.gateway import call_gateway  # noqa: PLC0415 - `--help` needs no HTTP client

    query = {"limit": page["limit"], **({"after": page["after"]} if page["after"] else {})}
    headers = provider_header(page["provider"])
    return call_gateway(page["url"], key, lambda gateway: gateway.call("GET", path, params=query, headers=headers))


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
