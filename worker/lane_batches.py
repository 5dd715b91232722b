"""Sends gathered jobs as batches of their provider, and ends them with what their lines answered.

::

    open ──► closed ──► uploaded ──► creating ──► running ──► forgotten
      │ full, or old enough              │
      │                                  └ a kill in it: the provider is asked for the batch, by its metadata
      └ jobs are added here

Each step is one turn and may be repeated by any worker after a kill. A job itself waits in the queue until it is
promoted, whatever becomes of its batch.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson

from shared.errors import GatewayError, StoreUnavailable, UpstreamRefused
from shared.governance.ledger.batch_views import ENDED as ENDED_STATUSES
from shared.governance.ledger.writer import CallOutcome, entry_of
from shared.governance.limits.runs import Run
from shared.governance.pricing.usage import answer_estimate, used_by
from shared.inference.gathered_requests import GatheredRequests
from shared.inference.provider_batch_lines import ended_files, parse_object, part_of
from shared.inference.provider_batches import LATE_DUPLICATE
from shared.inference.translation import prepared
from shared.jobs.labels import index_of, provider_of
from shared.jobs.model import Job, Outcome, State
from shared.patience.gathering import (
    ENDED,
    LINES_AT_ONCE,
    Answered,
    GatheredBatch,
    GatheredBatches,
    GatheredState,
    GatheredTurn,
    LineAnswer,
)
from shared.patience.lanes import Lane, due_ms_of
from shared.providers.wires.openai import OpenAIWire
from shared.settings.patience import PatienceSettings
from shared.surfaces.request_types import BY_NAME
from worker.history import batch_attempt
from worker.lane_tools import LaneTools
from worker.metrics import LaneMetrics

log = logging.getLogger("finops.batches")

SHORTEST_POLL_S = 0.05
LONGEST_POLL_S = 5.0
STEP_SHARE = 0.8
"""Share of its lease that a step may take: after it another worker would begin to repeat it."""
GIVE_UP_MS = 8 * 86_400_000
"""Age at which a batch that cannot be read is forgotten; its jobs have been promoted long before."""


class LaneBatches:
    """Takes turns at gathered batches.

    Args:
        store: The gathered batches.
        requests: Sends requests about them to their providers.
        tools: Reads, prices and answers their jobs.
        metrics: Counts jobs that batches answered.
    """

    def __init__(
        self,
        store: GatheredBatches,
        requests: GatheredRequests,
        tools: LaneTools,
        metrics: LaneMetrics | None = None,
    ) -> None:
        self._store = store
        self._requests = requests
        self._tools = tools
        self._metrics = metrics
        self._wire = OpenAIWire()

    @property
    def poll_s(self) -> float:
        """Longest wait until the next look for a batch that is due, in seconds."""
        settings = self._store.settings
        return max(SHORTEST_POLL_S, min(settings.gather_s, settings.look_s, LONGEST_POLL_S))

    async def take_turn(self) -> float:
        """Take a step of the batch that is due first; return the seconds until another one may be due.

        Raises:
            StoreUnavailable: No answer; the turn is taken again when its lease ends.
        """
        turn = await self._store.take()
        if not isinstance(turn, GatheredTurn):
            return turn
        try:
            async with asyncio.timeout(self._store.turn_ms / 1000 * STEP_SHARE):
                await self._step(turn)
        except StoreUnavailable:
            raise
        except TimeoutError:
            log.warning("a step of a gathered batch took too long", extra={"batch_id": turn.batch.id})
        except GatewayError as error:
            await self._after_failure(turn, error)
        except Exception:
            log.exception("a gathered batch failed", extra={"batch_id": turn.batch.batch or turn.batch.id})
        return 0.0

    async def _step(self, turn: GatheredTurn) -> None:
        batch = turn.batch
        match batch.state:
            case GatheredState.RUNNING:
                await self._follow(turn)
            case GatheredState.CREATING:
                await self._create(batch, await self._requests.find(batch))
            case GatheredState.UPLOADED:
                if await self._store.note(batch, look_ms=self._store.turn_ms, state=GatheredState.CREATING):
                    await self._create(batch, "")
            case _:
                await self._upload(turn)

    async def _after_failure(self, turn: GatheredTurn, error: GatewayError) -> None:
        """Look again later; run the jobs now if the provider refuses the batch, and forget it in the end."""
        batch = turn.batch
        over = turn.now_ms > (batch.created_ms + GIVE_UP_MS if batch.batch else batch.promote_ms)
        refused = isinstance(error, UpstreamRefused) and error.status < 500 and error.status not in {408, 429}
        log.warning(
            "a gathered batch cannot be run",
            extra={"batch_id": batch.batch or batch.id, "provider": batch.group.provider, "reason": error.code},
        )
        if over or refused:
            await self._end(batch)
        else:
            await self._store.note(batch, look_ms=self._look_ms)

    async def _upload(self, turn: GatheredTurn) -> None:
        batch = turn.batch
        ids = await self._store.open_jobs(batch) if turn.now_ms < batch.promote_ms else []
        lines: list[bytes] = []
        dropped: list[str] = []
        for start in range(0, len(ids), LINES_AT_ONCE):
            some = ids[start : start + LINES_AT_ONCE]
            for job_id, line in zip(
                some, await asyncio.gather(*(self._line(batch, each) for each in some)), strict=True
            ):
                if line is None:
                    dropped.append(job_id)
                else:
                    lines.append(line)
        await self._store.promote(batch, dropped)  # cancelled ones are dropped, others say themselves what is wrong
        if not lines:
            await self._end(batch)
            return
        input_file = await self._requests.upload(batch, lines)
        await self._store.note(batch, look_ms=0, state=GatheredState.UPLOADED, input_file=input_file)

    async def _line(self, batch: GatheredBatch, job_id: str) -> bytes | None:
        """Return a job's line; None: it does not wait any more, or cannot be run for its owner."""
        tools, group = self._tools, batch.group
        job = await tools.jobs.get(job_id)
        if job is None or job.state is not State.DEFERRED:
            return None
        try:
            call = await tools.call_of(job, group)
            if call is None:
                return None
            _, _, request = prepared(call, tools.target(group), self._wire)
        except StoreUnavailable:
            raise
        except GatewayError:
            return None
        line = {
            "custom_id": job_id,
            "method": "POST",
            "url": f"/v1/{group.endpoint}",
            "body": orjson.loads(request.body),
        }
        return orjson.dumps(line)

    async def _create(self, batch: GatheredBatch, found: str) -> None:
        """Create a batch unless the provider has it already; note its id."""
        batch_id = found or await self._requests.create(batch)
        await self._store.note(batch, look_ms=self._look_ms, state=GatheredState.RUNNING, batch=batch_id)
        log.info("gathered jobs were sent", extra={"batch_id": batch_id, "jobs": batch.jobs})

    async def _follow(self, turn: GatheredTurn) -> None:
        batch = turn.batch
        found = await self._requests.look(batch)
        if found.get("status") in ENDED_STATUSES:
            await self._answer(turn, found)
        elif turn.now_ms > batch.promote_ms and not batch.cancelled:  # nobody waits for it any more
            if await self._store.note(batch, look_ms=self._look_ms, cancelled="1"):
                with suppress(UpstreamRefused):
                    await self._requests.cancel(batch)
        else:
            await self._store.note(batch, look_ms=self._look_ms)

    async def _answer(self, turn: GatheredTurn, found: Mapping[str, Any]) -> None:
        """End the jobs of a batch that has ended, and run those without an answer now."""
        batch = turn.batch
        total = Answered()
        for file_id in ended_files(found):
            rows: list[bytes] = []
            async for row in self._requests.lines(batch, file_id):
                rows.append(row)
                if len(rows) == LINES_AT_ONCE:
                    total += await self._answer_lines(turn, rows)
                    rows = []
            total += await self._answer_lines(turn, rows)
        total += await self._store.promote(batch, await self._store.open_jobs(batch))
        seconds = (turn.now_ms - batch.created_ms) / 1000
        await self._record(batch, total, seconds)
        await self._end(batch, [batch.input_file, *ended_files(found)])

    async def _answer_lines(self, turn: GatheredTurn, rows: Sequence[bytes]) -> Answered:
        lines = await asyncio.gather(*(self._answered(turn, parse_object(row)) for row in rows))
        answered = await self._store.answer(turn.batch, lines)
        booked = [line.booked for line in lines if line.booked is not None]
        if answered.answered + answered.late == len(booked):  # else they were counted before
            for each in booked:
                self._count(each)
        return answered

    def _count(self, booked: CallOutcome) -> None:
        usage, cost = booked.usage, booked.cost
        tokens = (usage.input, usage.output, usage.cached)
        micro_usd = cost.micro_usd if cost.priced else None
        self._tools.billing.watch.spent(booked.caller.team, booked.provider, booked.model, micro_usd, tokens)
        if self._metrics is not None and booked.on_time is not None:
            self._metrics.patience_ended(booked.lane, booked.on_time, cost.micro_usd, cost.list_micro_usd)

    async def _answered(self, turn: GatheredTurn, row: Mapping[str, Any]) -> LineAnswer:
        """Return what a line of a file brings to its job; one that failed runs now, and says itself why."""
        batch, tools = turn.batch, self._tools
        job_id, response = str(row.get("custom_id") or ""), part_of(row, "response")
        body = part_of(response, "body")
        if response.get("status_code") != 200 or not body:
            return LineAnswer(job_id)
        result = orjson.dumps(body)
        job = await tools.jobs.get(job_id)
        booked = await self._booked(turn, job, body, result)
        duplicate = replace(booked, code=LATE_DUPLICATE, job_id=job_id, on_time=None)
        late = entry_of(duplicate)
        if job is None or job.state.terminal:
            return LineAnswer(job_id, late=late, booked=duplicate)
        group = batch.group
        await tools.keep(job, group, result)
        cost = {"cost_micro_usd": booked.cost.micro_usd} if booked.cost.priced else {}
        outcome = Outcome(
            state=State.COMPLETED,
            status_code=200,
            meta={
                "provider": group.provider, "model": group.model, "usage": part_of(body, "usage"),
                "upstream_attempts": 1, "lane": str(Lane.BATCH), **cost,
            },
            ledger=entry_of(booked),
            history=batch_attempt(job, booked, batch.created_ms),
            stored=await tools.bodies.pack(f"jobs/{job_id}", result, name=f"result-{batch.id}"),
        )  # fmt: skip
        other = group.provider != provider_of(job.model)
        index = str(index_of("provider", group.provider)) if other else ""
        return LineAnswer(job_id, outcome, index, late, booked)

    async def _booked(self, turn: GatheredTurn, job: Job | None, body: Mapping[str, Any], result: bytes) -> CallOutcome:
        """Return what a line is booked as, at batch rates."""
        batch, billing = turn.batch, self._tools.billing
        group, context = batch.group, job.context if job is not None else {}
        kind = next(each for each in BY_NAME.values() if each.path == group.endpoint)
        usage = used_by(kind, {}, part_of(body, "usage"))
        estimated = usage.empty
        if estimated:
            usage = answer_estimate(kind, {}, b"", result)
        return CallOutcome(
            caller=await self._tools.governance.owner(group.owner), request_type=kind.name,
            surface=str(context.get("surface", "")), asked=job.model if job is not None else group.model,
            provider=group.provider, model=group.model, usage=usage,
            cost=billing.prices.cost(group.provider, group.model, usage, variant="batch"), estimated=estimated,
            latency_ms=turn.now_ms - batch.created_ms, attempts=1, request_id=job.request_id if job is not None else "",
            job_id=job.id if job is not None else "", dimensions=context.get("dimensions") or {},
            scopes=billing.scopes(group.provider, group.model), run=Run.from_json(context.get("run")),
            lane=str(Lane.BATCH), on_time=_on_time(job, turn.now_ms),
        )  # fmt: skip

    async def _record(self, batch: GatheredBatch, total: Answered, seconds: float) -> None:
        """Count how long a batch took for the jobs that waited for it, and what became of them."""
        model = f"{batch.group.provider}/{batch.group.model}"
        for result, jobs in (("answered", total.answered), ("refused", total.promoted), ("late", total.late)):
            if jobs and self._metrics is not None:
                self._metrics.lane_tried(str(Lane.BATCH), result, jobs)
        if total.answered:
            await self._tools.times.record(model, Lane.BATCH, seconds, count=total.answered)
        if total.late:
            await self._tools.times.record(model, Lane.BATCH, None, count=total.late)

    async def _end(self, batch: GatheredBatch, files: Sequence[str] = ()) -> None:
        """Run what is left of a batch now, forget it, and delete its files at the provider."""
        if not await self._store.note(batch, look_ms=self._store.turn_ms):
            return
        await self._store.promote(batch, await self._store.open_jobs(batch))
        await self._store.note(batch, look_ms=ENDED)
        for file_id in files:
            with suppress(GatewayError):
                await self._requests.discard(batch, file_id)

    @property
    def _look_ms(self) -> int:
        return round(self._store.settings.look_s * 1000)


def _on_time(job: Job | None, now_ms: int) -> bool | None:
    """Whether a job is answered before its patience ends; None: it has none."""
    due_ms = 0 if job is None else due_ms_of(job.context)
    return now_ms <= due_ms if due_ms else None


def gathered_batches(
    tools: LaneTools, settings: PatienceSettings, metrics: LaneMetrics | None = None
) -> LaneBatches | None:
    """Build what takes turns at gathered batches; None: providers' batches are not billed, so none is sent."""
    batches = tools.inference.forwarder.batches
    if batches is None:
        return None
    return LaneBatches(GatheredBatches(tools.commands, settings), GatheredRequests(batches), tools, metrics)
