"""The parts of `finops bench scale` that need no processes: the load, the figures, and when workers start and stop."""

import asyncio
from typing import cast
from xml.etree import ElementTree as ET

import pytest

from cli.supervisor.scale_picture import picture
from cli.supervisor.scaling import CALM_S, Ended, Sample, ScalePlan, ScaleRun, WorkerFleet
from cli.supervisor.trial import Trial


class Workers:
    """In place of a system of processes: starts wait until they are let go."""

    def __init__(self) -> None:
        self.started, self.stopped = 0, 0
        self.go = asyncio.Event()

    async def add_worker(self, concurrency: int) -> None:
        await self.go.wait()
        self.started += concurrency

    async def remove_worker(self) -> None:
        self.stopped += 1


def test_jobs_are_due_by_the_rate_of_each_phase() -> None:
    plan = ScalePlan(rates=(1, 10, 2), phase_s=4)
    assert [plan.due(at_s) for at_s in (-1, 0, 2, 4, 5, 8, 10, 12, 99)] == [0, 0, 2, 4, 14, 44, 48, 52, 52]
    assert plan.total_s == 12


async def test_workers_start_at_once_and_stop_after_a_calm_time() -> None:
    workers, now = Workers(), [0.0]
    fleet = WorkerFleet(cast("Trial", workers), ScalePlan(concurrency=7), lambda: now[0])
    fleet.want(3)
    now[0] = 2 * CALM_S
    fleet.want(1)
    assert not fleet.rests_at_one
    assert workers.stopped == 0, "none is stopped while one is being started"
    workers.go.set()
    await fleet.settle()
    assert (workers.started, fleet.ready) == (14, 3)
    fleet.want(2)
    await fleet.settle()
    assert (workers.stopped, fleet.ready) == (1, 2)
    now[0] += 0.9 * CALM_S
    fleet.want(1)
    await fleet.settle()
    assert fleet.ready == 2, "two were wanted a moment ago"
    now[0] += 0.2 * CALM_S
    fleet.want(1)
    await fleet.settle()
    assert (workers.stopped, fleet.ready, fleet.rests_at_one) == (2, 1, True)


@pytest.fixture
def run() -> ScaleRun:
    samples = [Sample(0.5, 0, 1, 1, 1), Sample(4.5, 40, 10, 3, 1), Sample(6.5, 12_345, 30, 3, 3), Sample(9, 0, 0, 0, 1)]
    jobs = [Ended(1.2, 0.0, 1, True), Ended(3.0, 0.5, 2, True), Ended(3.5, 1.5, 1, False)]
    return ScaleRun(ScalePlan(rates=(1, 2), phase_s=4), samples, jobs, submitted=4)


def test_a_run_is_summed_up(run: ScaleRun) -> None:
    figures = {figure.name: figure.value for figure in run.figures()}
    assert run.lost == 2
    assert figures | {
        "jobs submitted": 4, "jobs lost": 2, "jobs run more than once": 1, "workers, most": 3, "wait, p50": 0.5,
        "step of load to most workers": 2.5, "depth, most": 12_345, "wait, most": 1.5,
    } == figures  # fmt: skip
    assert {figure.value for figure in ScaleRun(run.plan, run.samples).figures() if figure.name.startswith("wait")} == {
        0
    }


def test_a_run_is_drawn(run: ScaleRun) -> None:
    root = ET.fromstring(picture(run))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"desired_workers", "running", "waiting", "submitted", "20000"} <= set(texts)
    assert ET.fromstring(picture(ScaleRun(run.plan, run.samples))) is not None
