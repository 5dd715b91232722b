"""``finops schedules``: requests that become jobs at set times."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from cli.client.options import credentials, gateway_options
from cli.client.requests import RequestOptions, body_of
from cli.examples import examples
from shared.surfaces.request_types import BY_NAME

_PATH = "/v1/async/schedules"
_JSON_TYPES = [name for name, row in BY_NAME.items() if row.form == "json"]


@click.group(
    name="schedules",
    epilog=examples(
        'finops schedules create --cron "30 6 * * MON-FRI" --model sim/gpt-4o --message "Hello"',
        "finops schedules list",
    ),
)
def command() -> None:
    """Run requests on a schedule: each firing is one job."""


@command.command(
    name="create",
    epilog=examples(
        'finops schedules create --cron "0 7 * * *" --model sim/gpt-4o --message "Hello" --name report',
        "finops schedules create --every 3600 --type embeddings --body request.json --max-active 1 --json",
    ),
)
@click.option("--cron", metavar="EXPRESSION", help="Five fields: minute, hour, day of month, month, day of week.")
@click.option("--every", "every_s", type=float, metavar="SECONDS", help="Instead of --cron: seconds between firings.")
@click.option("--timezone", metavar="ZONE", help="Time zone of --cron, such as Europe/Berlin; default UTC.")
@click.option("--name", help="A name to tell schedules apart.")
@click.option("--type", "type_name", type=click.Choice(_JSON_TYPES), default="chat.completions", show_default=True)
@click.option("--model", help="Model as provider/model; with --body it replaces the model in the body.")
@click.option("--message", help="Prompt or input text.")
@click.option("--body", metavar="FILE", help="Complete request as JSON; - reads standard input.")
@click.option("--header", "headers", metavar="NAME=VALUE", multiple=True, help="Request header; repeat for more.")
@click.option("--catch-up", type=click.Choice(["skip", "last"]), help="Skip missed firings, or run the last one late.")
@click.option(
    "--max-active", type=click.IntRange(1, 1000), help="Skip a firing while this many of its jobs have not ended."
)
@gateway_options
def create(
    *,
    type_name: str,
    model: str | None,
    message: str | None,
    body: str | None,
    headers: tuple[str, ...],
    url: str,
    key: str | None,
    as_json: bool,
    data_dir: Path,  # noqa: ARG001 - the admin key does not own schedules unless it is passed
    **more: str | float | None,
) -> None:
    """Create a schedule and print its id."""
    if (more["cron"] is None) == (more["every_s"] is None):
        raise click.UsageError("pass either --cron EXPRESSION or --every SECONDS")
    options = RequestOptions(type_name=type_name, model=model, message=message, body=body, file=None)
    try:
        fields = json.loads(body_of(options)["content"])
    except ValueError as error:
        raise click.UsageError(f"--body is not JSON ({error})") from None
    request = {"type": type_name, "body": fields, "headers": dict(_header(text) for text in headers)}
    document = {"request": request} | {name: value for name, value in more.items() if value is not None}
    created = _call(url, key or "", "POST", _PATH, json=document)
    _print(created, f"{created['id']}", as_json=as_json)


@command.command(name="list", epilog=examples("finops schedules list", "finops schedules list --json"))
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="Schedules per page.")
@click.option("--after", metavar="ID", help="The next page: what the last one printed.")
@gateway_options
def list_(*, limit: int, after: str | None, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """List schedules, newest first: those of the key, or all with the admin key."""
    from cli.views.output import echo_json
    from cli.views.schedules import print_schedules

    params: dict[str, Any] = {"limit": limit} | ({"after": after} if after else {})
    page = _call(url, credentials(url, key, data_dir), "GET", _PATH, params=params)
    if as_json:
        echo_json(page)
    else:
        print_schedules(page)


@command.command(name="show", epilog=examples("finops schedules show sched_7c1d3f5a"))
@click.argument("schedule_id", metavar="ID")
@gateway_options
def show(*, schedule_id: str, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Show a schedule, its next and its last firing."""
    from cli.views.output import echo_json
    from cli.views.schedules import print_schedule

    document = _call(url, credentials(url, key, data_dir), "GET", _one(schedule_id))
    if as_json:
        echo_json(document)
    else:
        print_schedule(document)


@command.command(name="pause", epilog=examples("finops schedules pause sched_7c1d3f5a"))
@click.argument("schedule_id", metavar="ID")
@gateway_options
def pause(*, schedule_id: str, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Stop firing a schedule until it is resumed; its jobs stay."""
    document = _call(url, credentials(url, key, data_dir), "POST", f"{_one(schedule_id)}/pause")
    _print(document, f"{document['id']} is paused", as_json=as_json)


@command.command(name="resume", epilog=examples("finops schedules resume sched_7c1d3f5a"))
@click.argument("schedule_id", metavar="ID")
@gateway_options
def resume(*, schedule_id: str, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Resume a paused schedule; firings of the paused time are not made up for."""
    document = _call(url, credentials(url, key, data_dir), "POST", f"{_one(schedule_id)}/resume")
    _print(document, f"{document['id']} runs next at {document['next_run_at']}", as_json=as_json)


@command.command(name="delete", epilog=examples("finops schedules delete sched_7c1d3f5a"))
@click.argument("schedule_id", metavar="ID")
@gateway_options
def delete(*, schedule_id: str, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Delete a schedule; its jobs stay."""
    document = _call(url, credentials(url, key, data_dir), "DELETE", _one(schedule_id))
    _print(document, f"{document['id']} is deleted", as_json=as_json)


def _one(schedule_id: str) -> str:
    return f"{_PATH}/{quote(schedule_id, safe='')}"


def _header(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--header")
    return name, value


def _call(url: str, key: str, method: str, path: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401
    from cli.client.gateway import call_gateway

    return call_gateway(url, key, lambda gateway: gateway.call(method, path, **request))


def _print(document: dict[str, Any], text: str, *, as_json: bool) -> None:
    from cli.views.output import echo_json

    if as_json:
        echo_json(document)
    else:
        click.echo(text)
