"""Runs of jobs on lanes, where nothing is billed or measured."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from shared.inference.assembly import build_inference
from shared.inference.call import Answer, Call
from shared.inference.inference import Inference
from shared.jobs.model import Claim, Outcome, Priority, State
from shared.patience.lanes import LANE, JobLane, Lane
from shared.settings.model import Settings
from shared.settings.patience import PatienceSettings
from shared.surfaces.request_types import CHAT
from shared.telemetry.metrics import Metrics
from simulator.serve import running
from tests.inference.conftest import chat
from worker.lane_batches import gathered_batches
from worker.lane_runs import LaneRuns, due_of, queued_s
from worker.runs import count_patience

STARTED_MS = 1_000_000
LATER_MS = STARTED_MS + 600_000


@pytest.fixture
async def inference() -> AsyncIterator[Inference]:
    async with running() as sim:
        provider = {"wire": "openai", "base_url": sim.base_url}
        inference = build_inference(Settings.model_validate({"providers": {"sim": provider}}), {})
        yield inference
        await inference.aclose()


def claim_on(lane: JobLane | None, attempt: int = 1) -> Claim:
    context: dict[str, Any] = {} if lane is None else {LANE: lane.to_json()}
    return Claim(
        id="a",
        token="t",
        priority=Priority.NORMAL,
        attempt=attempt,
        owner="",
        request_type=CHAT.name,
        model="sim/gpt",
        request_id="r",
        content_type="",
        context=context,
        ttl_s=60,
        created_ms=0,
        due_ms=0,
        started_ms=STARTED_MS,
        deadline_ms=0,
        webhook="",
        payload=b"",
    )


@pytest.mark.parametrize(
    ("lane", "attempt", "model", "answered_on"),
    [
        (None, 1, "sim/gpt", ""),
        (JobLane(lane=Lane.FLEX, promote_ms=LATER_MS), 1, "sim/gpt", "flex"),
        (JobLane(lane=Lane.FLEX, promote_ms=LATER_MS), 1, "sim/gpt@flex_status=429", "now"),
        (JobLane(lane=Lane.FLEX, promote_ms=LATER_MS), 2, "sim/gpt", "now"),
        (JobLane(lane=Lane.FLEX, promote_ms=STARTED_MS + 10), 1, "sim/gpt", "now"),
        (JobLane(lane=Lane.LEAST_COST, promote_ms=LATER_MS, model="sim/cheap"), 1, "sim/gpt", "least_cost"),
        (JobLane(lane=Lane.BATCH, promote_ms=LATER_MS), 1, "sim/gpt", "now"),
        (JobLane(lane=Lane.NOW), 1, "sim/gpt", "now"),
    ],
)
async def test_a_job_is_answered_on_its_lane_or_now(
    inference: Inference, lane: JobLane | None, attempt: int, model: str, answered_on: str
) -> None:
    calls: list[Call] = []

    async def run_now(call: Call) -> Answer:
        calls.append(call)
        return await inference.answer(call)

    call = chat(model, job_id="a")
    answered = await LaneRuns(inference).answer(call, claim_on(lane, attempt), None, run_now)
    assert (answered.answer.status, answered.call_cost) == (200, None)
    assert [each.lane for each in calls] == ([answered_on] if answered_on in {"", "now"} else [])
    assert answered.answer.model == ("cheap" if answered_on == "least_cost" else model.removeprefix("sim/"))


@pytest.mark.parametrize(
    ("due_ms", "waited_s"), [(STARTED_MS - 2500, 2.5), (STARTED_MS, 0), (STARTED_MS + 5, 0), (STARTED_MS - 600_001, 0)]
)
def test_times_include_the_wait_for_a_worker_but_no_pause(due_ms: int, waited_s: float) -> None:
    assert queued_s(replace(claim_on(None), due_ms=due_ms)) == waited_s


@pytest.mark.parametrize("lane", [None, JobLane(lane=Lane.NOW), JobLane(lane=Lane.NOW, due_ms=STARTED_MS + 5000)])
async def test_a_run_knows_when_its_patience_ends(lane: JobLane | None) -> None:
    due, now = due_of(claim_on(lane)), asyncio.get_running_loop().time()
    assert due is None if lane is None or not lane.due_ms else due is not None and now < due <= now + 5


@pytest.mark.parametrize(
    ("due_ms", "outcome", "labels"),
    [
        (10**15, Outcome(state=State.COMPLETED, status_code=200, meta={"lane": "flex"}), ("flex", "true")),
        (1, Outcome(state=State.COMPLETED, status_code=200, meta={"lane": "flex"}), ("flex", "false")),
        (10**15, Outcome(state=State.FAILED, status_code=503), ("now", "false")),
    ],
)
def test_jobs_with_patience_are_counted_by_lane(due_ms: int, outcome: Outcome, labels: tuple[str, str]) -> None:
    metrics = Metrics("worker")
    count_patience(metrics, claim_on(None), outcome)
    ledger = orjson.dumps({"cost": 500_000, "list": 1_000_000})
    count_patience(metrics, claim_on(JobLane(lane=Lane.FLEX, due_ms=due_ms)), replace(outcome, ledger=ledger))
    count_patience(metrics, claim_on(JobLane(lane=Lane.NOW)), outcome)
    metrics.lane_tried("flex", "answered")
    lines = metrics.render().decode().splitlines()
    lane, on_time = labels
    assert [line for line in lines if line.startswith("finops_patient_jobs_total")] == [
        f'finops_patient_jobs_total{{lane="{lane}",on_time="{on_time}"}} 1.0'
    ]
    assert f'finops_patient_jobs_cost_usd_total{{lane="{lane}",price="paid"}} 0.5' in lines
    assert f'finops_patient_jobs_cost_usd_total{{lane="{lane}",price="list"}} 1.0' in lines
    assert 'finops_job_lanes_total{lane="flex",result="answered"} 1.0' in lines


async def test_without_billing_nothing_is_gathered(inference: Inference) -> None:
    tools: Any = SimpleNamespace(inference=inference)
    assert gathered_batches(tools, PatienceSettings(), None) is None
