"""``finops usage``: usage, costs and spend forecasts."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import click

from cli import options
from cli.client.options import credentials, json_option, url_option, wide_option
from cli.examples import examples

VIRTUAL_KEY_PREFIX = "sk-bf-"


def _span_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--only", metavar="NAME=VALUE", multiple=True, help="Filter by key, team, model, dimension:app, …"
        ),
        click.option(
            "--to", "to", metavar="TIME", help="End: a day, which is included, or an RFC 3339 time. Default: now."
        ),
        click.option("--from", "from_", metavar="TIME", help="Start: a day or an RFC 3339 time, UTC."),
    ):
        command = option(command)
    return command


def _gateway_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        options.data_dir_option,
        click.option("--key", envvar="FINOPS_KEY", help="Admin key, or a virtual key for its own usage (FINOPS_KEY)."),
        url_option,
    ):
        command = option(command)
    return command


_by_option = click.option(
    "--by", metavar="NAMES", help="Group by team, key, customer, provider, model, request_type, dimension:…"
)
_per_option = click.option(
    "--per", type=click.Choice(["hour", "day", "month", "total"]), default="day", show_default=True, help="Period."
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
@click.option("--own", is_flag=True, help="Only the usage of the given virtual key itself.")
@_span_options
@json_option
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
    """Show usage and costs as a table and a chart."""
    if ctx.invoked_subcommand is not None:
        return
    from cli.views.output import echo_json
    from cli.views.usage import print_usage

    params = {**_params(from_, to, only), "per": per, **({"group_by": by} if by else {})}
    key = credentials(url, key, data_dir)
    usage = _fetch(url, key, _path(own=own or key.startswith(VIRTUAL_KEY_PREFIX)), params)
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
@click.option(
    "--format",
    "kind",
    type=click.Choice(["focus", "csv", "jsonl"]),
    default="csv",
    show_default=True,
    help="File format.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write. Default: standard output."
)
@click.option("--calls", is_flag=True, help="Export single calls instead of sums.")
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
    """Export usage as CSV, JSON lines, or FOCUS for tools that read cloud spend."""
    from cli.client.gateway import call_gateway

    params = {**_params(from_, to, only), "format": kind}
    if not calls:
        params |= {"per": per, **({"group_by": by} if by else {})}
    path = "/api/logs/export" if calls else "/api/usage/export"

    def write(file: IO[bytes]) -> int:
        return call_gateway(url, credentials(url, key, data_dir), lambda gateway: gateway.save(path, params, file))

    if output is None:
        write(sys.stdout.buffer)
        return
    try:
        size = _write_atomically(output, write)
    except OSError as error:
        raise click.ClickException(f"cannot write {output}: {error.strerror}") from None
    from cli.views.output import err

    err().print(f"{output}: {size:,} bytes", markup=False)


def _write_atomically(output: Path, write: Callable[[IO[bytes]], int]) -> int:
    """Write a file under a temporary name, and rename it once it is complete."""
    partial = output.with_name(f"{output.name}.partial")
    try:
        with partial.open("wb") as file:
            size = write(file)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return size


@command.command(name="calls", epilog=examples("finops usage calls --only status=5xx", "finops usage calls --json"))
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Calls per page.")
@click.option("--cursor", help="Cursor of the next page, from the previous one.")
@wide_option
@_span_options
@json_option
@_gateway_options
def calls(
    *,
    limit: int,
    cursor: str | None,
    wide: bool,
    from_: str | None,
    to: str | None,
    only: tuple[str, ...],
    url: str,
    key: str | None,
    as_json: bool,
    data_dir: Path,
) -> None:
    """List single calls, newest first."""
    from cli.views.output import echo_json
    from cli.views.usage import print_calls

    params = {**_params(from_, to, only), "limit": limit, **({"cursor": cursor} if cursor else {})}
    page = _fetch(url, credentials(url, key, data_dir), "/api/logs", params)
    if as_json:
        echo_json(page)
    else:
        print_calls(page, wide=wide)


@command.command(name="savings", epilog=examples("finops usage savings", "finops usage savings --from 2026-11-01"))
@_span_options
@json_option
@_gateway_options
def savings(
    *,
    from_: str | None,
    to: str | None,
    only: tuple[str, ...],
    url: str,
    key: str | None,
    as_json: bool,
    data_dir: Path,
) -> None:
    """Show what waiting saved, by lane, and how long the lanes took."""
    from cli.views.output import echo_json
    from cli.views.savings import print_savings

    key = credentials(url, key, data_dir)
    own = key.startswith(VIRTUAL_KEY_PREFIX)
    params = {**_params(from_, to, only), "per": "total", "group_by": "lane"}
    rows = _fetch(url, key, _path(own=own), params)["data"]
    times = [] if own else _fetch(url, key, "/api/lanes", {})["data"]
    if as_json:
        echo_json({"lanes": rows, "times": times})
    else:
        print_savings(rows, times)


@command.command(name="forecast", epilog=examples("finops usage forecast", "finops usage forecast --by team --json"))
@click.option("--by", type=click.Choice(["key", "team", "customer"]), default="key", show_default=True, help="Owner.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Rows per page.")
@click.option("--after", metavar="ID", help="Start after this row: the next page.")
@json_option
@_gateway_options
def forecast(
    *, by: str, limit: int, after: str | None, url: str, key: str | None, as_json: bool, data_dir: Path
) -> None:
    """Show spend rates, when budgets will be exhausted, and owners that spend far above their baseline."""
    from cli.views.output import echo_json
    from cli.views.usage import print_forecast

    params: dict[str, str | int] = {"by": by, "limit": limit, **({"after": after} if after else {})}
    page = _fetch(url, credentials(url, key, data_dir), "/api/usage/forecast", params)
    if as_json:
        echo_json(page)
    else:
        print_forecast(page)


def _path(*, own: bool) -> str:
    """Return where a caller's own usage is read, or everybody's."""
    return "/v1/usage" if own else "/api/usage"


def _params(from_: str | None, to: str | None, only: tuple[str, ...]) -> Mapping[str, str | int]:
    params: dict[str, str | int] = {}
    for pair in only:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise click.UsageError(f"--only {pair} is not NAME=VALUE, such as --only team=search")
        params[name] = value
    return {**params, **({"from": from_} if from_ else {}), **({"to": to} if to else {})}


def _fetch(url: str, key: str, path: str, params: Mapping[str, str | int]) -> dict[str, Any]:
    from cli.client.gateway import call_gateway

    return call_gateway(url, key, lambda gateway: gateway.page(path, params))
