"""Sample data of a demo: made by a process of their own, in the background, once the gateway serves."""

import asyncio
import sys

import click

from cli.options import store_url
from cli.supervisor.system import System
from shared.environment import minimal_environment


async def add_sample_data(system: System) -> None:
    """Fill an empty gateway with sample traffic, until that is done or this is cancelled.

    Args:
        system: It serves.
    """
    plan = system.plan
    environ = minimal_environment(plan.environ)
    environ["FINOPS_ADMIN_KEY"] = system.admin_key
    environ["FINOPS_REDIS_URL"] = store_url(plan.settings, plan.data_dir) or ""
    command = (sys.executable, "-P", "-m", "cli.demo.sample", system.url)
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        env=environ,
        start_new_session=True,  # Ctrl-C is ours to handle
    )
    try:
        if await process.wait():
            click.echo("finops: the sample data are incomplete; see the message above", err=True)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
