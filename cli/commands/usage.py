"""``finops usage``: where money went and where it is heading, from a terminal."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from cli import options
from cli.client.gateway import DEFAULT_URL, Gateway, credentials
from cli.examples import examples
from cli.views.output import echo_json, err
from cli.views.usage import print_calls, print_forecast, print_usage

T = TypeVar("T")
VIRTUAL = "sk-bf-"


def _span_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--only", metavar="NAME=VALUE", multiple=True, help="Filter: key, team, model, dimension:app, …"),
        click.option("--to", "to", metavar="TIME", help="A day, which is included, or an RFC 3339 time. Default: now."),
        click.option("--from", "from_", metavar="TIME", help="A day or an RFC 3339 time, UTC."),
    ):
        command = option(command)
    return command


def _gateway_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        options.data_dir_option,
        click.option("--key", envvar="FINOPS_KEY", help="Admin key, or a virtual key for its own usage (FINOPS_KEY)."),
        click.option("--url", envvar="FINOPS_URL", default=DEFAULT_URL, show_default=True, help="The gateway."),
    ):
        command = option(command)
    return command


_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_by_option = click.option(
    "--by", metavar="NAMES", help="team, key, customer, provider, model, request_type, dimension:…"
)
_per_option = click.option(
    "--per", type=click.Choice(["hour", "day", "month", "total"]), default="day", show_default=True
)


@click.group(
    name="usage",
    invoke_without_command=True,
    epilog=examples(
        "finops usage --by team --per day --from 2026-11-01",
        "finops usage --by model --per total --json",
        "finops usage export --format focus -o november.csv --from 2026-11-01 --to 2026-11-30",
    ),
)
@_by_option
@_per_option
@click.option("--own", is_flag=True, help="What the given virtual key has used itself.")
@_span_options
@_json_option
@_gateway_options
@click.pass_context
def command(
    ctx: click.Context,
    *,
    by: str | None,
    per: str,
    own: bool,
    from_: str | None,
    to: str | None,
    only: tuple[str, ...],
    url: str,
    key: str | None,
    as_json: bool,
    data_dir: Path,
) -> None:
    """Show what was used and what it cost, as a table and a chart."""
    if ctx.invoked_subcommand is not None:
        return
    said = {**_said(from_, to, only), "per": per, **({"group_by": by} if by else {})}
    key = credentials(url, key, data_dir)
    path = "/v1/usage" if own or key.startswith(VIRTUAL) else "/api/usage"
    usage = _speak(url, key, lambda gateway: gateway.page(path, said))
    if as_json:
        echo_json(usage)
    else:
        print_usage(usage)


@command.command(
    name="export",
    epilog=examples(
        "finops usage export --format focus -o november.csv --from 2026-11-01 --to 2026-11-30",
        "finops usage export --calls --format jsonl --only team=search > calls.jsonl",
    ),
)
@click.option("--format", "kind", type=click.Choice(["focus", "csv", "jsonl"]), default="csv", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: standard output.")
@click.option("--calls", is_flag=True, help="Every single call, instead of sums.")
@_by_option
@_per_option
@_span_options
@_gateway_options
def export(
    *,
    kind: str,
    output: Path | None,
    calls: bool,
    by: str | None,
    per: str,
    from_: str | None,
    to: str | None,
    only: tuple[str, ...],
    url: str,
    key: str | None,
    data_dir: Path,
) -> None:
    """Write a file: CSV, JSON lines, or FOCUS for the tools that read cloud spend."""
    said = {**_said(from_, to, only), "format": kind}
    if not calls:
        said |= {"per": per, **({"group_by": by} if by else {})}
    path = "/api/logs/export" if calls else "/api/usage/export"

    def write(file: IO[bytes]) -> int:
        return _speak(url, credentials(url, key, data_dir), lambda gateway: gateway.save(path, said, file))

    if output is None:
        write(sys.stdout.buffer)
        return
    try:
        size = _write_whole(output, write)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from None
    err().print(f"{output}: {size:,} bytes", markup=False)


def _write_whole(output: Path, write: Callable[[IO[bytes]], int]) -> int:
    """Write a file that is there when it is whole, or not at all."""
    partial = output.with_name(f"{output.name}.partial")
    try:
        with partial.open("wb") as file:
            size = write(file)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return size


@command.command(name="calls", epilog=examples("finops usage calls --only status=5xx", "finops usage calls --json"))
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--cursor", help="Goes on where a page ended.")
@_span_options
@_json_option
@_gateway_options
def calls(
    *,
    limit: int,
    cursor: str | None,
    from_: str | None,
    to: str | None,
    only: tuple[str, ...],
    url: str,
    key: str | None,
    as_json: bool,
    data_dir: Path,
) -> None:
    """List single calls, newest first."""
    said = {**_said(from_, to, only), "limit": limit, **({"cursor": cursor} if cursor else {})}
    page = _speak(url, credentials(url, key, data_dir), lambda gateway: gateway.page("/api/logs", said))
    if as_json:
        echo_json(page)
    else:
        print_calls(page)


@command.command(name="forecast", epilog=examples("finops usage forecast", "finops usage forecast --by team --json"))
@click.option("--by", type=click.Choice(["key", "team", "customer"]), default="key", show_default=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--after", metavar="ID", help="Those after this one.")
@_json_option
@_gateway_options
def forecast(
    *, by: str, limit: int, after: str | None, url: str, key: str | None, as_json: bool, data_dir: Path
) -> None:
    """Show spend rates, when budgets will be spent, and who spends far above its own habit."""
    said: dict[str, str | int] = {"by": by, "limit": limit, **({"after": after} if after else {})}
    page = _speak(url, credentials(url, key, data_dir), lambda gateway: gateway.page("/api/usage/forecast", said))
    if as_json:
        echo_json(page)
    else:
        print_forecast(page)


def _said(from_: str | None, to: str | None, only: tuple[str, ...]) -> Mapping[str, str | int]:
    said: dict[str, str | int] = {}
    for pair in only:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise click.UsageError(f"--only {pair}: say it as name=value, for example --only team=search")
        said[name] = value
    return {**said, **({"from": from_} if from_ else {}), **({"to": to} if to else {})}


def _speak(url: str, key: str, talk: Callable[[Gateway], Awaitable[T]]) -> T:
    """Talk to the gateway, in an event loop of its own."""

    async def whole() -> T:
        async with Gateway(url, key) as gateway:
            return await talk(gateway)

    return asyncio.run(whole())
