"""Converts between the engine's values and the scripts' arguments and replies; pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from shared.jobs import keys
from shared.jobs.job_fields import job_from_fields
from shared.jobs.labels import index_of, index_sets, labels_field, provider_of, stored_lines
from shared.jobs.model import Claim, Job, NewJob, Outcome, Priority, RetryChanges, State
from shared.jobs.replies import ClaimRow, JobCreated, JobFound, QueueForecast
from shared.jobs.stored_body import StoredBody
from shared.store.commands import Argument

ANONYMOUS = "-"
_PRIORITIES = {str(priority).encode(): priority for priority in Priority}
LARGE_BYTES = 256 * 1024
"""A larger request body or result is not in a script's arguments, but written before in parts (``bodies.py``)."""


def fingerprint(new: NewJob) -> str:
    """Return the text by which repeated submits are recognised as the same request."""
    if new.fingerprint:
        return new.fingerprint
    digest = hashlib.sha256(new.request_type.encode())
    digest.update(b"\0")
    digest.update(new.payload)
    return digest.hexdigest()


def submit_args(new: NewJob, max_queued: int, stored: StoredBody, *, reserved: bool) -> list[Argument]:
    """Return the arguments of ``submit.lua``; the body is as it is stored."""
    lines = stored_lines(new)
    sets = index_sets(new, lines)
    args: list[Argument] = [
        new.id,
        new.owner or ANONYMOUS,
        str(new.priority),
        round(new.delay_s * 1000),
        0 if new.deadline_s is None else max(1, round(new.deadline_s * 1000)),
        new.weight,
        new.max_concurrent,
        max_queued,
        new.max_queued,
        *repeat_args(new),
        b"" if len(stored.data) > LARGE_BYTES else stored.data,
        new.owner,
        len(sets),
        *sets,
        new.max_stored,
        len(new.payload),
        "1" if reserved else "",
    ]
    if lines:
        args += ("labels", labels_field(lines))
    if stored.encoding:
        args += ("payload_as", stored.encoding)
    for name, value in record_fields(new):
        if value:
            args += (name, value)
    return args


def repeat_args(new: NewJob) -> tuple[str, str, str, str]:
    """Return what identifies a repeated submit: the arguments of ``repeat.lua``."""
    same = fingerprint(new)
    scope = new.dedupe_scope or new.owner
    return (
        keys.idempotency(scope, new.idempotency_key) if new.idempotency_key else "",
        same,
        keys.dedupe(scope, same),
        "1" if new.blind_retry else "",
    )


def record_fields(new: NewJob) -> tuple[tuple[str, Argument], ...]:
    """Return the fields of a record that the submit sets; empty ones are not stored."""
    return (
        ("owner", new.owner),
        ("type", new.request_type),
        ("model", new.model),
        ("request_id", new.request_id),
        ("priority", str(new.priority)),
        ("content_type", "" if new.content_type == "application/json" else new.content_type),
        ("context", orjson.dumps(new.context) if new.context else b""),
        ("ttl_s", new.ttl_s),
        ("webhook", new.webhook),
        ("keep", "1" if new.keep_payload else ""),
        ("group", new.group),
        ("size", len(new.payload)),
    )


def job_as_submitted(new: NewJob, reply: JobCreated) -> Job:
    """Build the job that ``submit.lua`` has just made, without reading it back."""
    created_ms = int(reply.now_ms)
    due_ms = created_ms + round(new.delay_s * 1000)
    position, start_ms = _read_forecast(reply.forecast, created_ms)
    return Job(
        id=new.id,
        state=State.DEFERRED if due_ms > created_ms else State.QUEUED,
        owner=new.owner,
        request_type=new.request_type,
        model=new.model,
        request_id=new.request_id,
        priority=new.priority,
        content_type=new.content_type,
        context=new.context,
        ttl_s=new.ttl_s,
        created_ms=created_ms,
        due_ms=due_ms,
        deadline_ms=0 if new.deadline_s is None else created_ms + max(1, round(new.deadline_s * 1000)),
        webhook=new.webhook,
        labels=labels_field(stored_lines(new)),
        queue_position=position,
        estimated_start_ms=start_ms,
    )


def job_from_reply(job_id: str, flat: Sequence[bytes]) -> Job:
    """Read a job from the reply of HGETALL."""
    return job_from_fields(job_id, dict(zip(flat[::2], flat[1::2], strict=True)))


def job_found(reply: JobFound) -> Job:
    """Read the job that the same request made before."""
    job = job_from_reply(reply.id.decode(), reply.record)
    return with_forecast(job, reply.forecast, job.due_ms)


def with_forecast(job: Job, forecast: Sequence[Any], now_ms: int) -> Job:
    """Return the job with its queue position and, if the queue's speed is known, its estimated start.

    Args:
        job: A job.
        forecast: ``QueueForecast``, as the scripts answer it.
        now_ms: Redis's clock.
    """
    position, start_ms = _read_forecast(forecast, now_ms)
    return job if position is None else replace(job, queue_position=position, estimated_start_ms=start_ms)


def _read_forecast(reply: Sequence[Any], now_ms: int) -> tuple[int | None, int | None]:
    """Return position and estimated start by Redis's clock; None where unknown."""
    forecast = QueueForecast._make(reply)
    position, rate = int(forecast.position), float(forecast.claims_per_s)
    if position <= 0:
        return None, None
    return position, now_ms + round((position - 1) / rate * 1000) if rate > 0 else None


def claim_from_row(row: ClaimRow, now_ms: int, payload: bytes) -> Claim:
    """Read a claim from its row of ``claim.lua``'s reply."""
    return Claim(
        id=row.id.decode(),
        token=row.token.decode(),
        priority=_PRIORITIES[row.priority],
        attempt=int(row.attempt),
        deadline_ms=int(row.deadline_ms),
        owner=row.owner.decode(),
        request_type=row.request_type.decode(),
        model=row.model.decode(),
        request_id=row.request_id.decode(),
        content_type=row.content_type.decode() or "application/json",
        context=orjson.loads(row.context) if row.context else {},
        ttl_s=int(row.ttl_s or 3600),
        created_ms=int(row.created_ms),
        due_ms=int(row.due_ms),
        webhook=row.webhook.decode(),
        reason=row.reason.decode(),
        started_ms=now_ms,
        payload=payload,
        payload_as=row.payload_as.decode(),
    )


def finish_args(
    claim: Claim, outcome: Outcome | None, events: Sequence[tuple[str, bytes]], flushed: int = -1
) -> list[Argument]:
    """Return the arguments of one item of ``finish.lua``; without an outcome only its events.

    Args:
        flushed: Events of this run that were written before these; -1: not counted, a call sent twice repeats them.
    """
    args: list[Argument] = [claim.id, claim.token]
    if outcome is None:
        args += ("", 0, "", "", "", "", "", "", "", "", "", 0)
    else:
        stored = outcome.stored
        if stored is None:
            data, encoding, size = outcome.result, "", len(outcome.result)
        else:
            data, encoding, size = stored.data, stored.encoding, stored.size
        args += (
            str(outcome.state),
            outcome.status_code,
            outcome.result_type if size else "",
            b"" if len(data) > LARGE_BYTES else data,
            orjson.dumps(outcome.error) if outcome.error is not None else "",
            orjson.dumps(outcome.meta) if outcome.meta else "",
            outcome.ledger,
            "1" if outcome.dead_letter else "",
            _answering_index(claim, outcome) if outcome.meta else "",
            outcome.history,
            encoding,
            size,
        )
    args += (flushed, len(events))
    for name, data in events:
        args += (name, data)
    return args


def retry_args(job_id: str, changes: RetryChanges, stored: StoredBody) -> list[Argument]:
    """Return the arguments of ``retry.lua``; a changed request body is as it is stored."""
    sets: list[int] = []
    if changes.model:
        sets += (index_of("model", changes.model), index_of("provider", provider_of(changes.model)))
    if changes.priority is not None:
        sets.append(index_of("priority", changes.priority))
    deadline_ms = 0 if changes.deadline_s is None else max(1, round(changes.deadline_s * 1000))
    body = (stored.data, stored.encoding, stored.size)
    return [job_id, changes.model, str(changes.priority or ""), deadline_ms, *body, changes.operation, *sets]


def _answering_index(claim: Claim, outcome: Outcome) -> str:
    """Return the number of the index set of the provider that answered, if it is not the one that was asked for."""
    provider = outcome.meta.get("provider")
    if not isinstance(provider, str) or provider == provider_of(claim.model):
        return ""
    return str(index_of("provider", provider))
