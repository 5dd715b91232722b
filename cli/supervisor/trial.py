"""A whole system for a while: in a directory of its own, on free ports, knowing nothing of what is configured here."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import click
import httpx
from prometheus_client.parser import text_string_to_metric_families

from cli.options import settings_of
from cli.supervisor.listening import free_port
from cli.supervisor.system import Plan, System, until_answering

LOG_LINES_SHOWN = 20


class Trial:
    """A running trial system.

    Attributes:
        system: The processes.
        figures: Where each worker's figures are.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.figures: list[str] = []

    async def add_worker(self, concurrency: int) -> None:
        """Start one more worker, and wait until it takes jobs.

        Raises:
            click.ClickException: It ends instead.
        """
        port = free_port()
        worker = await self.system.add_worker("--concurrency", str(concurrency), "--metrics-port", str(port))
        ready = asyncio.create_task(until_answering(f"http://127.0.0.1:{port}/health/ready"))
        died = asyncio.create_task(worker.died())
        try:
            await asyncio.wait([ready, died], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ready, died):
                task.cancel()
            await asyncio.wait([ready, died])
        if ready.cancelled():
            raise click.ClickException(f"{worker.plan.name} does not start")
        self.figures.append(f"http://127.0.0.1:{port}/metrics")

    async def jobs_finished(self, client: httpx.AsyncClient) -> list[int]:
        """How many jobs each worker has finished."""
        return [_finished((await client.get(url)).text) for url in self.figures]


@asynccontextmanager
async def trial(*, workers: int = 1, concurrency: int = 1000, **environment: str) -> AsyncIterator[Trial]:
    """Run a system with the simulator; at the end nothing of it is left.

    Args:
        workers: To start with.
        concurrency: Jobs at once, of each.
        environment: ``FINOPS_*`` variables for it.

    Raises:
        click.ClickException: It does not start; with the last lines of its log.
    """
    folder = Path(tempfile.mkdtemp(prefix="finops-"))
    try:
        with (folder / "log").open("w+", encoding="utf-8") as log:
            environ = _isolated(os.environ) | environment
            plan = Plan(
                data_dir=folder / "data",
                settings=settings_of(environ),
                environ=environ,
                workers=0,
                demo=True,
                output=log,
            )
            try:
                async with System(plan, _unheard) as system:
                    running = Trial(system)
                    for _ in range(workers):
                        await running.add_worker(concurrency)
                    yield running
            except click.ClickException as error:
                raise click.ClickException(f"{error.message}\n{_last_lines(folder / 'log')}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _isolated(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what it says of other gateways."""
    own = {name: value for name, value in environ.items() if not name.startswith("FINOPS_")}
    return own | {"FINOPS_HOST": "127.0.0.1", "FINOPS_PORT": "0"}


def _unheard(_: str) -> None:
    """What happens to children is in their log."""


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:])


def _finished(exposition: str) -> int:
    families = text_string_to_metric_families(exposition)
    samples = (sample for family in families for sample in family.samples)
    return int(sum(sample.value for sample in samples if sample.name == "finops_jobs_finished_total"))
