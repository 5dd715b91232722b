"""Run a system in the foreground: from its start to a signal, with progress on standard error."""

import asyncio
import signal
from collections.abc import Collection
from contextlib import suppress

import click

from cli.admin_key import FILE_NAME
from cli.options import store_url
from cli.supervisor.bootstrap_keys import create_missing_values
from cli.supervisor.sample_data import add_sample_data
from cli.supervisor.system import Plan, System
from shared.hangup import on_hangup
from shared.providers.registry import configured_providers
from shared.settings.differences import Change


async def run_until_signal(plan: Plan) -> None:
    """Run the plan until SIGINT or SIGTERM; a second signal ends the grace period at once.

    Raises:
        click.ClickException: Something cannot be started.
    """
    stopping, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if stopping.is_set() else stopping).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    hangup = asyncio.Event()
    on_hangup(hangup.set, stopping.set)
    system = System(plan, _report)
    if not await _start(system, stopping):
        return
    try:
        _print_banner(system)
        await _print_new_keys(plan)
        await _serve(system, stopping, hangup)
        _report("stopping: running jobs finish or return to the queue (press Ctrl-C again to stop at once)")
    finally:
        await system.stop(hurry=hurry)
    _report("stopped; all accepted jobs are stored")


async def _serve(system: System, stopping: asyncio.Event, hangup: asyncio.Event) -> None:
    """Serve until asked to stop, and reload the configuration at each hangup."""
    # Only now, so that the gateway serves no later for it.
    filling = asyncio.ensure_future(add_sample_data(system)) if system.plan.sample_data else None
    stop = asyncio.ensure_future(stopping.wait())
    while not stop.done():
        work = asyncio.ensure_future(_reload_at(system, hangup))
        await asyncio.wait([stop, work], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            await asyncio.wait([work])
    if filling is not None:
        filling.cancel()
        await asyncio.wait([filling])


async def _reload_at(system: System, hangup: asyncio.Event) -> None:
    await hangup.wait()
    hangup.clear()
    with suppress(click.ClickException):  # it is reported
        await system.reload_and_report(_nobody)


async def _nobody(_changes: list[Change]) -> None:
    """Nobody waits for an answer to a signal."""


async def _start(system: System, stopping: asyncio.Event) -> bool:
    """Start the system; False when a signal came first, in which case everything started is stopped again."""
    starting = asyncio.ensure_future(system.start())
    waiting = asyncio.ensure_future(stopping.wait())
    await asyncio.wait([starting, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.wait([starting])
        return False
    await starting
    return True


def _report(text: str) -> None:
    click.echo(f"finops: {text}", err=True)


async def _print_new_keys(plan: Plan) -> None:
    url = store_url(plan.settings, plan.data_dir)
    for name, value in (await create_missing_values(plan.settings, url) if url else {}).items():
        _report(f"created virtual key {name}; its value appears only this once: {value}")


def _print_banner(system: System) -> None:
    plan = system.plan
    key_file = plan.data_dir / FILE_NAME
    if system.admin_key_created:
        _report(f"created the admin key and stored it in {key_file}: {system.admin_key}")
    elif plan.settings.auth.admin_key is None:
        _report(f"admin key: stored in {key_file}")
    _report(f"data: {plan.data_dir}" + ("" if plan.settings.redis.url is None else " (jobs: in the configured store)"))
    providers = configured_providers(plan.settings, plan.environ)
    if providers or not plan.demo:
        _report(describe_providers(providers))
    if system.simulated:
        _report(f"simulated, free of charge: {', '.join(system.simulated)}")
    _report(f"serving on {system.url}  (console: {system.url}/ui, docs: {system.url}/docs)")
    model = "sim/gpt-4o@latency=3" if plan.demo else "openai/gpt-4o-mini"
    if not plan.demo and "openai" not in providers:
        return
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    _report(f"try:  curl {system.url}/v1/async/chat/completions -H 'content-type: application/json' -d '{body}'")


def describe_providers(names: Collection[str]) -> str:
    """Return the line about the configured providers; without one, what to do."""
    if names:
        return f"providers: {', '.join(names)}"
    return "no provider is configured: set its variable, such as OPENAI_API_KEY, and start again; or try `--demo`"
