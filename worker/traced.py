"""Runs of jobs and deliveries of events with traces: what stands in for the plain ones where traces are configured."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from shared.jobs import keys
from shared.jobs.model import Claim, Deferral, Outcome
from shared.jobs.shard_ids import one_of
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.telemetry.tracing import TRACEPARENT, Tracing, Value
from shared.webhooks.model import DeliveryClaim
from shared.webhooks.store import Finish
from worker.handle import RunHandle
from worker.runs import RunFunction
from worker.webhooks import WebhookDelivery


class TracedRuns:
    """Runs jobs whose submit was traced with spans of their wait and their run, linked to the submit.

    Args:
        run: Runs one job.
        tracing: Makes the spans.
    """

    def __init__(self, run: RunFunction, tracing: Tracing) -> None:
        self._run = run
        self._tracing = tracing

    async def run(self, claim: Claim, handle: RunHandle) -> Outcome | Deferral:
        """Run a job; a run function itself."""
        submit = self._tracing.remote(claim.context.get(TRACEPARENT))
        if submit is None:
            return await self._run(claim, handle)
        attributes = _attributes(claim)
        due_ns, started_ns = claim.due_ms * 1_000_000, claim.started_ms * 1_000_000
        waited = self._tracing.start("queue wait", "internal", attributes, parent=submit, start_ns=due_ns)
        waited.end(max(due_ns, started_ns))
        name = f"run {claim.request_type}"
        with self._tracing.span(name, "consumer", attributes, parent=submit, links=[submit]) as span:
            ending = await self._run(claim, handle)
            if isinstance(ending, Deferral):
                span.set_attributes({"finops.job.state": "deferred", "finops.job.reason": ending.reason})
                return ending
            span.set_attributes(
                {"finops.job.state": str(ending.state), "http.response.status_code": ending.status_code}
            )
            if ending.error is not None:
                self._tracing.fail(span, str(ending.error.get("code") or ending.error.get("type")))
            return ending


def traced_run(run: RunFunction, tracing: Tracing | None) -> RunFunction:
    """Return the run function, with spans if there is something that makes them."""
    return run if tracing is None else TracedRuns(run, tracing).run


def traced_delivery(
    settings: Settings, commands: RedisCommands, tracing: Tracing | None, engines: Sequence[RedisCommands] = ()
) -> WebhookDelivery:
    """Return what attempts deliveries, with spans if there is something that makes them."""
    if tracing is None:
        return WebhookDelivery(settings, commands)
    return TracedDelivery(settings, commands, tracing, engines)


def _attributes(claim: Claim) -> dict[str, Value]:
    found: dict[str, Value] = {
        "finops.job.id": claim.id,
        "finops.job.attempt": claim.attempt,
        "finops.job.priority": str(claim.priority),
        "finops.request.id": claim.request_id,
        "gen_ai.request.model": claim.model,
    }
    return found | ({"finops.job.reason": claim.reason} if claim.reason else {})


class TracedDelivery(WebhookDelivery):
    """Delivers events of traced jobs with a span for each attempt.

    Args:
        settings: The effective configuration.
        commands: The store; a job's record in it names the trace.
        tracing: Makes the spans.
        engines: A connection to each shard, where the store has several.
    """

    def __init__(
        self, settings: Settings, commands: RedisCommands, tracing: Tracing, engines: Sequence[RedisCommands] = ()
    ) -> None:
        super().__init__(settings, commands)
        self._engines = engines or (commands,)
        self._tracing = tracing

    async def attempt(self, claim: DeliveryClaim) -> Finish:
        """Attempt one delivery."""
        event = orjson.loads(claim.body)
        job_id = _job_of(event)
        submit = self._tracing.remote(await self._stored(job_id)) if job_id else None
        if submit is None:
            return await super().attempt(claim)
        attributes = {"finops.job.id": job_id, "finops.event": str(event["type"]), "finops.webhook": claim.webhook}
        with self._tracing.span("webhook", "client", attributes, parent=submit, links=[submit]) as span:
            finish = await super().attempt(claim)
            if finish.attempt is not None and finish.attempt.status is not None:
                span.set_attribute("http.response.status_code", finish.attempt.status)
            if finish.verdict != "delivered":
                self._tracing.fail(span, finish.reason or finish.verdict)
            return finish

    async def _stored(self, job_id: str) -> object:
        context = await one_of(self._engines, job_id).execute("HGET", keys.job(job_id), "context", retry_safe=True)
        found: Any = orjson.loads(context) if context else None
        return found.get(TRACEPARENT) if isinstance(found, dict) else None


def _job_of(event: Mapping[str, Any]) -> str:
    """The job that an event is about; empty: none."""
    data = event.get("data")
    job_id = str(data.get("id", "")) if isinstance(data, dict) else ""
    return job_id if keys.is_job_id(job_id) else ""
