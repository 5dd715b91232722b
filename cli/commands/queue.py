"""``finops queue``: pause, resume and inspect the queue."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from cli.client.administration import administer
from cli.client.options import credentials, gateway_options
from cli.examples import examples

_SCOPE = "all, key:ID, team:NAME, provider:NAME, model:PATTERN or priority:NAME"


@click.group(
    name="queue",
    epilog=examples(
        "finops queue status",
        'finops queue pause provider:openai --reason "outage"',
        "finops queue resume provider:openai",
    ),
)
def command() -> None:
    """Pause, resume and inspect the queue; needs the admin key."""


@command.command(
    name="pause",
    epilog=examples(
        'finops queue pause provider:openai --reason "outage"',
        'finops queue pause "model:openai/gpt-4*" --reason "maintenance" --until 2030-01-01T06:00:00Z',
    ),
    help=f"Keep waiting jobs from being claimed; running jobs finish.\n\nSCOPE is {_SCOPE}.",
)
@click.argument("scope")
@click.option("--reason", required=True, help="Why; the waiting jobs show it.")
@click.option("--until", metavar="TIME", help="When it ends by itself: RFC 3339 or Unix seconds.")
@gateway_options
def pause(
    *, scope: str, reason: str, until: str | None, url: str, key: str | None, as_json: bool, data_dir: Path
) -> None:
    """Keep waiting jobs from being claimed."""
    body = {"reason": reason} if until is None else {"reason": reason, "until": until}
    document = administer(url, credentials(url, key, data_dir), "PUT", _pause(scope), json=body)
    _print(document, f"{scope} is paused", as_json=as_json)


@command.command(
    name="resume",
    epilog=examples("finops queue resume provider:openai"),
    help=f"Let paused jobs be claimed again.\n\nSCOPE is {_SCOPE}.",
)
@click.argument("scope")
@gateway_options
def resume(*, scope: str, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Let paused jobs be claimed again."""
    document = administer(url, credentials(url, key, data_dir), "DELETE", _pause(scope))
    _print(document, f"{scope} is resumed", as_json=as_json)


@command.command(name="status", epilog=examples("finops queue status", "finops queue status --json"))
@gateway_options
def status(*, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Show depth and age of the queue, and what is paused."""
    from cli.client.gateway import call_gateway
    from cli.views.output import echo_json
    from cli.views.queue import print_status

    async def call(gateway: Any) -> dict[str, Any]:  # noqa: ANN401 - imported when it is called
        queue = await gateway.administer("GET", "queue")
        return {**queue, "pauses": (await gateway.administer("GET", "queue/pauses"))["data"]}

    document = call_gateway(url, credentials(url, key, data_dir), call)
    if as_json:
        echo_json(document)
    else:
        print_status(document)


def _pause(scope: str) -> str:
    return f"queue/pauses/{quote(scope, safe='')}"


def _print(document: dict[str, Any], text: str, *, as_json: bool) -> None:
    from cli.views.output import echo_json

    if as_json:
        echo_json(document)
    else:
        click.echo(text)
