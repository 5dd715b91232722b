"""Between the engine's values and what the scripts take and give; pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from shared.jobs import keys
from shared.jobs.model import Claim, Job, NewJob, Outcome, Priority, State, job_from_fields
from shared.store.commands import Argument

ANONYMOUS = "-"


def fingerprint(new: NewJob) -> str:
    """What makes two submits the same request."""
    if new.fingerprint:
        return new.fingerprint
    digest = hashlib.sha256(new.request_type.encode())
    digest.update(b"\0")
    digest.update(new.payload)
    return digest.hexdigest()


def submit_args(new: NewJob, max_queued: int) -> list[Argument]:
    """The arguments of ``submit.lua``."""
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
        new.payload,
        new.owner,
    ]
    for name, value in record_fields(new):
        if value:
            args += (name, value)
    return args


def repeat_args(new: NewJob) -> tuple[str, str, str, str]:
    """What a repeated submit is recognised by, the arguments of ``repeat.lua``."""
    same = fingerprint(new)
    scope = new.dedupe_scope or new.owner
    return (
        keys.idempotency(scope, new.idempotency_key) if new.idempotency_key else "",
        same,
        keys.dedupe(scope, same),
        "1" if new.blind_retry else "",
    )


def record_fields(new: NewJob) -> tuple[tuple[str, Argument], ...]:
    """The fields of a record that the submit decides; empty ones are left out of it."""
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


def job_as_submitted(new: NewJob, reply: Sequence[Any]) -> Job:
    """The job that ``submit.lua`` has just made, without reading it back."""
    created_ms = int(reply[1])
    due_ms = created_ms + round(new.delay_s * 1000)
    position, start_ms = _outlook(reply[2], created_ms)
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
        queue_position=position,
        estimated_start_ms=start_ms,
    )


def job_from_reply(job_id: str, flat: Sequence[bytes]) -> Job:
    """A job from what HGETALL gives."""
    return job_from_fields(job_id, dict(zip(flat[::2], flat[1::2], strict=True)))


def with_outlook(job: Job, outlook: Sequence[Any], now_ms: int) -> Job:
    """The job with its place in the queue and, where the queue's speed is known, its estimated start.

    Args:
        job: A job.
        outlook: Position (0: none) and claims per second, as the scripts give them.
        now_ms: Redis's clock.
    """
    position, start_ms = _outlook(outlook, now_ms)
    return job if position is None else replace(job, queue_position=position, estimated_start_ms=start_ms)


def _outlook(said: Sequence[Any], now_ms: int) -> tuple[int | None, int | None]:
    """Position and estimated start, by Redis's clock; None where there is none."""
    position, rate = int(said[0]), float(said[1])
    if position <= 0:
        return None, None
    return position, now_ms + round((position - 1) / rate * 1000) if rate > 0 else None


def claim_from_reply(row: Sequence[Any], now_ms: int, payload: bytes) -> Claim:
    """A claim from its row of ``claim.lua``'s reply."""
    return Claim(
        id=row[0].decode(),
        token=row[1].decode(),
        priority=Priority(row[2].decode()),
        attempt=int(row[3]),
        deadline_ms=int(row[4]),
        owner=row[5].decode(),
        request_type=row[6].decode(),
        model=row[7].decode(),
        request_id=row[8].decode(),
        content_type=row[9].decode() or "application/json",
        context=orjson.loads(row[10]) if row[10] else {},
        ttl_s=int(row[11] or 3600),
        created_ms=int(row[12]),
        due_ms=int(row[13]),
        webhook=row[14].decode(),
        reason=row[15].decode(),
        started_ms=now_ms,
        payload=payload,
    )


def finish_args(
    claim: Claim, outcome: Outcome | None, events: Sequence[tuple[str, bytes]], said: int = -1
) -> list[Argument]:
    """One item of ``finish.lua``'s arguments; without an outcome its events alone.

    Args:
        said: Events of this run that came before these; -1: nobody counts, a call sent twice doubles them.
    """
    args: list[Argument] = [claim.id, claim.token]
    if outcome is None:
        args += ("", 0, "", "", "", "", "", "")
    else:
        args += (
            str(outcome.state),
            outcome.status_code,
            outcome.result_type if outcome.result else "",
            outcome.result,
            orjson.dumps(outcome.error) if outcome.error is not None else "",
            orjson.dumps(outcome.meta) if outcome.meta else "",
            outcome.ledger,
            "1" if outcome.dead_letter else "",
        )
    args += (said, len(events))
    for name, data in events:
        args += (name, data)
    return args
