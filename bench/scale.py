"""Workers scaled out and in under steps of load: `finops bench scale`, kept as a table and a picture.

    python -m bench.scale [--keep]    # a minute and a half

The whole system as processes; worker processes are added and removed as `GET /api/queue/scale` asks.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from bench import machine
from bench.report import Report, number, table
from cli.supervisor.scale_picture import picture
from cli.supervisor.scaling import ScalePlan, measure_scaling

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "scale.svg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--keep", action="store_true", help=f"make it the current table in RESULTS.md, and {PICTURE.name}"
    )
    options = parser.parse_args()
    plan = ScalePlan()
    load = machine.load()
    run = asyncio.run(measure_scaling(plan, lambda text: print(text, file=sys.stderr)))
    report = Report("Autoscaling", [machine.shape(), f"load average at start {load:.1f}"])
    rates = ", ".join(f"{rate:g}" for rate in plan.rates)
    subject = f"Steps of {rates} jobs/s, {plan.phase_s:g} s each; jobs of {plan.job_s:g} s; workers with {plan.concurrency} slots"
    rows = [[one.name, number(one.value), one.unit] for one in run.figures()]
    report.section(subject, table(["figure", "value", "unit"], rows))
    if options.keep:
        report.keep()
        PICTURE.write_text(picture(run), encoding="utf-8")


if __name__ == "__main__":
    main()
