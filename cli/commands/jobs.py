"""``finops jobs``: submit, watch and manage jobs over HTTP."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.client.job_filters import filter_options, filter_parameters, needs_all_jobs
from cli.client.options import credentials, gateway_options, wide_option
from cli.client.requests import RequestOptions, body_of, headers_of
from cli.commands.job_actions import COMMANDS
from cli.commands.job_tail import command as tail
from cli.examples import examples
from shared.surfaces.request_types import BY_NAME

if TYPE_CHECKING:
    from cli.client.gateway import Gateway

UNSUCCESSFUL = frozenset({"failed", "cancelled"})


@click.group(
    name="jobs",
    epilog=examples('finops jobs submit --model sim/gpt-4o --message "Hello" --wait', "finops jobs list"),
)
def command() -> None:
    """Submit, watch and manage jobs."""


@command.command(
    name="submit",
    epilog=examples(
        'finops jobs submit --model openai/gpt-4o --message "Hello" --wait',
        "finops jobs submit --type embeddings --body request.json --priority low --json",
        "finops jobs submit --type audio.transcriptions --model openai/whisper-1 --file talk.mp3",
    ),
)
@click.option("--type", "type_name", type=click.Choice(list(BY_NAME)), default="chat.completions", show_default=True)
@click.option("--model", help="Model as provider/model; with --body it replaces the model in the body.")
@click.option("--message", help="Prompt or input text.")
@click.option("--body", metavar="FILE", help="Complete request as JSON; - reads standard input.")
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), help="Audio or image file, for the types that take one."
)
@click.option("--wait", is_flag=True, help="Wait for the result; exit with 1 if the job fails.")
@click.option("--priority", type=click.Choice(["high", "normal", "low"]), help="Priority of the job.")
@click.option("--delay", type=float, metavar="SECONDS", help="Start no earlier than this from now.")
@click.option("--deadline", type=float, metavar="SECONDS", help="Fail the job if it has not ended by then, from now.")
@click.option("--patience", type=float, metavar="SECONDS", help="How long you can wait, so that it may cost less.")
@click.option("--ttl", type=int, metavar="SECONDS", help="How long to keep the result.")
@click.option("--webhook", metavar="NAME|URL", help="Webhook to notify when the job ends.")
@click.option("--idempotency-key", help="The same key and body return the same job for a day.")
@gateway_options
def submit(
    *,
    type_name: str,
    model: str | None,
    message: str | None,
    body: str | None,
    file: Path | None,
    wait: bool,
    priority: str | None,
    delay: float | None,
    deadline: float | None,
    patience: float | None,
    ttl: int | None,
    webhook: str | None,
    idempotency_key: str | None,
    url: str,
    key: str | None,
    as_json: bool,
    data_dir: Path,  # noqa: ARG001 - the admin key reads jobs, it does not submit them
) -> None:
    """Submit a job and print its id, or wait for its result."""
    from cli.client.gateway import call_gateway
    from cli.views.job_progress import wait_for
    from cli.views.output import echo_json, err

    options = RequestOptions(type_name=type_name, model=model, message=message, body=body, file=file)
    headers = headers_of(
        priority=priority,
        delay=delay,
        deadline=deadline,
        patience=patience,
        job_result_ttl=ttl,
        webhook=webhook,
        idempotency_key=idempotency_key,
    )
    request = body_of(options)

    async def call(gateway: "Gateway") -> dict[str, Any]:
        envelope = await gateway.submit(options.request_type.path, headers, **request)
        return (await wait_for(gateway, [envelope["id"]], err()))[0] if wait else envelope

    envelope = call_gateway(url, key or "", call)
    if wait:
        _finish([envelope], as_json=as_json, many=False)
    elif as_json:
        echo_json(envelope)
    else:
        click.echo(envelope["id"])


@command.command(name="get", epilog=examples("finops jobs get 5f0c…", "finops jobs get 5f0c… --output speech.mp3"))
@click.argument("job_id", metavar="ID")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the bytes of the result to this file."
)
@gateway_options
def get(*, job_id: str, output: Path | None, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Show a job and its result."""
    from cli.client.gateway import call_gateway
    from cli.views.jobs import print_envelope
    from cli.views.output import echo_json

    async def call(gateway: "Gateway") -> tuple[dict[str, Any], bytes | None]:
        complete = await gateway.job_id(job_id)
        envelope = await gateway.get(complete)
        wanted = output is not None and envelope.get("status") == "completed"
        return envelope, await gateway.content(complete) if wanted else None

    envelope, content = call_gateway(url, credentials(url, key, data_dir), call)
    if output is not None:
        _write(output, envelope, content)
    if as_json:
        echo_json(envelope)
    else:
        print_envelope(envelope, with_result=output is None)


def _write(output: Path, envelope: dict[str, Any], content: bytes | None) -> None:
    if content is None:
        raise click.ClickException(f"the job is {envelope.get('status')}: it has no result to write")
    try:
        output.write_bytes(content)
    except OSError as error:
        raise click.ClickException(f"cannot write {output}: {error.strerror}") from None


@command.command(name="wait", epilog=examples("finops jobs wait 5f0c… 77ab…", "finops jobs wait 5f0c… --json"))
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Stop waiting after this time."
)
@gateway_options
def wait(
    *, job_ids: tuple[str, ...], timeout: float | None, url: str, key: str | None, as_json: bool, data_dir: Path
) -> None:
    """Wait until jobs have ended; exit with 1 if one failed or was cancelled.

    With --json, one id prints one envelope, several print a list.
    """
    import asyncio

    from cli.client.gateway import call_gateway
    from cli.views.job_progress import wait_for
    from cli.views.output import err

    async def call(gateway: "Gateway") -> list[dict[str, Any]]:
        ids = list(dict.fromkeys([await gateway.job_id(job_id) for job_id in job_ids]))
        try:
            async with asyncio.timeout(timeout):
                return await wait_for(gateway, ids, err())
        except TimeoutError:
            raise click.ClickException(f"the jobs have not ended within {timeout:g} s; they keep running") from None

    envelopes = call_gateway(url, credentials(url, key, data_dir), call)
    _finish(envelopes, as_json=as_json, many=len(envelopes) > 1)


def _finish(envelopes: list[dict[str, Any]], *, as_json: bool, many: bool) -> None:
    """Print ended jobs; exit with 1 unless all of them completed."""
    from cli.views.jobs import print_ended
    from cli.views.output import echo_json

    if as_json:
        echo_json(envelopes if many else envelopes[0])
    else:
        print_ended(envelopes)
    if any(envelope.get("status") in UNSUCCESSFUL for envelope in envelopes):
        raise click.exceptions.Exit(1)


@command.command(
    name="list",
    epilog=examples("finops jobs list --label app=search --status failed", "finops jobs list --dead --json"),
)
@filter_options
@click.option("--order", type=click.Choice(["desc", "asc"]), help="By creation: newest (desc) or oldest first.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="Jobs per page.")
@click.option("--after", metavar="ID", help="Only jobs older than this one: the next page.")
@click.option("--dead", is_flag=True, help="List dead-lettered jobs; needs the admin key.")
@wide_option
@gateway_options
def list_(
    *,
    order: str | None,
    limit: int,
    after: str | None,
    dead: bool,
    wide: bool,
    url: str,
    key: str | None,
    as_json: bool,
    data_dir: Path,
    **filters: Any,  # noqa: ANN401 - one per option of filter_options
) -> None:
    """List jobs, newest first: those of the key, or all jobs with the admin key."""
    from cli.client.gateway import call_gateway
    from cli.views.jobs import print_list
    from cli.views.output import echo_json

    parameters = filter_parameters(filters)
    if dead and (parameters or order):
        raise click.UsageError("--dead lists all dead-lettered jobs: it cannot be combined with filters or --order")
    parameters |= filter_parameters({"order": order, "after": after, "limit": limit})
    path = "/api/jobs" if needs_all_jobs(filters) else "/v1/async/jobs"
    path = "/api/jobs/dead" if dead else path
    page = call_gateway(url, credentials(url, key, data_dir), lambda gateway: gateway.page(path, parameters))
    if as_json:
        echo_json(page)
    else:
        print_list(page, wide=wide)


for _action in (tail, *COMMANDS):
    command.add_command(_action)
