"""The job of a firing: made of a request once, when its schedule is created, and completed at each firing."""

from collections.abc import Mapping
from typing import Any

from shared.jobs.model import NewJob, Priority
from shared.schedules.keys import firing_job_id

LABEL = "schedule"
"""Name of the label that each job of a schedule has; the schedule's id is its value."""
LEAST_TTL_S = 60
"""Shortest lifetime of a result: longer than a turn, so that a repeated turn finds the job of the first."""


def to_json(new: NewJob) -> dict[str, Any]:
    """Return what of a job is the same at each firing."""
    return {
        "type": new.request_type,
        "model": new.model,
        "payload": new.payload.decode(),
        "context": {name: value for name, value in new.context.items() if name != "who"},
        "priority": str(new.priority),
        "ttl_s": max(new.ttl_s, LEAST_TTL_S),
        "delay_s": new.delay_s,
        "deadline_s": new.deadline_s,
        "webhook": new.webhook,
        "keep_payload": new.keep_payload,
        "labels": new.labels,
    }


def firing_scope(schedule_id: str) -> str:
    """Return the scope of the idempotency keys of a schedule's firings; no caller's own is like it."""
    return f"schedule\0{schedule_id}"


def job_of(schedule_id: str, stored: Mapping[str, Any], fire_ms: int, **of_owner: Any) -> NewJob:  # noqa: ANN401
    """Make the job of a firing.

    Args:
        schedule_id: The schedule.
        stored: As ``to_json`` made it.
        fire_ms: The firing, in Unix milliseconds; the same one always makes the same job.
        of_owner: Further fields: who owns the job, and what the owner may have now.
    """
    job_id = firing_job_id(schedule_id, fire_ms)
    return NewJob(
        id=job_id,
        request_id=job_id,
        request_type=stored["type"],
        model=stored["model"],
        payload=stored["payload"].encode(),
        priority=Priority(stored["priority"]),
        ttl_s=stored["ttl_s"],
        delay_s=stored["delay_s"],
        deadline_s=stored["deadline_s"],
        webhook=stored["webhook"],
        keep_payload=stored["keep_payload"],
        labels=(*(tuple(pair) for pair in stored["labels"]), (LABEL, schedule_id)),
        dedupe_scope=firing_scope(schedule_id),
        idempotency_key=str(fire_ms),
        fingerprint=job_id,  # the definition may change between two tries of one firing
        **of_owner,
    )
