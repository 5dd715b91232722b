"""The running jobs of a worker: started, limited in time, cancelled, and passed to the recorder when they end."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

import orjson

from shared.errors import DeadlineExceeded, ResultTooLarge
from shared.jobs.bodies import Bodies
from shared.jobs.capacity import CapacityReport
from shared.jobs.model import UNKNOWN_HISTORY, Claim, Deferral, Outcome, State
from shared.patience.lanes import LANE, Lane, due_ms_of
from shared.telemetry.logs import RequestLines
from worker.handle import RunHandle
from worker.metrics import EngineMetrics
from worker.options import WorkerOptions
from worker.recorder import Ending, Recorder, internal_error

TICK_S = 0.05
# A run that ignores its cancellation is abandoned after this long: its job ends without it.
ABANDON_S = 5.0

logger = logging.getLogger("finops.worker")
_LINES = RequestLines("finops.worker")

RunFunction = Callable[[Claim, RunHandle], Awaitable[Outcome | Deferral]]


def deadline_exceeded(claim: Claim) -> Outcome:
    """Return the outcome of a run that reached its time limit."""
    limit = "deadline" if claim.deadline_ms else "longest run time"
    error = DeadlineExceeded(f"The job's {limit} passed before it was done.")
    return Outcome(
        state=State.FAILED, status_code=error.status, error=error.envelope()["error"], history=UNKNOWN_HISTORY
    )


def result_too_large(outcome: Outcome, limit: int) -> Outcome:
    """Return the outcome of a run whose result is not stored; what it cost stays."""
    mebibytes = 1024 * 1024
    error = ResultTooLarge(
        f"The result has {len(outcome.result) / mebibytes:.1f} MiB; jobs.max_result_mb allows {limit / mebibytes:g}."
    )
    return replace(outcome, state=State.FAILED, status_code=error.status, result=b"", error=error.envelope()["error"])


class Runs:
    """The running jobs, by lease token.

    Args:
        function: Runs one job.
        options: Slots and time limits.
        metrics: Counts runs.

    Attributes:
        capacity: What this worker can do, for autoscalers.
    """

    def __init__(
        self, function: RunFunction, options: WorkerOptions, metrics: EngineMetrics, bodies: Bodies | None = None
    ) -> None:
        self._function = function
        self._options = options
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._handles: dict[str, RunHandle] = {}
        self._room = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self.recorder: Recorder | None = None
        self._bodies = bodies
        self.last_moved = time.monotonic()
        self.completed = self.failed = self.retried = 0
        self.capacity = CapacityReport(options.worker_id, options.concurrency)

    @property
    def free(self) -> int:
        """Free slots."""
        return self._options.concurrency - len(self._handles)

    @property
    def count(self) -> int:
        """Slots in use."""
        return len(self._handles)

    def leases(self) -> list[tuple[str, str]]:
        """Return ids and tokens of running jobs; thread-safe, because the list is copied in one step."""
        return [(handle.claim.id, handle.claim.token) for handle in list(self._handles.values())]

    def start(self, claim: Claim) -> None:
        """Start a claimed job."""
        recorder = self._recorder()
        now = self._loop.time()
        until = now + self._options.max_run_s
        if claim.deadline_ms:
            until = min(until, now + (claim.deadline_ms - claim.started_ms) / 1000)
        handle = RunHandle(claim, now, until, recorder.note_events)
        self._handles[claim.token] = handle
        self._empty.clear()
        handle.task = self._loop.create_task(self._run(handle))

    async def until_room(self, timeout_s: float) -> None:
        """Wait for a free slot, at most ``timeout_s``."""
        self._room.clear()
        if self.free > 0:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._room.wait()
        except TimeoutError:
            return

    async def until_empty(self) -> None:
        """Wait until no job runs."""
        await self._empty.wait()

    def cancel_jobs(self, job_ids: Iterable[str]) -> None:
        """Stop the runs of cancelled jobs."""
        wanted = set(job_ids)
        self._stop((h for h in self._handles.values() if h.claim.id in wanted), "cancelled")

    def lose(self, tokens: Iterable[str]) -> None:
        """Stop runs whose leases were lost, except those whose ending is being written: the store decides on them."""
        known = (self._handles.get(token) for token in tokens)
        lost = [
            handle for handle in known if handle and not handle.cancelled and not self._recorder().is_ending(handle)
        ]
        if lost:
            self._metrics.lost(len(lost))
            self._stop(lost, "lost_lease")

    def stop_all(self) -> None:
        """Stop all runs without an ending, because the worker shuts down."""
        self._stop((h for h in self._handles.values() if not self._recorder().is_ending(h)), "shutdown")

    def tasks(self) -> "list[asyncio.Task[None]]":
        """Return the tasks that are not done yet."""
        return [h.task for h in self._handles.values() if h.task is not None and not h.task.done()]

    def unfinished(self) -> list[Claim]:
        """Return the claims of runs without an ending."""
        recorder = self._recorder()
        return [handle.claim for handle in self._handles.values() if not recorder.is_ending(handle)]

    async def watch_time(self) -> None:
        """Enforce time limits until cancelled; also updates ``last_moved``, the proof that the event loop is alive."""
        while True:
            self.last_moved = time.monotonic()
            now = self._loop.time()
            for handle in [h for h in self._handles.values() if h.until <= now or h.cancelled]:
                self._check(handle, now)
            await asyncio.sleep(TICK_S)

    def recorded(self, handle: RunHandle, ending: Ending, accepted: bool) -> None:
        """Handle an ending that was stored, or rejected because the lease was lost."""
        claim, seconds = handle.claim, self._loop.time() - handle.started_at
        self._drop(handle)
        if not accepted:
            self._metrics.lost(1)
            logger.warning(
                "an outcome was rejected: the lease was lost", extra={"job_id": claim.id, "attempt": claim.attempt}
            )
            return
        self.capacity.ran(seconds)
        if isinstance(ending, Deferral):
            self.retried += 1
            self._metrics.deferred(ending.reason)
            state = f"deferred ({ending.reason}, {ending.delay_s:g} s)"
        else:
            state = str(ending.state)
            self.completed += ending.state is State.COMPLETED
            self.failed += ending.state is State.FAILED
            self._metrics.ran(seconds, state, claim.request_type)
            if LANE in claim.context:
                count_patience(self._metrics, claim, ending)
        if state == State.FAILED:
            logger.warning("job failed", extra=_log_fields(handle, ending, seconds))
        elif logger.isEnabledFor(logging.INFO):
            _LINES.write(f"job {state}", _log_fields(handle, ending, seconds))

    async def _run(self, handle: RunHandle) -> None:
        claim = handle.claim
        ending: Ending | None
        try:
            ending = await self._function(claim, handle)
            if (outcome := self._to_be_packed(ending)) is not None:
                ending = await self._stored(handle, outcome)
        except asyncio.CancelledError:
            ending = self._ending_of_cancelled(handle)
        except (Exception, SystemExit):
            logger.exception("a job's run raised", extra={"job_id": claim.id, "request_id": claim.request_id})
            ending = internal_error()
        if claim.token not in self._handles:
            return  # abandoned meanwhile
        if handle.cancelled in {"cancelled", "lost_lease"}:
            self._drop(handle)
        elif ending is not None:
            self._recorder().end(handle, ending)

    def _to_be_packed(self, ending: Ending) -> Outcome | None:
        """Return an outcome that is not stored as it is; None: there is nothing to do.

        Raises:
            TypeError: It is no ending.
        """
        if not isinstance(ending, Outcome):
            if not isinstance(ending, Deferral):
                raise TypeError(f"a run must return an Outcome or a Deferral, not {type(ending).__name__}")
            return None
        large = len(ending.result) > self._options.max_result_bytes
        return ending if large or self._bodies is not None else None

    async def _stored(self, handle: RunHandle, outcome: Outcome) -> Outcome:
        """Return an outcome with its result as it will be stored; one that is too large is a failure."""
        if len(outcome.result) > self._options.max_result_bytes:
            return result_too_large(outcome, self._options.max_result_bytes)
        if self._bodies is None:
            return outcome
        try:
            return await self._bodies.pack_result(handle.claim, outcome)
        except asyncio.CancelledError:
            if handle.cancelled != "shutdown":
                raise
            return self._bodies.result_in_redis(handle.claim, outcome)  # it was paid for: it does not wait any more

    def _ending_of_cancelled(self, handle: RunHandle) -> Outcome | None:
        if handle.cancelled == "deadline":
            return deadline_exceeded(handle.claim)
        if handle.cancelled:
            return None
        logger.error("a job's run cancelled itself", extra={"job_id": handle.claim.id})
        return internal_error()

    def _check(self, handle: RunHandle, now: float) -> None:
        recorder = self._recorder()
        if recorder.is_ending(handle):
            return
        if not handle.cancelled:
            handle.stop("deadline", now)
        elif now - handle.cancelled_at > ABANDON_S and handle.cancelled != "shutdown":
            logger.error("a job's run does not stop; it is abandoned", extra={"job_id": handle.claim.id})
            if handle.cancelled == "deadline":
                recorder.end(handle, deadline_exceeded(handle.claim))
            else:
                self._drop(handle)

    def _stop(self, handles: Iterable[RunHandle], why: str) -> None:
        now = self._loop.time()
        for handle in list(handles):
            handle.stop(why, now)

    def _drop(self, handle: RunHandle) -> None:
        self._recorder().forget(handle)
        if handle.pending_events:
            handle.mark_flushed(len(handle.pending_events))
        self._handles.pop(handle.claim.token, None)
        self._room.set()
        if not self._handles:
            self._empty.set()

    def _recorder(self) -> Recorder:
        assert self.recorder is not None, "runs need their recorder before they start"  # noqa: S101
        return self.recorder


def count_patience(metrics: EngineMetrics, claim: Claim, outcome: Outcome) -> None:
    """Count a job that has ended, if it had patience."""
    due_ms = due_ms_of(claim.context)
    if due_ms:
        on_time = outcome.state is State.COMPLETED and time.time() * 1000 <= due_ms
        entry = orjson.loads(outcome.ledger) if outcome.ledger else {}
        lane = str(outcome.meta.get("lane") or Lane.NOW)
        metrics.patience_ended(lane, on_time, int(entry.get("cost", 0)), int(entry.get("list", 0)))


def _log_fields(handle: RunHandle, ending: Ending, seconds: float) -> dict[str, object]:
    claim = handle.claim
    return {
        **(_outcome_fields(ending) if isinstance(ending, Outcome) else {}),
        "key": claim.owner,
        "job_id": claim.id,
        "request_id": claim.request_id,
        "request_type": claim.request_type,
        "model": claim.model,
        "attempt": claim.attempt,
        "status_code": ending.status_code if isinstance(ending, Outcome) else 0,
        "wait_ms": claim.started_ms - claim.due_ms,
        "run_ms": round(seconds * 1000),
    }


def _outcome_fields(outcome: Outcome) -> dict[str, object]:
    """Why it failed, and what it used; fields that do not apply are left out, and so are texts of the provider."""
    meta, error = outcome.meta, outcome.error or {}
    usage = meta.get("usage") or {}
    fields = {
        "code": error.get("code") or error.get("type"),
        "provider": meta.get("provider"),
        "input_tokens": usage.get("prompt_tokens") or usage.get("input_tokens"),
        "output_tokens": usage.get("completion_tokens") or usage.get("output_tokens"),
        "cost_micro_usd": meta.get("cost_micro_usd"),
    }
    return {name: value for name, value in fields.items() if value is not None}
