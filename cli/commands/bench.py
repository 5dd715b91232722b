"""``finops bench``: measure this machine, with a trial system and the simulator."""

import os
import platform
from dataclasses import asdict

import click

from cli.examples import examples


@click.command(name="bench", epilog=examples("finops bench", "finops bench --jobs 5000 --workers 2 --json"))
@click.option(
    "--jobs", type=click.IntRange(100, 100_000), default=2000, show_default=True, help="Jobs submitted at once."
)
@click.option("--calls", type=click.IntRange(50, 10_000), default=200, show_default=True, help="Calls sent one by one.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Number of worker processes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(*, jobs: int, calls: int, workers: int, as_json: bool) -> None:
    """Measure submit, pick-up, throughput and synchronous overhead.

    Everything runs on this machine, including the measuring client: a system with the cores to itself is faster.
    """
    import asyncio

    import httpx

    from cli.supervisor.measurement import measure
    from cli.views.output import echo_json, err, out, table

    try:
        figures = asyncio.run(measure(jobs, calls, workers, err().print))
    except httpx.HTTPError as error:
        raise click.ClickException(f"the measurement failed: {error}") from None
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    if as_json:
        echo_json({"machine": machine, "workers": workers, "figures": [asdict(figure) for figure in figures]})
        return
    rows = [(figure.name, f"{figure.value:,.2f}", figure.unit) for figure in figures]
    out().print(table(("figure", "value", "unit"), rows))
    out().print(f"\n{machine['cpus']} cores, Python {machine['python']}, {workers} worker process(es)", markup=False)
