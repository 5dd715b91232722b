"""Renders jobs: as the SDK's own answer, or as the envelope of ``/v1/async``."""

import time
from collections.abc import Mapping

import orjson

from api.http.errors import error_reply
from api.http.request_context import JSON_TYPE, HeaderLine, Reply, header_text
from api.jobs.async_headers import retry_after_s
from shared.clock import rfc3339_ms
from shared.errors import JobCancelled, JobFailure
from shared.governance.limits.model import MICRO
from shared.jobs.model import Job, State
from shared.patience.lanes import LANE
from shared.surfaces.envelope import envelope, lane_fields
from shared.surfaces.pending_bodies import pending_body
from shared.surfaces.pending_forms import OpenStatus, Pending
from shared.surfaces.request_types import BY_NAME, RESPONSES
from shared.surfaces.response_ids import is_minted

STATUSES: Mapping[State, OpenStatus] = {
    State.QUEUED: "queued",
    State.DEFERRED: "queued",
    State.RUNNING: "in_progress",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}
_COMPLETED: HeaderLine = (b"x-bf-async-status", b"completed")
# What of the provider's response headers is repeated with a job's result; rate limits and the like were of then.
_REPEATED_HEADERS = frozenset({"openai-processing-ms", "openai-version", "openai-model", "content-disposition"})


def sdk_reply(job: Job) -> Reply:
    """A job on the surfaces of the SDKs: pending, the provider's own body, or the HTTP error of its failure."""
    if job.state is State.COMPLETED:
        return Reply(200, _result(job), _result_headers(job))
    if job.state is State.FAILED:
        return with_headers(error_reply(JobFailure(job.status_code, job.error or {})), job_headers(job))
    if job.state is State.CANCELLED and job.request_type != RESPONSES.name:
        return with_headers(error_reply(JobCancelled(job.id)), job_headers(job))
    return pending_reply(job)


def native_reply(job: Job) -> Reply:
    """Render a job as the Responses API does: a failure is a status there, not an HTTP error."""
    return sdk_reply(job) if job.state is State.COMPLETED else pending_reply(job)


def _result(job: Job) -> bytes:
    """The provider's bytes; a native background response keeps the id that its caller knows it by."""
    job.check_result()
    if not is_minted(job.id):
        return job.result
    return orjson.dumps({**orjson.loads(job.result), "id": job.id, "background": True})


def pending_reply(job: Job) -> Reply:
    """The type's empty form with the job's status; a response's too where it failed or was cancelled."""
    body = pending_body(
        BY_NAME[job.request_type],
        Pending(
            job_id=job.id,
            status=STATUSES[job.state],
            model=job.model,
            created=job.created_ms // 1000,
            echo=job.context.get("echo") or {},
            error=(job.error or {}) if job.state is State.FAILED else None,
            background=is_minted(job.id),
        ),
    )
    return Reply(200, body, (JSON_TYPE, *job_headers(job)))


def envelope_reply(job: Job, headers: tuple[HeaderLine, ...] = ()) -> Reply:
    """A job on ``/v1/async``: 202 while it is open, then 200.

    Raises:
        BodyLost: Its result is lost.
    """
    job.check_result()
    body = orjson.dumps(envelope(job))
    return Reply(202 if job.live else 200, body, (JSON_TYPE, *job_headers(job), *headers))


def content_reply(job: Job) -> Reply:
    """The bytes of a job's result; the envelope while there are none, the job's error if there never will be."""
    if job.live:
        return envelope_reply(job)
    if job.state is State.CANCELLED:
        return with_headers(error_reply(JobCancelled(job.id)), job_headers(job))
    return sdk_reply(job)


def job_headers(job: Job) -> tuple[HeaderLine, ...]:
    """Id and status of a job, and while it is open its place in the queue and when to ask again."""
    word = "completed" if job.state is State.COMPLETED else STATUSES[job.state]
    lines: list[HeaderLine] = [(b"x-bf-async-id", job.id.encode()), (b"x-bf-async-status", word.encode())]
    lines += _lane_headers(job)
    if not job.live:
        return (*lines, *_cost_header(job))
    now_ms = int(time.time() * 1000)
    starts_ms = job.due_ms if job.state is State.DEFERRED else 0
    if job.state is State.QUEUED:
        if job.queue_position is not None:
            lines.append((b"x-bf-async-queue-position", b"%d" % job.queue_position))
        if job.estimated_start_ms is not None:
            starts_ms = job.estimated_start_ms
            lines.append((b"x-bf-async-estimated-start", rfc3339_ms(starts_ms).encode()))
    after_s = retry_after_s(open_ms=now_ms - job.created_ms, due_in_ms=starts_ms - now_ms if starts_ms else 0)
    lines.append((b"retry-after", b"%d" % after_s))
    return tuple(lines)


def _result_headers(job: Job) -> tuple[HeaderLine, ...]:
    lines: list[HeaderLine] = [
        (b"content-type", header_text(job.result_type or "application/json")),
        (b"x-bf-async-id", job.id.encode()),
        _COMPLETED,
        *_lane_headers(job),
        *_cost_header(job),
    ]
    stored = job.meta.get("headers")
    if isinstance(stored, dict):
        lines += [
            (header_text(name), header_text(str(value))) for name, value in stored.items() if name in _REPEATED_HEADERS
        ]
    return tuple(lines)


def _cost_header(job: Job) -> tuple[HeaderLine, ...]:
    cost = job.meta.get("cost_micro_usd")
    return ((b"x-bf-cost-usd", b"%.6f" % (cost / MICRO)),) if isinstance(cost, int) else ()


def _lane_headers(job: Job) -> tuple[HeaderLine, ...]:
    """The lane of a job that can wait; none for others."""
    lane = job.context.get(LANE)
    if lane is None:
        return ()
    fields = lane_fields(lane, job.meta, ended=not job.live)
    lines = [
        (b"x-bf-async-lane", fields["lane"].encode()),
        (b"x-bf-async-expected-saving-usd", b"%.6f" % fields["expected_saving_usd"]),
    ]
    if "promote_at" in fields:
        lines.append((b"x-bf-async-promote-at", fields["promote_at"].encode()))
    return tuple(lines)


def with_headers(reply: Reply, headers: tuple[HeaderLine, ...]) -> Reply:
    """The reply with more headers."""
    return reply._replace(headers=(*reply.headers, *headers))
