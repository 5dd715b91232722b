"""What ``/v1/async`` says of a job: one JSON object, the same for every request type."""

# ruff: noqa: D102 - the attributes of JobView say themselves; the job they belong to documents them

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson

from shared.clock import rfc3339_ms

_STATUSES: Mapping[str, str] = {
    "queued": "pending",
    "deferred": "pending",
    "running": "processing",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}


class PauseView(Protocol):
    """A pause that holds for a job; ``until_ms`` is None for one that lasts until it is resumed."""

    @property
    def scope(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def until_ms(self) -> int | None: ...


class JobView(Protocol):
    """A job as far as its envelope tells. Times are unix milliseconds, 0 where not reached."""

    @property
    def id(self) -> str: ...
    @property
    def request_id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def request_type(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def context(self) -> Mapping[str, Any]: ...
    @property
    def due_ms(self) -> int: ...
    @property
    def created_ms(self) -> int: ...
    @property
    def started_ms(self) -> int: ...
    @property
    def completed_ms(self) -> int: ...
    @property
    def expires_ms(self) -> int: ...
    @property
    def attempts(self) -> int: ...
    @property
    def status_code(self) -> int: ...
    @property
    def result(self) -> bytes: ...
    @property
    def result_type(self) -> str: ...
    @property
    def error(self) -> Mapping[str, Any] | None: ...
    @property
    def paused_by(self) -> Sequence[PauseView]: ...
    @property
    def meta(self) -> Mapping[str, Any]: ...
    @property
    def history(self) -> bytes: ...
    @property
    def label_pairs(self) -> Mapping[str, str]: ...
    @property
    def queue_position(self) -> int | None: ...
    @property
    def estimated_start_ms(self) -> int | None: ...


def envelope_status(state: str) -> str:
    """The envelope's word for a job's state."""
    return _STATUSES[state]


def states_of(status: str) -> tuple[str, ...]:
    """The job states that an envelope status means; empty for an unknown one."""
    return tuple(state for state, word in _STATUSES.items() if word == status)


def envelope(job: JobView, *, with_result: bool = True) -> dict[str, Any]:
    """The envelope, ready for ``orjson.dumps``; what is not known yet is absent."""
    ended = job.state in ("completed", "failed", "cancelled")
    envelope: dict[str, Any] = {
        "id": job.id,
        "object": "job",
        "request_id": job.request_id,
        "status": _STATUSES[job.state],
        "request_type": job.request_type,
        "model": job.model,
        "created_at": rfc3339_ms(job.created_ms),
        "attempts": job.attempts,
    }
    _add_operations(job, envelope, with_history=with_result)
    _add_times(job, envelope, ended=ended)
    if (lane := job.context.get("lane")) is not None:
        envelope |= lane_fields(lane, job.meta, ended=ended)
    if job.state == "queued" and job.queue_position is not None:
        envelope["queue_position"] = job.queue_position
    if ended and job.status_code:
        envelope["status_code"] = job.status_code
    if job.state == "completed" and with_result:
        envelope["result"] = _result(job)
        if not _is_json(job.result_type):
            envelope["result_type"] = job.result_type
    if job.error is not None and job.state in ("failed", "cancelled"):
        envelope["error"] = dict(job.error)
    return envelope


def lane_fields(lane: Mapping[str, Any], meta: Mapping[str, Any], *, ended: bool) -> dict[str, Any]:
    """Return what an envelope says of a job that can wait.

    Args:
        lane: As the job's context has it.
        meta: Of its outcome; empty while there is none.
        ended: Whether it has ended: it is not promoted any more.

    Returns:
        ``lane`` (of the answer, else the chosen one), ``expected_saving_usd``, and ``promote_at`` in RFC 3339.
    """
    fields = {"lane": meta.get("lane") or lane["name"], "expected_saving_usd": lane.get("saving", 0) / 1_000_000}
    if not ended and lane.get("promote_ms"):
        fields["promote_at"] = rfc3339_ms(lane["promote_ms"])
    return fields


def _add_operations(job: JobView, envelope: dict[str, Any], *, with_history: bool) -> None:
    if labels := job.label_pairs:
        envelope["labels"] = labels
    if job.paused_by:
        envelope["paused_by"] = [_pause(pause) for pause in job.paused_by]
    if with_history and job.history:
        envelope["history"] = [_history_entry(line) for line in job.history.split(b"\n")]


def _add_times(job: JobView, envelope: dict[str, Any], *, ended: bool) -> None:
    if job.state == "deferred" and (parked := job.context.get("parked")):
        envelope["waiting_for"] = parked["limit"]
        envelope["eta"] = rfc3339_ms(job.due_ms)
    if job.started_ms:
        envelope["started_at"] = rfc3339_ms(job.started_ms)
    elif job.state == "queued" and job.estimated_start_ms:
        envelope["estimated_start_at"] = rfc3339_ms(job.estimated_start_ms)
    if ended and job.completed_ms:
        envelope["completed_at"] = rfc3339_ms(job.completed_ms)
        if job.expires_ms:
            envelope["expires_at"] = rfc3339_ms(job.expires_ms)


def _pause(pause: PauseView) -> dict[str, Any]:
    until = None if pause.until_ms is None else rfc3339_ms(pause.until_ms)
    return {"scope": pause.scope, "reason": pause.reason, "until": until}


def _history_entry(line: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = orjson.loads(line)
    return {**entry, "started_at": rfc3339_ms(entry["started_at"])}


def _is_json(content_type: str) -> bool:
    return "json" in content_type.partition(";")[0]


def _result(job: JobView) -> Any:  # noqa: ANN401 - whatever the provider answered
    """JSON as it is, text as a string, all else as base64."""
    if _is_json(job.result_type):
        try:
            orjson.loads(job.result)
        except orjson.JSONDecodeError:
            return job.result.decode(errors="replace")
        return orjson.Fragment(job.result)
    if job.result_type.startswith("text/"):
        return job.result.decode(errors="replace")
    return base64.b64encode(job.result).decode()
