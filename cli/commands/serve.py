"""``finops serve``: run the whole system on one machine."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import options
from cli.admin_key import read_admin_key
from cli.examples import examples
from shared.startup import collect_rarely

if TYPE_CHECKING:
    from cli.supervisor.ahead import StartedAhead


@click.command(
    name="serve",
    epilog=examples("finops serve --demo", "finops serve --port 9000 --workers 4 --config finops.toml"),
)
@options.data_dir_option
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on; 0: any free one.  [default: 8080]")
@click.option(
    "--workers", type=click.IntRange(0, 256), default=1, show_default=True, help="Number of worker processes."
)
@click.option(
    "--api-processes", type=click.IntRange(1, 256), default=1, show_default=True, help="Number of API processes."
)
@options.config_option
@options.redis_url_option
@options.allow_open_option
@click.option(
    "--demo",
    is_flag=True,
    help="Add the upstream simulator as provider sim; it also plays openai, anthropic, vertex, azure and ollama where "
    "no key is given.",
)
@click.option(
    "--sample-data/--no-sample-data",
    default=True,
    show_default=True,
    help="With --demo: fill an empty store with keys, jobs and a month of use, for the console to show.",
)
@click.pass_obj
def command(
    ahead: "StartedAhead | None",
    /,
    *,
    data_dir: Path,
    host: str | None,
    port: int | None,
    workers: int,
    api_processes: int,
    config: Path | None,
    redis_url: str | None,
    allow_open: bool,
    demo: bool,
    sample_data: bool,
) -> None:
    """Run API, workers and store until Ctrl-C.

    The store keeps jobs and results in the data directory, so that they survive a restart. It is embedded, unless
    --redis-url or the configuration names another one.
    """
    collect_rarely()
    overrides: dict[str, str | int | None] = {"FINOPS_HOST": host, "FINOPS_PORT": port, "FINOPS_REDIS_URL": redis_url}
    overrides["FINOPS_ALLOW_OPEN"] = "true" if allow_open else None
    _serve(
        config,
        overrides,
        data_dir=data_dir.absolute(),
        workers=workers,
        api_processes=api_processes,
        demo=demo,
        sample_data=demo and sample_data,
        ahead=ahead,
    )


def _serve(config: Path | None, overrides: dict[str, str | int | None], **plan: Any) -> None:  # noqa: ANN401 - fields of ``Plan``
    """Read the settings, and run the system until a signal."""
    import asyncio

    from cli.supervisor.demo_config import TABLES
    from cli.supervisor.foreground import run_until_signal
    from cli.supervisor.system import Plan

    settings, environ = options.read_settings(config, TABLES if plan["demo"] else (), **overrides)
    options.check_exposure(settings, read_admin_key(plan["data_dir"]) if settings.auth.admin_key is None else None)
    if sys.stderr.isatty() and "format" not in settings.log.model_fields_set:
        environ["FINOPS_LOG_FORMAT"] = "text"
    asyncio.run(run_until_signal(Plan(settings=settings, environ=environ, **plan)))
