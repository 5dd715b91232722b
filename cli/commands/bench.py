"""``finops bench``: measure this machine, with a trial system and the simulator."""

import os
import platform
from dataclasses import asdict
from pathlib import Path

import click

from cli.examples import examples


@click.group(
    name="bench",
    invoke_without_command=True,
    epilog=examples("finops bench", "finops bench --jobs 5000 --workers 2 --json", "finops bench scale"),
)
@click.option(
    "--jobs", type=click.IntRange(100, 100_000), default=2000, show_default=True, help="Jobs submitted at once."
)
@click.option("--calls", type=click.IntRange(50, 10_000), default=200, show_default=True, help="Calls sent one by one.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Number of worker processes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(ctx: click.Context, *, jobs: int, calls: int, workers: int, as_json: bool) -> None:
    """Measure submit, pick-up, throughput and synchronous overhead.

    Everything runs on this machine, including the measuring client: a system with the cores to itself is faster.
    """
    if ctx.invoked_subcommand is None:
        _measure_whole(jobs, calls, workers, as_json=as_json)


def _measure_whole(jobs: int, calls: int, workers: int, *, as_json: bool) -> None:
    import asyncio

    import httpx

    from cli.supervisor.measurement import measure
    from cli.views.output import echo_json, err, out, table

    try:
        figures = asyncio.run(measure(jobs, calls, workers, err().print))
    except httpx.HTTPError as error:
        raise click.ClickException(f"the measurement failed: {error}") from None
    if as_json:
        echo_json({"machine": _machine(), "workers": workers, "figures": [asdict(figure) for figure in figures]})
        return
    rows = [(figure.name, f"{figure.value:,.2f}", figure.unit) for figure in figures]
    out().print(table(("figure", "value", "unit"), rows))
    out().print(f"\n{_shape()}, {workers} worker process(es)", markup=False)


@command.command(
    epilog=examples("finops bench scale", "finops bench scale --rate 20 --rate 200 --rate 20 --picture scale.svg")
)
@click.option(
    "--rate",
    "rates",
    type=click.FloatRange(0.1, 1000),
    multiple=True,
    default=(15, 90, 15),
    show_default=True,
    help="Jobs per second, for each phase.",
)
@click.option(
    "--phase-s", type=click.FloatRange(0.5, 3600), default=20, show_default=True, help="Length of a phase in seconds."
)
@click.option(
    "--job-s", type=click.FloatRange(0, 60), default=1, show_default=True, help="How long a simulated call takes."
)
@click.option(
    "--concurrency", type=click.IntRange(1, 10_000), default=40, show_default=True, help="Jobs at once in a worker."
)
@click.option("--max-workers", type=click.IntRange(1, 64), default=4, show_default=True, help="Most worker processes.")
@click.option("--picture", type=click.Path(dir_okay=False, writable=True), help="Write an SVG picture to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def scale(
    *,
    rates: tuple[float, ...],
    phase_s: float,
    job_s: float,
    concurrency: int,
    max_workers: int,
    picture: str | None,
    as_json: bool,
) -> None:
    """Scale workers out and in under steps of load, as `GET /api/queue/scale` asks for them.

    Worker processes are started at once and stopped after fewer were wanted for five seconds. Ends with 1 if a job was
    lost.
    """
    import asyncio

    import httpx

    from cli.supervisor.scale_picture import picture as draw
    from cli.supervisor.scaling import ScalePlan, measure_scaling
    from cli.views.output import echo_json, err, out, table

    plan = ScalePlan(rates=rates, phase_s=phase_s, job_s=job_s, concurrency=concurrency, max_workers=max_workers)
    try:
        run = asyncio.run(measure_scaling(plan, err().print))
    except httpx.HTTPError as error:
        raise click.ClickException(f"the measurement failed: {error}") from None
    if picture is not None:
        Path(picture).write_text(draw(run), encoding="utf-8")
    figures = run.figures()
    if as_json:
        samples = [asdict(sample) for sample in run.samples]
        echo_json({"machine": _machine(), "figures": [asdict(one) for one in figures], "samples": samples})
    else:
        out().print(table(("figure", "value", "unit"), [(one.name, f"{one.value:,.2f}", one.unit) for one in figures]))
        out().print(f"\n{_shape()}", markup=False)
    if run.lost:
        raise click.ClickException(f"{run.lost} jobs were lost")


def _machine() -> dict[str, object]:
    return {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}


def _shape() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}"
