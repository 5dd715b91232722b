"""``finops alerts``: alert rules, what they raised, and muting."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from cli.client.key_options import time_of
from cli.client.options import credentials, gateway_options
from cli.examples import examples


@click.group(
    name="alerts",
    epilog=examples("finops alerts list", 'finops alerts mute old-jobs --reason "maintenance"'),
)
def command() -> None:
    """List, mute and unmute alert rules; needs the admin key."""


@command.command(name="list", epilog=examples("finops alerts list", "finops alerts list --limit 50 --json"))
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True, help="Alerts to list.")
@gateway_options
def list_command(*, limit: int, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """List the rules with their states, and the alerts that were raised last."""
    from cli.client.gateway import call_gateway
    from cli.views.alerts import print_alerts
    from cli.views.output import echo_json

    async def call(gateway: Any) -> dict[str, Any]:  # noqa: ANN401 - imported when it is called
        rules = await gateway.administer("GET", "alerts/rules")
        raised = await gateway.administer("GET", "alerts", params={"limit": limit})
        return {"rules": rules["data"], "alerts": raised["data"]}

    document = call_gateway(url, credentials(url, key, data_dir), call)
    if as_json:
        echo_json(document)
    else:
        print_alerts(document)


@command.command(
    name="mute",
    epilog=examples(
        'finops alerts mute old-jobs --reason "maintenance"',
        "finops alerts mute old-jobs --until 8h",
    ),
)
@click.argument("name")
@click.option("--reason", default="", help="Why; displayed with the rule.")
@click.option(
    "--until", metavar="TIME|SPAN", help="When it ends by itself, such as 2027-01-31 or 8h; default: in a day."
)
@gateway_options
def mute(
    *, name: str, reason: str, until: str | None, url: str, key: str | None, as_json: bool, data_dir: Path
) -> None:
    """Notify nobody of a rule for a time; the end of an alert that was sent is sent."""
    body = {"reason": reason}
    if until is not None:
        body["until"] = until if until.isdecimal() else time_of(until, "--until")
    rule = _post(url, credentials(url, key, data_dir), name, "mute", json=body)
    _print(rule, f"{name} is muted until {rule['muted']['until']}", as_json=as_json)


@command.command(name="unmute", epilog=examples("finops alerts unmute old-jobs"))
@click.argument("name")
@gateway_options
def unmute(*, name: str, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """End a mute; an alert that still fires is sent within ten seconds."""
    rule = _post(url, credentials(url, key, data_dir), name, "unmute")
    _print(rule, f"{name} is not muted; status: {rule['status']}", as_json=as_json)


def _post(url: str, key: str, name: str, action: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401
    from cli.client.gateway import call_gateway

    path = f"alerts/{quote(name, safe='')}/{action}"
    return call_gateway(url, key, lambda gateway: gateway.administer("POST", path, **request))


def _print(document: dict[str, Any], text: str, *, as_json: bool) -> None:
    from cli.views.output import echo_json

    if as_json:
        echo_json(document)
    else:
        click.echo(text)
