"""``finops top``: the gateway at work: queue, workers, rates, providers and spend."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.client.options import credentials, gateway_options
from cli.examples import examples

if TYPE_CHECKING:
    from cli.client.gateway import Gateway

SHORTEST_S, LONGEST_S = 0.2, 3600.0


@click.command(name="top", epilog=examples("finops top", "finops top --once", "finops top --json --interval 10"))
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(SHORTEST_S, LONGEST_S),
    default=2.0,
    show_default=True,
    help="Seconds between two readings.",
)
@click.option("--once", is_flag=True, help="Print one reading and end.")
@click.option("--count", type=click.IntRange(1), help="End after so many readings.")
@gateway_options
def command(
    *, interval_s: float, once: bool, count: int | None, url: str, key: str | None, as_json: bool, data_dir: Path
) -> None:
    """Show queue, workers, rates, providers and spend, again and again until Ctrl-C; needs the admin key.

    Rates are those between two readings; those of the first one are the means of the current hour. Where the output is
    not a terminal, each reading follows the one before. With --json, each is one line; with --once, one document.
    """
    from cli.client.gateway import call_gateway

    count = 1 if once else count

    async def call(gateway: "Gateway") -> None:
        await _show(gateway, interval_s, count, as_json=as_json, pretty=once)

    try:
        call_gateway(url, credentials(url, key, data_dir), call)
    except KeyboardInterrupt:
        click.echo(err=True)


async def _show(gateway: "Gateway", interval_s: float, count: int | None, *, as_json: bool, pretty: bool) -> None:
    import json

    from cli.client.readings import readings
    from cli.views.output import echo_json, out
    from cli.views.top import Screen, page

    if as_json:
        async for reading in readings(gateway, interval_s, count):
            echo_json(reading) if pretty else click.echo(json.dumps(reading))
        return
    console = out()
    if console.is_terminal and not pretty:
        with Screen(console) as screen:
            async for reading in readings(gateway, interval_s, count):
                screen.update(reading)
        return
    async for reading in readings(gateway, interval_s, count):
        console.print(page(reading, console))
