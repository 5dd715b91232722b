"""A temporary system: in a directory of its own, on free ports, isolated from this machine's configuration."""

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
from cli.supervisor.probe import until_answering
from cli.supervisor.system import Plan, System

LOG_LINES = 20


class Trial:
    """A running trial system.

    Attributes:
        system: The processes.
        metrics_urls: The metrics address of each worker.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.metrics_urls: list[str] = []

    async def add_worker(self, concurrency: int) -> None:
        """Start one more worker, and wait until it takes jobs.

        Raises:
            click.ClickException: It ended before that.
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
            raise click.ClickException(f"{worker.plan.name} did not start")
        self.metrics_urls.append(f"http://127.0.0.1:{port}/metrics")

    async def remove_worker(self) -> None:
        """Stop the last worker in order: running jobs end in their grace, others go back to the queue."""
        self.metrics_urls.pop()
        await self.system.remove_worker()

    async def jobs_finished(self, client: httpx.AsyncClient) -> list[int]:
        """Return how many jobs each worker has finished."""
        return [_finished((await client.get(url)).text) for url in self.metrics_urls]


@asynccontextmanager
async def trial(*, workers: int = 1, concurrency: int = 1000, **environment: str) -> AsyncIterator[Trial]:
    """Run a system with the simulator, and remove everything at the end.

    Args:
        workers: Workers at the start.
        concurrency: Maximum concurrent jobs of each worker.
        environment: ``FINOPS_*`` variables of the system.

    Raises:
        click.ClickException: It did not start; the message ends with the last lines of its log.
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
                async with System(plan, _ignore) as system:
                    running = Trial(system)
                    for _ in range(workers):
                        await running.add_worker(concurrency)
                    yield running
            except click.ClickException as error:
                raise click.ClickException(f"{error.message}\n{_last_lines(folder / 'log')}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _isolated(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the settings of other gateways."""
    isolated = {name: value for name, value in environ.items() if not name.startswith("FINOPS_")}
    return isolated | {"FINOPS_HOST": "127.0.0.1", "FINOPS_PORT": "0"}


def _ignore(_: str) -> None:
    """Report nothing: events of children are in their log."""


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])


def _finished(exposition: str) -> int:
    families = text_string_to_metric_families(exposition)
    samples = (sample for family in families for sample in family.samples)
    return int(sum(sample.value for sample in samples if sample.name == "finops_jobs_finished_total"))
