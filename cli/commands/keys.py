"""``finops keys``: manage virtual keys through the administration API."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from cli.client.administration import administer
from cli.client.key_options import key_rules, rules_of, seconds_of, time_of
from cli.client.options import credentials, gateway_options, wide_option
from cli.examples import examples

if TYPE_CHECKING:
    from cli.client.gateway import Gateway


@click.group(
    name="keys",
    epilog=examples(
        "finops keys create search --team web --budget 50/1d --requests 600/1m", "finops keys list --team web"
    ),
)
def command() -> None:
    """Create, show and revoke virtual keys; needs the admin key."""


@command.command(
    name="create",
    epilog=examples(
        "finops keys create search",
        "finops keys create search --team web --budget 50/1d --budget 900/1M --requests 600/1m --tokens 1M/1m",
        "finops keys create ci --model 'openai/gpt-4o*' --max-jobs 20 --weight 0.5 --expires 90d --dimension app=ci",
        "KEY=$(finops keys create search)",
    ),
)
@click.argument("name")
@key_rules
@gateway_options
def create(*, name: str, url: str, key: str | None, as_json: bool, data_dir: Path, **rules: Any) -> None:  # noqa: ANN401
    """Create a key and print its value, this once only."""
    from cli.views.keys import print_value
    from cli.views.output import echo_json

    body = {"name": name, **rules_of(rules)}
    created = administer(url, credentials(url, key, data_dir), "POST", "keys", json=body)
    if as_json:
        echo_json(created)
    else:
        print_value(created)


@command.command(name="list", epilog=examples("finops keys list", "finops keys list --team web --status active --json"))
@click.option("--team", help="Only keys of this team.")
@click.option("--customer", help="Only keys of this customer.")
@click.option("--status", type=click.Choice(["active", "revoked", "expired"]), help="Only keys in this state.")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="Keys per page.")
@click.option("--after", metavar="ID", help="Only keys newer than this one: the next page.")
@wide_option
@gateway_options
def list_(*, wide: bool, url: str, key: str | None, as_json: bool, data_dir: Path, **filters: Any) -> None:  # noqa: ANN401
    """List keys: configured ones first, then the others, oldest first."""
    from cli.views.keys import print_keys
    from cli.views.output import echo_json

    parameters = {name: value for name, value in filters.items() if value is not None}
    page = administer(url, credentials(url, key, data_dir), "GET", "keys", params=parameters)
    if as_json:
        echo_json(page)
    else:
        print_keys(page, wide=wide)


@command.command(name="show", epilog=examples("finops keys show vk_3f0c…", "finops keys show team-a --json"))
@click.argument("key_id", metavar="ID|NAME")
@gateway_options
def show(*, key_id: str, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Show a key: what it may use and spend, and the state of its limits."""
    from cli.client.gateway import call_gateway
    from cli.views.keys import print_key
    from cli.views.output import echo_json

    async def call(gateway: "Gateway") -> tuple[dict[str, Any], dict[str, Any]]:
        found = await gateway.key_id(key_id)
        return await gateway.administer("GET", _path(found)), await gateway.administer("GET", _path(found, "limits"))

    document, limit_status = call_gateway(url, credentials(url, key, data_dir), call)
    if as_json:
        echo_json({**document, "limits": limit_status["data"]})
    else:
        print_key(document, limit_status["data"])


@command.command(
    name="change",
    epilog=examples("finops keys change vk_3f0c… --budget 100/1d", "finops keys change vk_3f0c… --weight 2 --name web"),
)
@click.argument("key_id", metavar="ID|NAME")
@click.option("--name", help="New name.")
@key_rules
@gateway_options
def change(
    *,
    key_id: str,
    name: str | None,
    url: str,
    key: str | None,
    as_json: bool,
    data_dir: Path,
    **rules: Any,  # noqa: ANN401
) -> None:
    """Change what a key may use and spend.

    An option replaces all values of its kind; whatever no option names stays as it is.
    """
    from cli.views.keys import print_key
    from cli.views.output import echo_json

    body = rules_of(rules) | ({"name": name} if name else {})
    if not body:
        raise click.UsageError("nothing to change: pass at least one option")
    changed = _on_key(url, credentials(url, key, data_dir), "PATCH", key_id, json=body)
    if as_json:
        echo_json(changed)
    else:
        print_key(changed)


@command.command(name="rotate", epilog=examples("finops keys rotate vk_3f0c… --grace 24h"))
@click.argument("key_id", metavar="ID|NAME")
@click.option("--grace", default="0", show_default=True, metavar="SPAN", help="How long the old value keeps working.")
@gateway_options
def rotate(*, key_id: str, grace: str, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Give a key a new value and print it, this once only."""
    from cli.views.keys import print_value
    from cli.views.output import echo_json

    grace_s = seconds_of(grace, "--grace")
    secret = credentials(url, key, data_dir)
    rotated = _on_key(url, secret, "POST", key_id, "rotate", json={"grace_s": grace_s})
    if as_json:
        echo_json(rotated)
    else:
        print_value(rotated, grace_s=grace_s)


@command.command(
    name="raise",
    epilog=examples(
        "finops keys raise vk_3f0c… budget:key:vk_3f0c…:1d --amount 20 --until 8h --reason 'release night'",
        "finops keys raise team-a budget:team:web:1M --amount 500 --until 2027-02-01 --reason 'audit'",
    ),
)
@click.argument("key_id", metavar="ID|NAME")
@click.argument("limit", metavar="LIMIT")
@click.option("--amount", type=float, required=True, metavar="USD", help="How much is added to the budget.")
@click.option("--until", required=True, metavar="TIME|SPAN", help="When it is over, such as 2027-01-31 or 8h.")
@click.option("--reason", required=True, help="Why; kept in the audit trail.")
@gateway_options
def raise_(
    *,
    key_id: str,
    limit: str,
    amount: float,
    until: str,
    reason: str,
    url: str,
    key: str | None,
    as_json: bool,
    data_dir: Path,
) -> None:
    """Raise a budget for a time; LIMIT is its id in `finops keys show`."""
    from cli.views.keys import print_raised
    from cli.views.output import echo_json

    body = {"limit": limit, "amount_usd": amount, "until": time_of(until, "--until"), "reason": reason}
    raised = _on_key(url, credentials(url, key, data_dir), "POST", key_id, "limits/raise", json=body)
    if as_json:
        echo_json(raised)
    else:
        print_raised(raised)


@command.command(name="revoke", epilog=examples("finops keys revoke vk_3f0c…"))
@click.argument("key_ids", metavar="ID|NAME...", nargs=-1, required=True)
@gateway_options
def revoke(*, key_ids: tuple[str, ...], url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Revoke keys permanently; their queued jobs fail."""
    from cli.client.gateway import call_gateway
    from cli.views.output import echo_json

    async def call(gateway: "Gateway") -> list[dict[str, Any]]:
        found = [await gateway.key_id(key_id) for key_id in key_ids]
        return [await gateway.administer("POST", _path(key_id, "revoke")) for key_id in found]

    revoked = call_gateway(url, credentials(url, key, data_dir), call)
    if as_json:
        echo_json(revoked if len(revoked) > 1 else revoked[0])
        return
    for virtual_key in revoked:
        click.echo(f"{virtual_key['id']} {virtual_key['status']}")


def _on_key(url: str, key: str, method: str, key_id: str, action: str = "", **request: Any) -> dict[str, Any]:  # noqa: ANN401
    """Call the administration of the key with that id or name."""
    from cli.client.gateway import call_gateway

    async def call(gateway: "Gateway") -> dict[str, Any]:
        return await gateway.administer(method, _path(await gateway.key_id(key_id), action), **request)

    return call_gateway(url, key, call)


def _path(key_id: str, action: str = "") -> str:
    return f"keys/{quote(key_id, safe='')}" + (f"/{action}" if action else "")
