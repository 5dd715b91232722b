"""``finops jobs cancel|retry|delete|reprioritize|operation``: act on some jobs by id, or on all that match a filter."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import click

from cli.client.bulk_filters import bulk_body, bulk_options
from cli.client.options import credentials, gateway_options
from cli.examples import examples

if TYPE_CHECKING:
    from cli.client.gateway import Gateway

_PRIORITIES = click.Choice(["high", "normal", "low"])


class Target(NamedTuple):
    """Which gateway is called, with which key, and how its answer is printed."""

    url: str
    key: str
    as_json: bool


@click.command(
    name="cancel",
    epilog=examples(
        "finops jobs cancel 5f0c…",
        "finops jobs cancel --filter status=pending --filter label=app:search --dry-run",
        "finops jobs cancel --filter status=pending --filter label=app:search",
    ),
)
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@bulk_options
@gateway_options
def cancel(
    *, job_ids: tuple[str, ...], url: str, key: str | None, as_json: bool, data_dir: Path, **bulk: Any  # noqa: ANN401
) -> None:  # fmt: skip
    """Cancel jobs; running upstream calls are aborted."""
    target = Target(url, credentials(url, key, data_dir), as_json)
    if _by_ids(job_ids, bulk):
        _act(target, job_ids, "cancel")
    else:
        _run_bulk(target, "cancel", **bulk)


@click.command(
    name="retry",
    epilog=examples(
        "finops jobs list --dead",
        "finops jobs retry 5f0c…",
        "finops jobs retry 5f0c… --model anthropic/claude-sonnet-4-5 --priority high",
        "finops jobs retry --filter status=failed --filter provider=openai --rate 50",
        "finops jobs retry --dead --dry-run",
    ),
)
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@click.option("--model", help="Ask this model instead.")
@click.option("--priority", type=_PRIORITIES, help="Change the priority.")
@click.option("--deadline", type=float, metavar="SECONDS", help="Fail if it has not ended by then, from now.")
@click.option("--fallback", "fallbacks", metavar="MODEL", multiple=True, help="Try this model next; repeat for more.")
@click.option(
    "--dead", is_flag=True, help="Jobs of the dead-letter list, all or those that match; needs the admin key."
)
@bulk_options
@gateway_options
def retry(
    *,
    job_ids: tuple[str, ...],
    model: str | None,
    priority: str | None,
    deadline: float | None,
    fallbacks: tuple[str, ...],
    dead: bool,
    url: str,
    key: str | None,
    as_json: bool,
    data_dir: Path,
    **bulk: Any,  # noqa: ANN401 - those of bulk_options
) -> None:
    """Run failed jobs again, including dead-lettered ones, with their full number of attempts."""
    given = {"model": model, "priority": priority, "deadline_s": deadline, "fallbacks": list(fallbacks) or None}
    changes = {name: value for name, value in given.items() if value is not None}
    target = Target(url, credentials(url, key, data_dir), as_json)
    if _by_ids(job_ids, bulk, selected=dead):
        _act(target, job_ids, "retry", changes or None)
        return
    if changes:
        raise click.UsageError("--model, --priority, --deadline and --fallback change single jobs: pass their ids")
    _run_bulk(target, "retry", dead=dead, **bulk)


@click.command(
    name="delete", epilog=examples("finops jobs delete --filter status=completed --filter label=app:search --dry-run")
)
@bulk_options
@gateway_options
def delete(*, url: str, key: str | None, as_json: bool, data_dir: Path, **bulk: Any) -> None:  # noqa: ANN401
    """Delete ended jobs that match a filter, with their results."""
    _by_ids((), bulk)
    _run_bulk(Target(url, credentials(url, key, data_dir), as_json), "delete", **bulk)


@click.command(name="reprioritize", epilog=examples("finops jobs reprioritize --to low --filter label=app:report"))
@click.option("--to", "priority", type=_PRIORITIES, required=True, help="The new priority.")
@bulk_options
@gateway_options
def reprioritize(
    *, priority: str, url: str, key: str | None, as_json: bool, data_dir: Path, **bulk: Any  # noqa: ANN401
) -> None:  # fmt: skip
    """Change the priority of waiting jobs that match a filter."""
    _by_ids((), bulk)
    _run_bulk(Target(url, credentials(url, key, data_dir), as_json), "reprioritize", priority=priority, **bulk)


@click.command(
    name="operation",
    epilog=examples("finops jobs operation op_7c1d3f5a", "finops jobs operation op_7c1d3f5a --cancel"),
)
@click.argument("operation_id", metavar="ID")
@click.option("--cancel", "cancelled", is_flag=True, help="Stop it; what it has done stays done.")
@click.option("--wait", is_flag=True, help="Wait for its end.")
@gateway_options
def operation(
    *, operation_id: str, cancelled: bool, wait: bool, url: str, key: str | None, as_json: bool, data_dir: Path
) -> None:
    """Show, cancel or wait for an operation on many jobs."""
    from cli.client.gateway import call_gateway
    from cli.views.operations import wait_for_operation
    from cli.views.output import err

    path = f"/v1/async/operations/{quote(operation_id, safe='')}"

    async def call(gateway: "Gateway") -> dict[str, Any]:
        document = await (gateway.call("POST", f"{path}/cancel") if cancelled else gateway.call("GET", path))
        return await wait_for_operation(gateway, document, err()) if wait else document

    target = Target(url, credentials(url, key, data_dir), as_json)
    _print_operation(call_gateway(target.url, target.key, call), as_json=as_json, ended=wait)


def _by_ids(job_ids: tuple[str, ...], bulk: dict[str, Any], *, selected: bool = False) -> bool:
    """Whether jobs are given by id.

    Raises:
        click.UsageError: They are given in two ways, or in none.
    """
    matching = selected or bool(bulk["filters"])
    if job_ids and (matching or bulk["dry_run"] or bulk["detach"] or bulk["rate"]):
        raise click.UsageError("pass either ids, or --filter with its options")
    if not job_ids and not matching:
        raise click.UsageError("say which jobs: by id, or with --filter such as --filter status=pending")
    return bool(job_ids)


def _act(target: Target, job_ids: tuple[str, ...], action: str, changes: dict[str, Any] | None = None) -> None:
    from cli.client.gateway import call_gateway
    from cli.views.output import echo_json

    async def call(gateway: "Gateway") -> list[dict[str, Any]]:
        return [await gateway.act(await gateway.job_id(job_id), action, changes) for job_id in job_ids]

    envelopes = call_gateway(target.url, target.key, call)
    if target.as_json:
        echo_json(envelopes if len(envelopes) > 1 else envelopes[0])
        return
    for envelope in envelopes:
        click.echo(f"{envelope['id']} {envelope['status']}")


def _run_bulk(
    target: Target,
    action: str,
    *,
    filters: tuple[str, ...],
    dry_run: bool,
    rate: float | None,
    detach: bool,
    **more: Any,  # noqa: ANN401 - fields of the request
) -> None:
    """Start an operation and wait for its end, or print what a dry run counts."""
    from cli.client.gateway import call_gateway
    from cli.views.operations import print_dry_run, wait_for_operation
    from cli.views.output import echo_json, err

    body = bulk_body(action, filters, rate, dry_run=dry_run, **more)

    async def call(gateway: "Gateway") -> dict[str, Any]:
        document = await gateway.call("POST", "/v1/async/jobs/bulk", json=body)
        return document if dry_run or detach else await wait_for_operation(gateway, document, err())

    document = call_gateway(target.url, target.key, call)
    if not dry_run and not detach:
        _print_operation(document, as_json=target.as_json, ended=True)
    elif target.as_json:
        echo_json(document)
    elif dry_run:
        print_dry_run(document)
    else:
        click.echo(document["id"])


def _print_operation(document: dict[str, Any], *, as_json: bool, ended: bool) -> None:
    """Print an operation; of one that was waited for, exit with 1 unless all its jobs were done or skipped."""
    from cli.views.operations import print_operation
    from cli.views.output import echo_json

    if as_json:
        echo_json(document)
    else:
        print_operation(document)
    if ended and (document.get("status") != "completed" or document.get("failed")):
        raise click.exceptions.Exit(1)


COMMANDS = (cancel, retry, delete, reprioritize, operation)
