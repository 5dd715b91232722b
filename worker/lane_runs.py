"""Runs jobs on their lanes: first the cheaper way, and in good time the usual one."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from shared.errors import DeadlineExceeded, GatewayError, StoreUnavailable, UpstreamTimeout
from shared.inference.call import Answer, Call, RetryLater
from shared.inference.call_cost import CallCost
from shared.inference.inference import Inference
from shared.inference.lane_choice import cheapest_call, flex_call
from shared.jobs.model import Claim
from shared.patience.lanes import LANE, JobLane, Lane, due_ms_of
from shared.patience.times import LaneTimes
from worker.embedding_calls import EmbeddingCalls

log = logging.getLogger("finops.worker")

LONGEST_QUEUE_S = 600.0
"""A longer wait in the queue is that of a pause, which says nothing about other jobs: it is not counted."""
LEAST_S = 0.05
"""Time left until its promotion below which a job does not try its lane."""
CountLane = Callable[[str, str], None]


class LaneAnswer(NamedTuple):
    """An answer and the account of its cost."""

    answer: Answer
    call_cost: CallCost | None


class LaneRuns:
    """Answers jobs that can wait.

    Args:
        inference: Answers calls.
        times: Counts how long lanes took; None: they are not counted.
        count: Notified of each try: its lane, and ``answered``, ``refused`` or ``late``.
    """

    def __init__(self, inference: Inference, times: LaneTimes | None = None, count: CountLane | None = None) -> None:
        self._inference = inference
        self._times = times
        self._count = count
        self._embeddings = EmbeddingCalls(inference)

    async def answer(
        self, call: Call, claim: Claim, call_cost: CallCost | None, run_now: Callable[[Call], Awaitable[Answer]]
    ) -> LaneAnswer:
        """Answer a job on its lane, or now if the lane refuses, fails or takes too long.

        Args:
            call: The job's request.
            claim: The job; without a lane it is run as it always was.
            call_cost: The account of the usual run.
            run_now: Makes the usual run.

        Raises:
            GatewayError: The usual run failed.
            RetryLater: It is to be repeated later.
        """
        stored = claim.context.get(LANE)
        if stored is None:
            return LaneAnswer(await run_now(call), call_cost)
        lane = JobLane.from_json(stored)
        tried = await self._try(call, claim, lane) if lane is not None else None
        if tried is not None:
            return tried
        call.lane = str(Lane.NOW)
        began = time.perf_counter() - queued_s(claim)
        gathered = await self._embeddings.answer(call, call_cost) if lane is not None and lane.gathers else None
        answer = gathered or await run_now(call)
        await self._record(f"{answer.provider}/{answer.model}", Lane.NOW, time.perf_counter() - began)
        return LaneAnswer(answer, call_cost)

    async def _try(self, call: Call, claim: Claim, lane: JobLane) -> LaneAnswer | None:
        """Return the answer of a cheaper call; None: there is none, or it is too late for one."""
        left_s = (lane.promote_ms - claim.started_ms) / 1000
        if left_s < LEAST_S or claim.attempt > 1:  # whatever went wrong before, it is not tried twice
            return None
        deadline = asyncio.get_running_loop().time() + left_s
        if lane.lane is Lane.FLEX:
            lane_call = flex_call(call, deadline=deadline)
        elif lane.lane is Lane.LEAST_COST:
            lane_call = cheapest_call(call, lane.model, deadline=deadline)
        else:
            return None
        return await self._answer(lane_call, lane.lane, queued_s(claim))

    async def _answer(self, lane_call: Call, lane: Lane, waited_s: float) -> LaneAnswer | None:
        call_cost = self._inference.open_call_cost(lane_call)
        began = time.perf_counter() - waited_s
        try:
            answer = await self._inference.answer(lane_call, call_cost)
        except (GatewayError, RetryLater) as error:
            late = isinstance(error, DeadlineExceeded | UpstreamTimeout)
            log.info("a job is promoted", extra={"job_id": lane_call.job_id, "lane": str(lane), "reason": str(error)})
            self._counted(lane, "late" if late else "refused")
            if late and call_cost is not None and call_cost.provider:
                await self._record(f"{call_cost.provider}/{call_cost.model}", lane, None)
            return None
        finally:
            if call_cost is not None:
                call_cost.abandon()
        self._counted(lane, "answered")
        await self._record(f"{answer.provider}/{answer.model}", lane, time.perf_counter() - began)
        return LaneAnswer(answer, call_cost)

    def _counted(self, lane: Lane, result: str) -> None:
        if self._count is not None:
            self._count(str(lane), result)

    async def _record(self, model: str, lane: Lane, seconds: float | None) -> None:
        """Count a time; the cheapest target is called as usual, so its times are those of now."""
        if self._times is None:
            return
        with suppress(StoreUnavailable):
            await self._times.record(model, Lane.NOW if lane is Lane.LEAST_COST else lane, seconds)


def queued_s(claim: Claim) -> float:
    """Return how long a job waited for a worker after it was due, in seconds; times of lanes include it."""
    waited_s = (claim.started_ms - claim.due_ms) / 1000
    return waited_s if 0 < waited_s <= LONGEST_QUEUE_S else 0.0


def due_of(claim: Claim) -> float | None:
    """Return the end of a job's patience on this process's loop clock; None: it has none."""
    due_ms = due_ms_of(claim.context)
    return asyncio.get_running_loop().time() + (due_ms - claim.started_ms) / 1000 if due_ms else None
