"""``finops jobs``: the job system from a terminal, over HTTP."""

import asyncio
from pathlib import Path
from typing import Any

import click

from cli.client.gateway import Gateway, credentials, gateway_options, speak
from cli.client.requests import Wish, body_of, headers_of
from cli.examples import examples
from cli.views.job_progress import wait_for
from cli.views.jobs import print_ended, print_envelope, print_list
from cli.views.output import echo_json, err
from shared.surfaces.request_types import BY_NAME

ENDED_BADLY = frozenset({"failed", "cancelled"})


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
@click.option("--model", help="As provider/model; with --body it replaces the body's.")
@click.option("--message", help="What to ask.")
@click.option("--body", metavar="FILE", help="The whole request as JSON; - reads standard input.")
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), help="Audio or image, for types that take one."
)
@click.option("--wait", is_flag=True, help="Wait for the result; exit 1 if there is none.")
@click.option("--priority", type=click.Choice(["high", "normal", "low"]))
@click.option("--delay", type=float, metavar="SECONDS", help="Earliest start.")
@click.option("--deadline", type=float, metavar="SECONDS", help="From now; past it the job fails.")
@click.option("--ttl", type=int, metavar="SECONDS", help="How long the result is kept.")
@click.option("--webhook", metavar="NAME|URL", help="Who is told when it ends.")
@click.option("--idempotency-key", help="The same key and body within a day give the same job.")
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
    ttl: int | None,
    webhook: str | None,
    idempotency_key: str | None,
    url: str,
    key: str | None,
    as_json: bool,
    data_dir: Path,  # noqa: ARG001 - the admin key is for looking at jobs, not for making them
) -> None:
    """Make a job and print its id, or wait for its result."""
    wish = Wish(type_name=type_name, model=model, message=message, body=body, file=file)
    headers = headers_of(
        priority=priority,
        delay=delay,
        deadline=deadline,
        job_result_ttl=ttl,
        webhook=webhook,
        idempotency_key=idempotency_key,
    )
    request = body_of(wish)

    async def talk(gateway: Gateway) -> dict[str, Any]:
        made = await gateway.submit(wish.request_type.path, headers, **request)
        return (await wait_for(gateway, [made["id"]], err()))[0] if wait else made

    envelope = speak(url, key or "", talk)
    if wait:
        _finish([envelope], as_json=as_json, many=False)
    elif as_json:
        echo_json(envelope)
    else:
        click.echo(envelope["id"])


@command.command(name="get", epilog=examples("finops jobs get 5f0c…", "finops jobs get 5f0c… --output speech.mp3"))
@click.argument("job_id", metavar="ID")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the result's bytes there.")
@gateway_options
def get(*, job_id: str, output: Path | None, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Show a job and its result."""

    async def talk(gateway: Gateway) -> tuple[dict[str, Any], bytes | None]:
        envelope = await gateway.get(job_id)
        wanted = output is not None and envelope.get("status") == "completed"
        return envelope, await gateway.content(job_id) if wanted else None

    envelope, content = speak(url, credentials(url, key, data_dir), talk)
    if output is not None:
        _write(output, envelope, content)
    if as_json:
        echo_json(envelope)
    else:
        print_envelope(envelope, with_result=output is None)


def _write(output: Path, envelope: dict[str, Any], content: bytes | None) -> None:
    if content is None:
        raise click.ClickException(f"the job is {envelope.get('status')}; there is no result to write")
    try:
        output.write_bytes(content)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from None


@command.command(name="wait", epilog=examples("finops jobs wait 5f0c… 77ab…", "finops jobs wait 5f0c… --json"))
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Give up after.")
@gateway_options
def wait(
    *, job_ids: tuple[str, ...], timeout: float | None, url: str, key: str | None, as_json: bool, data_dir: Path
) -> None:
    """Watch jobs until they have ended; exit 1 if one failed.

    With --json one id gives one envelope, several a list of them.
    """
    ids = list(dict.fromkeys(job_ids))

    async def talk(gateway: Gateway) -> list[dict[str, Any]]:
        try:
            async with asyncio.timeout(timeout):
                return await wait_for(gateway, ids, err())
        except TimeoutError:
            raise click.ClickException(f"not ended within {timeout:g} s; the jobs go on") from None

    envelopes = speak(url, credentials(url, key, data_dir), talk)
    _finish(envelopes, as_json=as_json, many=len(ids) > 1)


def _finish(envelopes: list[dict[str, Any]], *, as_json: bool, many: bool) -> None:
    """Show ended jobs; the exit code says whether all have a result."""
    if as_json:
        echo_json(envelopes if many else envelopes[0])
    else:
        print_ended(envelopes)
    if any(envelope.get("status") in ENDED_BADLY for envelope in envelopes):
        raise click.exceptions.Exit(1)


@command.command(name="list", epilog=examples("finops jobs list --status processing", "finops jobs list --dead --json"))
@click.option("--status", type=click.Choice(["pending", "processing", "completed", "failed", "cancelled"]))
@click.option("--model", help="Only of this model.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--after", metavar="ID", help="Those older than this job.")
@click.option("--dead", is_flag=True, help="The dead-letter list; needs the admin key.")
@gateway_options
def list_(
    *,
    status: str | None,
    model: str | None,
    limit: int,
    after: str | None,
    dead: bool,
    url: str,
    key: str | None,
    as_json: bool,
    data_dir: Path,
) -> None:
    """List jobs, newest first: one's own, or with the admin key everybody's."""
    if dead and (status or model):
        raise click.UsageError("--dead goes with neither --status nor --model")
    given = {"status": status, "model": model, "after": after, "limit": limit}
    parameters: dict[str, str | int] = {name: value for name, value in given.items() if value is not None}
    path = "/api/jobs/dead" if dead else "/v1/async/jobs"
    page = speak(url, credentials(url, key, data_dir), lambda gateway: gateway.page(path, parameters))
    if as_json:
        echo_json(page)
    else:
        print_list(page)


def _act(job_ids: tuple[str, ...], action: str, url: str, key: str, *, as_json: bool) -> None:
    async def talk(gateway: Gateway) -> list[dict[str, Any]]:
        return [await gateway.act(job_id, action) for job_id in job_ids]

    envelopes = speak(url, key, talk)
    if as_json:
        echo_json(envelopes if len(envelopes) > 1 else envelopes[0])
        return
    for envelope in envelopes:
        click.echo(f"{envelope['id']} {envelope['status']}")


@command.command(name="cancel", epilog=examples("finops jobs cancel 5f0c…"))
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@gateway_options
def cancel(*, job_ids: tuple[str, ...], url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Cancel jobs; a running upstream call is aborted."""
    _act(job_ids, "cancel", url, credentials(url, key, data_dir), as_json=as_json)


@command.command(name="retry", epilog=examples("finops jobs list --dead", "finops jobs retry 5f0c…"))
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@gateway_options
def retry(*, job_ids: tuple[str, ...], url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Run failed jobs again, dead-lettered ones too, with all their attempts."""
    _act(job_ids, "retry", url, credentials(url, key, data_dir), as_json=as_json)
