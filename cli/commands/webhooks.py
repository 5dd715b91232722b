"""``finops webhooks``: deliveries of events, tests and signing secrets."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from cli.client.administration import administer
from cli.client.options import credentials, gateway_options, wide_option
from cli.examples import examples

if TYPE_CHECKING:
    from cli.client.gateway import Gateway

TEST_WAIT_S = 20.0
TEST_POLL_S = 0.2


@click.group(
    name="webhooks",
    epilog=examples("finops webhooks deliveries --status failed", "finops webhooks test orders"),
)
def command() -> None:
    """Inspect, repeat and test webhook deliveries; needs the admin key."""


@command.command(
    name="deliveries",
    epilog=examples(
        "finops webhooks deliveries --status failed --webhook orders",
        "finops webhooks deliveries --event async_job.failed --json",
    ),
)
@click.option("--status", type=click.Choice(["pending", "delivered", "failed"]), help="Only deliveries in this state.")
@click.option("--webhook", metavar="NAME", help="Only those of a configured webhook.")
@click.option("--job", metavar="ID", help="Only those of a job or batch.")
@click.option("--event", metavar="TYPE", help="Only events of this type, such as async_job.failed.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="Deliveries per page.")
@click.option("--after", metavar="ID", help="Only deliveries older than this one: the next page.")
@wide_option
@gateway_options
def deliveries(*, wide: bool, url: str, key: str | None, as_json: bool, data_dir: Path, **filters: Any) -> None:  # noqa: ANN401
    """List deliveries, newest first."""
    from cli.views.output import echo_json
    from cli.views.webhooks import print_deliveries

    parameters = {name: value for name, value in filters.items() if value is not None}
    page = _administer(url, credentials(url, key, data_dir), "GET", "deliveries", params=parameters)
    if as_json:
        echo_json(page)
    else:
        print_deliveries(page, wide=wide)


@command.command(name="show", epilog=examples("finops webhooks show evt_3f0c…"))
@click.argument("delivery_id", metavar="ID")
@gateway_options
def show(*, delivery_id: str, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Show a delivery with each attempt and what was answered."""
    from cli.views.output import echo_json
    from cli.views.webhooks import print_delivery

    document = _administer(url, credentials(url, key, data_dir), "GET", f"deliveries/{quote(delivery_id, safe='')}")
    if as_json:
        echo_json(document)
    else:
        print_delivery(document)


@command.command(name="redeliver", epilog=examples("finops webhooks redeliver evt_3f0c… evt_91bd…"))
@click.argument("delivery_ids", metavar="ID...", nargs=-1, required=True)
@gateway_options
def redeliver(*, delivery_ids: tuple[str, ...], url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Send events again, whatever became of them."""
    from cli.client.gateway import call_gateway
    from cli.views.output import echo_json

    async def call(gateway: "Gateway") -> list[dict[str, Any]]:
        return [
            await gateway.administer("POST", f"webhooks/deliveries/{quote(delivery_id, safe='')}/redeliver")
            for delivery_id in delivery_ids
        ]

    sent = call_gateway(url, credentials(url, key, data_dir), call)
    if as_json:
        echo_json(sent if len(sent) > 1 else sent[0])
        return
    for document in sent:
        click.echo(f"{document['id']} {document['status']}")


@command.command(name="test", epilog=examples("finops webhooks test orders"))
@click.argument("name")
@gateway_options
def test(*, name: str, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Send a test event, wait for the answer and print it; exit code 1 if it was not accepted."""
    from cli.client.gateway import call_gateway
    from cli.views.output import echo_json
    from cli.views.webhooks import print_delivery

    document = call_gateway(url, credentials(url, key, data_dir), lambda gateway: _send_test(gateway, name))
    if as_json:
        echo_json(document)
    else:
        print_delivery(document)
    if document["status"] != "delivered":
        raise SystemExit(1)


@command.command(
    name="rotate-secret",
    epilog=examples("finops webhooks rotate-secret orders", "SECRET=$(finops webhooks rotate-secret orders)"),
)
@click.argument("name")
@gateway_options
def rotate_secret(*, name: str, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Give a webhook a new signing secret and print it, this once only."""
    from cli.views.output import echo_json

    path = f"{quote(name, safe='')}/rotate-secret"
    rotated = _administer(url, credentials(url, key, data_dir), "POST", path)
    if as_json:
        echo_json(rotated)
        return
    click.echo(rotated["secret"])
    click.echo(f"the previous secret signs too until {rotated['previous_expires_at']}", err=True)


async def _send_test(gateway: "Gateway", name: str) -> dict[str, Any]:
    """Send a test event and return its delivery once it was attempted, or as it is after twenty seconds."""
    import asyncio
    import time

    document = await gateway.administer("POST", f"webhooks/{quote(name, safe='')}/test")
    give_up_at = time.monotonic() + TEST_WAIT_S
    while document["status"] == "pending" and not document["attempts"] and time.monotonic() < give_up_at:
        await asyncio.sleep(TEST_POLL_S)
        document = await gateway.administer("GET", f"webhooks/deliveries/{document['id']}")
    return document


def _administer(url: str, key: str, method: str, path: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401
    return administer(url, key, method, f"webhooks/{path}", **request)
