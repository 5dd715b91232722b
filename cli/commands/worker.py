"""``finops worker``: run one worker process."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import options
from cli.examples import examples
from cli.supervisor.lifeline import hold_lifeline
from shared.startup import collect_rarely

if TYPE_CHECKING:
    from shared.jobs.model import Priority


def _read_queues(context: click.Context, parameter: click.Parameter, value: str) -> "tuple[Priority, ...]":
    """Parse a comma-separated list of priorities; the result has the highest first."""
    from shared.jobs.model import Priority

    names = {name.strip() for name in value.split(",") if name.strip()}
    unknown = sorted(names - set(Priority))
    if unknown or not names:
        problem = f"unknown priority {', '.join(unknown)}" if unknown else "no priority"
        raise click.BadParameter(f"{problem}; choose from {', '.join(Priority)}", ctx=context, param=parameter)
    return tuple(priority for priority in Priority if priority in names)


@click.command(
    name="worker",
    epilog=examples("finops worker --redis-url redis://redis:6379/0", "finops worker --queues high --concurrency 50"),
)
@click.option(
    "--queues", callback=_read_queues, default="high,normal,low", show_default=True, help="Priorities to serve."
)
@click.option("--concurrency", type=click.IntRange(1, 100_000), help="Maximum concurrent jobs.  [default: 1000]")
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65_535),
    envvar="FINOPS_WORKER_METRICS_PORT",
    help="Serve /metrics and /health/live on this port.",
)
@click.option(
    "--metrics-host",
    default="127.0.0.1",
    show_default=True,
    envvar="FINOPS_WORKER_METRICS_HOST",
    help="Address of --metrics-port.",
)
@options.config_option
@options.redis_url_option
@options.data_dir_option
def command(
    *,
    queues: "tuple[Priority, ...]",
    concurrency: int | None,
    metrics_port: int | None,
    metrics_host: str,
    config: Path | None,
    redis_url: str | None,
    data_dir: Path,
) -> None:
    """Run jobs until SIGTERM or Ctrl-C; unfinished jobs return to the queue after the grace period.

    SIGHUP reads the configuration again.

    Without a configured store it joins the `finops serve` that runs on the data directory. It waits for a store that
    cannot be reached.
    """
    collect_rarely()
    supervised = hold_lifeline() is not None
    settings, environ = options.read_settings(config, FINOPS_REDIS_URL=redis_url)
    if settings.redis.url is None:
        environ["FINOPS_REDIS_URL"] = options.needed_store_url(settings, data_dir)
        settings = options.settings_of(environ)
    from worker.main import run_worker

    sys.exit(
        run_worker(
            settings,
            queues=queues,
            concurrency=concurrency,
            metrics_port=metrics_port,
            metrics_host=metrics_host,
            environ=environ,
            supervised=supervised,
        )
    )
