"""One turn at a schedule that is due: its firing becomes a job, once, whatever dies on the way."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from shared.errors import GatewayError, RateLimited, StoreUnavailable, VirtualKeyBlocked
from shared.governance.keys.authenticate import Authenticator
from shared.governance.keys.caller import Caller
from shared.governance.ledger.writer import who
from shared.governance.limits.runs import Run
from shared.inference.call import Call
from shared.inference.inference import Inference
from shared.inference.submission import Submitter
from shared.jobs.model import NewJob
from shared.schedules.model import Schedule, SkipReason, Status
from shared.schedules.store import ScheduleStore, Turn
from shared.schedules.template import firing_scope, job_of
from shared.schedules.times import Plan, plan
from shared.settings.model import JobSettings
from shared.surfaces.request_types import BY_NAME

log = logging.getLogger("finops.schedules")

MOST_DELAY_MS = 5_000
MAX_TRIES = 20
"""Turns in a row that fail inside the gateway, after which a firing is skipped."""
Count = Callable[[str, int], None]


class ScheduleTurns:
    """Fires schedules.

    Args:
        store: The schedules.
        submitter: Reserves what the jobs may cost, and submits them.
        inference: Refuses calls that cannot succeed.
        governance: Knows the owners.
        settings: Limits of the job engine.
        count: Called with ``fired``, ``missed``, ``active``, ``refused`` or ``failed`` and a number of firings.
    """

    def __init__(
        self,
        store: ScheduleStore,
        submitter: Submitter,
        inference: Inference,
        governance: Authenticator,
        *,
        settings: JobSettings,
        count: Count,
    ) -> None:
        self._store = store
        self._submitter = submitter
        self._inference = inference
        self._governance = governance
        self._settings = settings
        self._count = count

    async def take_turn(self) -> float:
        """Handle the schedule that is due first; return the seconds until another one may be due.

        Raises:
            StoreUnavailable: No answer; the turn is taken again when its lease ends.
        """
        turn = await self._store.take()
        if not isinstance(turn, Turn):
            return turn
        await self.step(turn)
        return 0.0

    async def step(self, turn: Turn) -> None:
        """Handle the due firings of a schedule.

        Raises:
            StoreUnavailable: No answer; the turn is taken again when its lease ends.
        """
        schedule = turn.schedule
        if schedule.status is not Status.ACTIVE or not schedule.next_ms:  # a leftover of an interrupted change
            await self._store.skipped(schedule, 0, None, SkipReason("paused", "The schedule is not active."))
            return
        # In a thread: a time zone is read from a file.
        planned = await asyncio.to_thread(plan, schedule.timing, schedule.next_ms, turn.now_ms, schedule.catch_up)
        if planned.fire_ms is None:
            await self._skip(schedule, planned, "missed", SkipReason("missed", "No worker ran at the time."))
        else:
            await self._fire(schedule, planned, planned.fire_ms)

    async def _fire(self, schedule: Schedule, planned: Plan, fire_ms: int) -> None:
        live = await self._store.live_jobs(schedule)
        if schedule.max_active and len(live) >= schedule.max_active:
            text = f"{len(live)} of its jobs had not ended: max_active is {schedule.max_active}."
            await self._skip(schedule, planned, "active", SkipReason("max_active", text))
            return
        try:
            job_id = await self._submit(schedule, fire_ms)
        except StoreUnavailable:
            raise
        except GatewayError as error:
            await self._refused(schedule, planned, error)
        except Exception:
            # A fault of the gateway's own: the schedules after this one must not wait for its cause to be found.
            log.exception("a schedule's firing failed", extra={"schedule_id": schedule.id})
            await self._failed(schedule, planned)
        else:
            current = replace(schedule, live_jobs=live)
            if await self._store.fired(current, fire_ms, job_id, planned.next_ms, missed=planned.missed):
                self._count("fired", 1)
                if planned.missed:
                    self._count("missed", planned.missed)

    async def _refused(self, schedule: Schedule, planned: Plan, error: GatewayError) -> None:
        if isinstance(error, VirtualKeyBlocked):
            log.warning("a schedule is paused: %s", error, extra={"schedule_id": schedule.id})
            await self._store.pause(schedule, "key_blocked", SkipReason.of(error))
            self._count("refused", 1)
        elif isinstance(error, RateLimited):
            # There may be room in a moment; past its time the firing is missed.
            await self._store.put_off(schedule, _delay_ms(error), SkipReason.of(error))
        else:
            await self._skip(schedule, planned, "refused", SkipReason.of(error))

    async def _failed(self, schedule: Schedule, planned: Plan) -> None:
        """Try again, and in the end skip the firing."""
        text = "The firing failed inside the gateway; see the log entries with the schedule's id."
        reason = SkipReason("internal_error", text)
        if schedule.tries < MAX_TRIES:
            await self._store.put_off(schedule, MOST_DELAY_MS, reason)
        else:
            await self._skip(schedule, planned, "failed", reason)

    async def _skip(self, schedule: Schedule, planned: Plan, result: str, reason: SkipReason) -> None:
        skipped = planned.missed + (planned.fire_ms is not None)
        if await self._store.skipped(schedule, skipped, planned.next_ms, reason):
            self._count(result, skipped)
            extra = {"schedule_id": schedule.id, "code": reason.code}
            log.info("a firing was skipped: %s", reason.message, extra=extra)

    async def _submit(self, schedule: Schedule, fire_ms: int) -> str:
        """Submit the job of a firing, and return its id; a firing that has its job gets no other."""
        caller = await self._governance.submitting_owner(schedule.owner)
        caller.check()
        context: dict[str, Any] = dict(schedule.job["context"])
        dimensions = context.get("dimensions") or {}
        context["who"] = {"type": schedule.job["type"], **who(caller, dimensions)}
        new = job_of(
            schedule.id,
            schedule.job,
            fire_ms,
            context=context,
            owner=schedule.owner,
            weight=caller.weight,
            max_concurrent=caller.max_concurrent_jobs,
            max_queued=self._settings.max_queued_per_key,
            max_stored=caller.most_stored_bytes(self._settings.max_stored_bytes),
        )
        if await self._store.was_fired(schedule, firing_scope(schedule.id), new.idempotency_key):
            return new.id
        call = _call(new, caller)
        await self._inference.authorise(call)
        await self._submitter.submit(call, new)
        return new.id


def _call(new: NewJob, caller: Caller) -> Call:
    context = new.context
    return Call(
        request_type=BY_NAME[new.request_type],
        model=new.model,
        body=new.payload,
        fields=orjson.loads(new.payload),
        headers=context.get("headers") or {},
        caller=caller,
        request_id=new.request_id,
        job_id=new.id,
        session=str(context.get("session", "")),
        surface=str(context.get("surface", "")),
        dimensions=context.get("dimensions") or {},
        run=Run.from_json(context.get("run")),
    )


def _delay_ms(error: RateLimited) -> int:
    return min(MOST_DELAY_MS, max(500, round((error.retry_after_s or 1.0) * 1000)))
