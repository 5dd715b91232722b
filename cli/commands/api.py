"""``finops api``: run one API process."""

import sys
from pathlib import Path

import click

from cli import options
from cli.admin_key import read_admin_key
from cli.examples import examples
from cli.supervisor.lifeline import hold_lifeline
from cli.supervisor.signals import end_on_signals
from shared.startup import collect_rarely, without_pydantic_v1


@click.command(
    name="api",
    epilog=examples("finops api --redis-url redis://redis:6379/0 --host 0.0.0.0", "finops api --port 0"),
)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on; 0: any free one.  [default: 8080]")
@click.option("--fd", type=click.IntRange(0), help="Inherited listening socket to serve instead.")
@click.option("--ready-fd", type=click.IntRange(0), hidden=True, help="Write a byte to it once requests are served.")
@click.option("--control-fd", type=click.IntRange(0), hidden=True, help="Socket to the supervisor, which reloads.")
@options.config_option
@options.redis_url_option
@options.data_dir_option
@options.allow_open_option
def command(
    *,
    host: str | None,
    port: int | None,
    fd: int | None,
    ready_fd: int | None,
    control_fd: int | None,
    config: Path | None,
    redis_url: str | None,
    data_dir: Path,
    allow_open: bool,
) -> None:
    """Serve HTTP until SIGTERM or Ctrl-C; SIGHUP reads the configuration again.

    Without a configured store it joins the `finops serve` that runs on the data directory. It starts without a
    reachable store too, and answers 503 to requests that need one until the store is back.
    """
    collect_rarely()
    end_on_signals()
    hold_lifeline()
    overrides = {"FINOPS_HOST": host, "FINOPS_PORT": port, "FINOPS_REDIS_URL": redis_url}
    overrides["FINOPS_ALLOW_OPEN"] = "true" if allow_open else None
    settings, environ = options.read_settings(config, **overrides)
    admin_key = None if settings.auth.admin_key else read_admin_key(data_dir)
    options.check_exposure(settings, admin_key)
    if settings.redis.url is None:
        environ["FINOPS_REDIS_URL"] = options.needed_store_url(settings, data_dir)
        settings = options.settings_of(environ)
    if fd is None:
        from cli.supervisor.listening import open_listeners

        fd = open_listeners(settings.server.host, settings.server.port, 1)[0].detach()
    without_pydantic_v1()
    from api.server import run_api

    sys.exit(run_api(settings, fd=fd, ready_fd=ready_fd, control_fd=control_fd, environ=environ, admin_key=admin_key))
