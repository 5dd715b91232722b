"""Runs jobs: inference as the API would do it, or a webhook delivery."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shared.cache.use import CacheUse
from shared.errors import (
    BudgetExceeded,
    GatewayError,
    InternalError,
    RequestLimited,
    StoreUnavailable,
    TokenLimited,
)
from shared.governance.keys.authenticate import Authenticator
from shared.governance.limits.runs import Run
from shared.inference.call import Answer, Call, RetryLater, UpstreamAttempt
from shared.inference.call_cost import CallCost
from shared.inference.inference import Inference
from shared.inference.submission import PARKED, parked_s
from shared.jobs.bodies import Bodies
from shared.jobs.model import Claim, Deferral, Outcome, State
from shared.patience.lanes import LANE
from shared.surfaces.native_body import stored_payload
from shared.surfaces.request_types import BY_NAME
from worker.handle import RunHandle
from worker.history import history_of
from worker.lane_runs import LaneRuns, due_of
from worker.retry import deferral_after
from worker.streamed import answer_streamed, can_stream
from worker.webhooks import DELIVERY, WebhookDelivery

log = logging.getLogger("finops.worker")

# A wait longer than this gives the slot back instead of sleeping in it.
PATIENCE_S = 3.0
# In the context of jobs that are lines of a batch: nobody reads their events.
BATCH = "batch"


@dataclass(slots=True)
class _Run:
    """What a run leaves for its job's history."""

    attempts: list[UpstreamAttempt] = field(default_factory=list)
    call_cost: CallCost | None = None


class JobRunner:
    """Runs claimed jobs; ``run`` is the leased worker's run function.

    Args:
        bodies: Reads request bodies that are compressed or in the object store.
        streams: Request streams from providers, so that a job's events show the answer as it grows.
        lanes: Runs jobs that can wait; default: without measuring times.
    """

    def __init__(
        self,
        inference: Inference,
        governance: Authenticator,
        webhooks: WebhookDelivery,
        *,
        bodies: Bodies | None = None,
        streams: bool = True,
        lanes: LaneRuns | None = None,
    ) -> None:
        self._inference = inference
        self._governance = governance
        self._webhooks = webhooks
        self._bodies = bodies
        self._streams = streams
        self._lanes = lanes or LaneRuns(inference)

    async def run(self, claim: Claim, handle: RunHandle) -> Outcome | Deferral:
        """Answer the job's request, or deliver its webhook.

        Returns:
            The outcome, or when to come back. Failures are outcomes too: only a cancellation is raised.
        """
        run = _Run()
        ending = await self._end(claim, handle, run)
        if ending.history or not run.attempts:
            return ending
        return replace(ending, history=history_of(claim, run.attempts, ending, run.call_cost))

    async def _end(self, claim: Claim, handle: RunHandle, run: "_Run") -> Outcome | Deferral:
        try:
            if claim.request_type == DELIVERY:
                return await self._webhooks.run(await self._with_payload(claim))
            call = await self._call(claim)
            call.attempt_log = run.attempts
            run.call_cost = self._inference.open_call_cost(call)
            call.caller.check()  # the key may have been revoked or have expired since the submit
            answer = await self._answer(call, claim, handle, run)
            if BATCH not in claim.context:  # readers of a batch's output do not know its jobs
                await self._inference.keep_job(call, answer)
        except RetryLater as later:
            return deferral_after(later, claim) or failed(later.error, run.call_cost)
        except StoreUnavailable as error:  # no answer was paid for yet: the job comes back when the store does
            outage = RetryLater(error.retry_after_s or 1.0, "store_unavailable", error)
            return deferral_after(outage, claim) or failed(error, run.call_cost)
        except GatewayError as error:
            return failed(error, run.call_cost)
        except Exception:
            log.exception("job run failed", extra={"job_id": claim.id, "request_id": claim.request_id})
            return failed(
                InternalError("The job failed inside the gateway; see the log entries with its id."), run.call_cost
            )
        finally:
            self._inference.run_ended(claim.id)
            if run.call_cost is not None:
                run.call_cost.abandon()
        history = history_of(claim, run.attempts, None, run.call_cost)
        return completed(answer, run.call_cost, history)

    async def _with_payload(self, claim: Claim) -> Claim:
        return claim if self._bodies is None else await self._bodies.with_payload(claim)

    async def _reserve_parked(self, call: Call) -> None:
        """Reserve what a job may cost that was submitted while a limit was spent; if one still is, it waits on."""
        try:
            await self._inference.reserve_parked(call)
        except (BudgetExceeded, RequestLimited, TokenLimited) as error:
            if not error.parks:
                raise
            raise RetryLater(parked_s(error), PARKED, error) from error

    async def _answer(self, call: Call, claim: Claim, handle: RunHandle, run: "_Run") -> Answer:
        if PARKED in claim.context:
            await self._reserve_parked(call)
        if LANE not in claim.context:
            return await self._run_now(call, handle, run.call_cost)

        async def run_now(call: Call) -> Answer:
            return await self._run_now(call, handle, run.call_cost)

        answer, run.call_cost = await self._lanes.answer(call, claim, run.call_cost, run_now)
        return answer

    async def _run_now(self, call: Call, handle: RunHandle, call_cost: CallCost | None) -> Answer:
        if self._streams and BATCH not in handle.claim.context and can_stream(call):
            return await answer_streamed(self._inference, call, handle, call_cost)
        return await self._inference.answer(call, call_cost)

    async def _call(self, claim: Claim) -> Call:
        if claim.payload_as:
            claim = await self._with_payload(claim)
        request_type = BY_NAME[claim.request_type]
        payload = stored_payload(request_type, claim.payload, claim.content_type, claim.model)
        return Call(
            request_type=request_type,
            model=claim.model,
            body=payload.body,
            fields=payload.fields,
            content_type=payload.content_type,
            headers=_passed_headers(claim.context),
            caller=await self._governance.owner(claim.owner),
            request_id=claim.request_id,
            job_id=claim.id,
            session=str(claim.context.get("session", "")),
            deadline=_deadline(claim),
            due=due_of(claim),
            patience_s=PATIENCE_S,
            defers=True,
            surface=str(claim.context.get("surface", "")),
            dimensions=claim.context.get("dimensions") or {},
            run=Run.from_json(claim.context.get("run")),
            cache=self._cache_use(claim.context.get("cache")),
            native=payload.native,
        )

    def _cache_use(self, stored: object) -> CacheUse | None:
        """Return how a job uses the cache, as its submit recorded it; a cache that is off since is not used."""
        if self._inference.cache is None or not isinstance(stored, dict):
            return None
        return CacheUse.from_json(stored)


def _passed_headers(context: Mapping[str, Any]) -> Mapping[str, str]:
    headers = context.get("headers")
    return headers if isinstance(headers, dict) else {}


def _deadline(claim: Claim) -> float | None:
    """Return the job's deadline on this process's loop clock."""
    if not claim.deadline_ms:
        return None
    left_s = (claim.deadline_ms - claim.started_ms) / 1000
    return asyncio.get_running_loop().time() + left_s


def completed(answer: Answer, call_cost: CallCost | None = None, history: bytes = b"") -> Outcome:
    """Return the outcome of an answered job."""
    meta = {
        "provider": answer.provider,
        "model": answer.model,
        "usage": dict(answer.usage),
        "upstream_attempts": answer.attempts,
        "headers": dict(answer.headers),
        **(call_cost.costs() if call_cost else {}),
    }
    return Outcome(
        state=State.COMPLETED,
        status_code=answer.status,
        result=answer.body,
        result_type=answer.content_type,
        meta=meta,
        ledger=answer.ledger,
        history=history,
    )


def _tried(call_cost: CallCost) -> dict[str, str]:
    """Return the provider and model of the last attempt."""
    return {"provider": call_cost.provider, "model": call_cost.model} if call_cost.provider else {}


def failed(error: GatewayError, call_cost: CallCost | None = None) -> Outcome:
    """Return the outcome of a job that ended with an error; SDKs raise it when they poll."""
    return Outcome(
        state=State.FAILED,
        status_code=error.status,
        error=error.envelope()["error"],
        ledger=call_cost.entry or call_cost.failed(error) if call_cost else b"",
        meta={**_tried(call_cost), **call_cost.costs()} if call_cost else {},
    )
