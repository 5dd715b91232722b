"""``finops serve``: the whole system on one machine, in one command."""

import asyncio
import signal
import sys
from pathlib import Path

import click

from cli import options
from cli.client.admin_key import FILE_NAME
from cli.examples import examples
from cli.supervisor.bootstrap_keys import make_missing_values
from cli.supervisor.system import Plan, System


@click.command(
    name="serve",
    epilog=examples("finops serve --demo", "finops serve --port 9000 --workers 4 --config finops.toml"),
)
@options.data_dir_option
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on; 0: any free one.  [default: 8080]")
@click.option("--workers", type=click.IntRange(0, 256), default=1, show_default=True, help="Worker processes.")
@click.option("--api-processes", type=click.IntRange(1, 256), default=1, show_default=True, help="API processes.")
@options.config_option
@options.redis_url_option
@click.option("--demo", is_flag=True, help="Add the upstream simulator, as provider sim.")
def command(
    *,
    data_dir: Path,
    host: str | None,
    port: int | None,
    workers: int,
    api_processes: int,
    config: Path | None,
    redis_url: str | None,
    demo: bool,
) -> None:
    """Run API, workers and store until Ctrl-C.

    The store keeps everything in the data directory: jobs and results survive a restart. It is an embedded one,
    unless --redis-url or the configuration names another.
    """
    settings, environ = options.read_settings(config, FINOPS_HOST=host, FINOPS_PORT=port, FINOPS_REDIS_URL=redis_url)
    if sys.stderr.isatty() and "format" not in settings.log.model_fields_set:
        environ["FINOPS_LOG_FORMAT"] = "text"
    plan = Plan(
        data_dir=data_dir.absolute(),
        settings=settings,
        environ=environ,
        workers=workers,
        api_processes=api_processes,
        demo=demo,
    )
    asyncio.run(_serve(plan))


async def _serve(plan: Plan) -> None:
    """Run the plan until a signal; a second one is impatient."""
    asked, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if asked.is_set() else asked).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    system = System(plan, _say)
    if not await _start(system, asked):
        return
    try:
        _say_banner(system)
        await _say_made_keys(plan)
        await asked.wait()
        _say("stopping: running jobs finish or go back to the queue (Ctrl-C again: at once)")
    finally:
        await system.stop(hurry=hurry)
    _say("stopped; everything accepted is kept")


async def _start(system: System, asked: asyncio.Event) -> bool:
    """Start the system; False when a signal came first, and what was started is stopped again."""
    starting = asyncio.ensure_future(system.start())
    waiting = asyncio.ensure_future(asked.wait())
    await asyncio.wait([starting, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.wait([starting])
        return False
    await starting
    return True


def _say(text: str) -> None:
    click.echo(f"finops: {text}", err=True)


async def _say_made_keys(plan: Plan) -> None:
    url = options.store_url(plan.settings, plan.data_dir)
    for name, value in (await make_missing_values(plan.settings, url) if url else {}).items():
        _say(f"virtual key {name}, made now and said this once: {value}")


def _say_banner(system: System) -> None:
    plan = system.plan
    kept = plan.data_dir / FILE_NAME
    if system.admin_key_made:
        _say(f"admin key, made now and kept in {kept}: {system.admin_key}")
    elif plan.settings.auth.admin_key is None:
        _say(f"admin key: in {kept}")
    _say(f"data: {plan.data_dir}" + ("" if plan.settings.redis.url is None else " (jobs are in the configured store)"))
    _say(f"serving on {system.url}  (docs: {system.url}/docs)")
    model = "sim/gpt-4o@latency=3" if plan.demo else "openai/gpt-4o-mini"
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    _say(f"try:  curl {system.url}/v1/async/chat/completions -H 'content-type: application/json' -d '{body}'")
