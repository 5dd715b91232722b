"""Turns lines of a batch into jobs, and ended jobs into lines of its output and error files."""

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from typing import Any

import orjson

from shared.batches.keys import line_job_id, line_of_job
from shared.batches.lines import ENDPOINTS, RawLine, answered, never_run, read_line, tokens_of
from shared.batches.model import Batch, Cursor
from shared.batches.store import BatchStore, Line, is_written
from shared.errors import BodyLost, GatewayError, JobNotFound, RateLimited, StoreUnavailable
from shared.governance.keys.caller import Caller
from shared.governance.ledger.writer import who
from shared.governance.limits.runs import run_in_metadata
from shared.inference.call import Call
from shared.inference.submission import Submitter
from shared.jobs.labels import metadata_labels
from shared.jobs.model import Job, NewJob, Priority, State
from shared.jobs.store import JobStore
from shared.surfaces.request_body import RequestBody, check_for_submit, read_request
from shared.surfaces.request_types import IMAGE_GENERATIONS

GiveUp = Callable[[Batch, Container[int], str], Awaitable[None]]
JOB_TTL_S = 2 * 86_400
"""Lifetime of a line's result: longer than a batch is open."""
AT_ONCE = 100
LARGE_AT_ONCE = 4


class LineJobs:
    """The jobs of batches' lines.

    Args:
        max_queued: Waiting jobs of one owner past which no more lines are submitted.
    """

    def __init__(self, submitter: Submitter, jobs: JobStore, store: BatchStore, *, max_queued: int) -> None:
        self._submitter = submitter
        self._jobs = jobs
        self._store = store
        self._max_queued = max_queued

    async def submit(self, batch: Batch, caller: Caller, lines: Sequence[RawLine], written: bytes) -> Cursor | None:
        """Submit lines as jobs; lines with an invalid request are written to the error file at once.

        A line's job id is derived from it, so submitting twice makes one job; lines with a result are skipped.

        Returns:
            Cursor of the first line still to be submitted; None when the queue or the caller's limits accept no more.

        Raises:
            TurnLost, StoreUnavailable: See ``BatchStore``.
        """
        pending = [line for line in lines if not is_written(written, line.next.line - 1)]
        results = await asyncio.gather(*(self._submit(batch, caller, line) for line in pending), return_exceptions=True)
        failed: list[Line] = []
        reached: Cursor | None = lines[-1].next
        before: Cursor | None = None
        for line, result in zip(pending, results, strict=True):
            if isinstance(result, RateLimited):
                reached = before
                break
            if isinstance(result, BaseException):
                raise result
            if result is not None:
                failed.append(result)
            before = line.next
        if failed:
            await self._store.collect(batch, failed)
        return reached

    async def _submit(self, batch: Batch, caller: Caller, line: RawLine) -> Line | None:
        """Submit one line; return a line for the error file if that is impossible."""
        request_line = read_line(line)
        job_id = line_job_id(batch.id, line.next.line - 1)
        try:
            request = read_request(ENDPOINTS[batch.endpoint], request_line.body, "application/json")
            check_for_submit(request)
            caller.check()  # the key may have been revoked, or taken out of the configuration, since the batch began
            call = _call(batch, caller, request, job_id)
            await self._submitter.submit(call, self._new_job(call, request_line.custom_id, batch))
        except (RateLimited, StoreUnavailable):
            raise
        except GatewayError as error:
            body = orjson.dumps(error.envelope())
            return Line(line.next.line - 1, "error", answered(job_id, request_line.custom_id, error.status, body))
        return None

    def _new_job(self, call: Call, custom_id: str, batch: Batch) -> NewJob:
        caller = call.caller
        context: dict[str, Any] = {
            "surface": call.surface,
            "batch": batch.id,
            "custom_id": custom_id,
            "who": {"type": call.request_type.name, **who(caller, call.dimensions, call.run)},
        }
        if call.dimensions:
            context["dimensions"] = dict(call.dimensions)
        if call.run is not None:
            context["run"] = call.run.to_json()
        return NewJob(
            id=call.job_id,
            owner=batch.owner,
            request_type=call.request_type.name,
            model=call.model,
            payload=call.body,
            context=context,
            request_id=call.request_id,
            priority=Priority.LOW,
            ttl_s=JOB_TTL_S,
            weight=caller.weight,
            max_concurrent=caller.max_concurrent_jobs,
            max_queued=self._max_queued,
            fingerprint=call.job_id,
            group=batch.id,
            labels=metadata_labels(call.fields),
        )

    async def collect(
        self, batch: Batch, give_up: GiveUp, *, ending: str = "", rounds: int = 10
    ) -> tuple[int, int] | None:
        """Write the results of ended jobs to the batch's files, then delete the jobs.

        Args:
            give_up: Records lines as not run: those whose job was deleted before its result was read.
            ending: Error code for cancelled jobs: why the batch ends.
            rounds: How many chunks of jobs to read at most.

        Returns:
            The number of lines in the output and error files; None when no job had ended.

        Raises:
            BodyUndecryptable: The result of a job cannot be decrypted.
            TurnLost, StoreUnavailable: See ``BatchStore``.
        """
        at_once = LARGE_AT_ONCE if ENDPOINTS[batch.endpoint] is IMAGE_GENERATIONS else AT_ONCE
        counts = None
        for _ in range(rounds):
            ids = await self._store.ended_jobs(batch, at_once)
            if not ids:
                break
            found = await asyncio.gather(*(self._jobs.get(job_id) for job_id in ids))
            lines = [_line(job, ending) for job in found if job is not None and not job.live]
            lost = {line_of_job(job_id) for job_id, job in zip(ids, found, strict=True) if job is None}
            if lost:
                await give_up(batch, lost, "request_lost")
            counts = await self._store.collect(batch, lines, ended=len(ids))
            await asyncio.gather(*(self._jobs.delete(job.id) for job in found if job is not None and not job.live))
        return counts

    async def cancel(self, batch: Batch, numbers: Iterable[int]) -> None:
        """Cancel the jobs of lines; lines without a job are ignored.

        Raises:
            StoreUnavailable: No answer.
        """
        ids = [line_job_id(batch.id, number) for number in numbers]
        for start in range(0, len(ids), AT_ONCE):
            await self._store.advance(batch)
            await asyncio.gather(*(self._cancel(job_id) for job_id in ids[start : start + AT_ONCE]))

    async def _cancel(self, job_id: str) -> None:
        try:
            await self._jobs.cancel(job_id)
        except JobNotFound:
            return

    async def give_up(self, batch: Batch, lines: Sequence[RawLine], written: bytes, code: str) -> None:
        """Record lines without a result as not run.

        Raises:
            TurnLost, StoreUnavailable: See ``BatchStore``.
        """
        failed = []
        for line in lines:
            number = line.next.line - 1
            if not is_written(written, number):
                text = never_run(line_job_id(batch.id, number), read_line(line).custom_id, code)
                failed.append(Line(number, "error", text))
        for start in range(0, len(failed), AT_ONCE):
            await self._store.collect(batch, failed[start : start + AT_ONCE])


def _call(batch: Batch, caller: Caller, request: RequestBody, job_id: str) -> Call:
    """Build the call that a line requests."""
    return Call(
        request_type=request.request_type,
        model=request.model,
        body=request.raw,
        fields=request.fields,
        caller=caller,
        request_id=job_id,
        job_id=job_id,
        surface="openai",
        dimensions=batch.dimensions,
        run=batch.run or run_in_metadata(request.fields),
    )


def _line(job: Job, ending: str) -> Line:
    """Build the output or error line of an ended job.

    Raises:
        BodyUndecryptable: Its result cannot be decrypted.
    """
    if job.result_sealed is not None:
        raise job.result_sealed
    number, custom_id = line_of_job(job.id), str(job.context.get("custom_id", ""))
    if job.result_lost:
        body = orjson.dumps(BodyLost().envelope())
        return Line(number, "error", answered(job.id, custom_id, BodyLost.status, body))
    if job.state is State.COMPLETED:
        text = answered(job.id, custom_id, job.status_code, job.result)
        return Line(number, "output", text, tokens_of(job.meta.get("usage") or {}))
    if job.state is State.CANCELLED and ending:
        return Line(number, "error", never_run(job.id, custom_id, ending))
    body = orjson.dumps({"error": job.error})
    return Line(number, "error", answered(job.id, custom_id, job.status_code, body))
