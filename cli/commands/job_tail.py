"""``finops jobs tail``: the text of a job as its model writes it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.client.options import credentials, gateway_options
from cli.examples import examples

if TYPE_CHECKING:
    from cli.client.gateway import Gateway


@click.command(name="tail", epilog=examples("finops jobs tail 5f0c…", "finops jobs tail 5f0c… --json"))
@click.argument("job_id", metavar="ID")
@gateway_options
def command(*, job_id: str, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Print the text of a job as it is written, from its start; exit with 1 if the job fails or is cancelled.

    With --json, each event is one line. The text is there for requests whose answers are streamed to the job.
    """
    from cli.client.gateway import call_gateway

    async def call(gateway: "Gateway") -> str:
        return await follow(gateway, await gateway.job_id(job_id), as_json=as_json)

    status = call_gateway(url, credentials(url, key, data_dir), call)
    if status != "completed":
        raise click.exceptions.Exit(1)


async def follow(gateway: "Gateway", job_id: str, *, as_json: bool) -> str:
    """Print a job's events until it has ended; its last status.

    Raises:
        GatewayRequestError: There is no such job, or the stream broke.
    """
    import json

    from cli.text import plain

    status, written = "", False
    async for event in gateway.job_events(job_id):
        status = str(event.get("status", status))
        if as_json:
            click.echo(json.dumps(event))
        elif text := event.get("delta"):
            click.echo(plain(str(text)), nl=False)
            written = True
    if not as_json:
        click.echo("\n" if written else "", nl=False)
        click.echo(f"{job_id}: {plain(status)}", err=True)
    return status
