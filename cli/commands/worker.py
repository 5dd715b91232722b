"""``finops worker``: a worker alone."""

import sys
from pathlib import Path

import click

from cli import options
from cli.examples import examples
from cli.supervisor.lifeline import hold_lifeline
from shared.jobs.model import Priority


def _read_queues(context: click.Context, parameter: click.Parameter, value: str) -> tuple[Priority, ...]:
    """Priorities out of a list with commas, the highest first."""
    named = {name.strip() for name in value.split(",") if name.strip()}
    unknown = sorted(named - set(Priority))
    if unknown or not named:
        said = f"{', '.join(unknown) or 'nothing'} is no queue; known are {', '.join(Priority)}"
        raise click.BadParameter(said, ctx=context, param=parameter)
    return tuple(priority for priority in Priority if priority in named)


@click.command(
    name="worker",
    epilog=examples("finops worker --redis-url redis://redis:6379/0", "finops worker --queues high --concurrency 50"),
)
@click.option(
    "--queues", callback=_read_queues, default="high,normal,low", show_default=True, help="Priorities to serve."
)
@click.option("--concurrency", type=click.IntRange(1, 100_000), help="Jobs at once.  [default: 1000]")
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65_535),
    envvar="FINOPS_WORKER_METRICS_PORT",
    help="Serve /metrics and /health/live on this port.",
)
@click.option("--metrics-host", default="127.0.0.1", show_default=True, envvar="FINOPS_WORKER_METRICS_HOST")
@options.config_option
@options.redis_url_option
@options.data_dir_option
def command(
    *,
    queues: tuple[Priority, ...],
    concurrency: int | None,
    metrics_port: int | None,
    metrics_host: str,
    config: Path | None,
    redis_url: str | None,
    data_dir: Path,
) -> None:
    """Work off jobs until SIGTERM or Ctrl-C; what is not finished within the grace period goes back to the queue.

    Without a configured store it joins the `finops serve` that runs on the data directory. A store that cannot be
    reached is waited for.
    """
    hold_lifeline()
    settings, environ = options.read_settings(config, FINOPS_REDIS_URL=redis_url)
    if settings.redis.url is None:
        environ["FINOPS_REDIS_URL"] = options.needed_store_url(settings, data_dir)
        settings = options.settings_of(environ)
    from worker.main import run_worker  # noqa: PLC0415 - not needed for --help

    sys.exit(
        run_worker(
            settings,
            queues=queues,
            concurrency=concurrency,
            metrics_port=metrics_port,
            metrics_host=metrics_host,
            environ=environ,
        )
    )
