"""A schedule as it is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple, Self, cast

import orjson

from shared import clock
from shared.errors import GatewayError
from shared.schedules.times import CatchUp, Timing

MAX_ACTIVE = 1000
"""Most jobs of a schedule that may be live at once, where ``max_active`` bounds them."""


class Status(StrEnum):
    """Whether a schedule fires."""

    ACTIVE = "active"
    PAUSED = "paused"


class SkipReason(NamedTuple):
    """Why a firing did not become a job: a code for programs, a text for people."""

    code: str
    message: str

    @classmethod
    def of(cls, error: GatewayError) -> Self:
        """Return the reason that an error gives."""
        return cls(error.code or error.type, error.message)

    def to_json(self) -> bytes:
        """Return what is stored, with the current time."""
        return orjson.dumps({"code": self.code, "message": self.message, "at": clock.rfc3339(clock.now())})


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A stored schedule. Times are Unix milliseconds by the store's clock, 0 where not reached.

    Attributes:
        owner: Id of the virtual key that made it; its jobs are this key's. Empty: made without a key.
        timing: When it fires.
        request: ``type``, ``body`` and ``headers`` as given.
        job: The job of a firing, as the submit of this request would have made it (``JobTemplate.to_json``).
        catch_up: What becomes of missed firings.
        max_active: Most jobs of it that may be live at once; 0: any number.
        paused_reason: Why it is paused, unless its owner did it.
        next_ms: The next firing; 0: there is none.
        last_ms: The time of the last firing that became a job.
        fired: Firings that became jobs.
        skipped: Firings that did not: missed, refused by a limit, or ``max_active`` jobs were live.
        last_error: Why the last firing was skipped: ``code``, ``message`` and ``at``; None: it was not.
        live_jobs: Jobs of it that were live at the last firing; only with ``max_active``.
        turn: Number of the turn that holds it: the fencing token.
        tries: Turns in a row that did not end in order.
    """

    id: str
    owner: str = ""
    name: str = ""
    timing: Timing
    request: Mapping[str, Any]
    job: Mapping[str, Any]
    catch_up: CatchUp = "skip"
    max_active: int = 0
    status: Status = Status.ACTIVE
    paused_reason: str = ""
    created_ms: int = 0
    updated_ms: int = 0
    next_ms: int = 0
    last_ms: int = 0
    last_job_id: str = ""
    fired: int = 0
    skipped: int = 0
    last_error: Mapping[str, Any] | None = None
    live_jobs: tuple[str, ...] = field(default=())
    turn: str = "0"
    tries: int = 0

    @classmethod
    def from_fields(cls, schedule_id: str, fields: Mapping[bytes, bytes]) -> Self:
        """Read a record."""
        text = {name.decode(): value.decode() for name, value in fields.items()}

        def number(name: str) -> int:
            return int(text.get(name) or 0)

        return cls(
            id=schedule_id,
            owner=text.get("owner", ""),
            name=text.get("name", ""),
            timing=Timing(
                cron=text.get("cron", ""),
                every_s=float(text.get("every_s") or 0),
                timezone=text.get("timezone") or "UTC",
                anchor_ms=number("anchor_ms"),
            ),
            request=orjson.loads(text["request"]),
            job=orjson.loads(text["job"]),
            catch_up=cast("CatchUp", text.get("catch_up") or "skip"),
            max_active=number("max_active"),
            status=Status(text["status"]),
            paused_reason=text.get("paused_reason", ""),
            created_ms=number("created_ms"),
            updated_ms=number("updated_ms"),
            next_ms=number("next_ms"),
            last_ms=number("last_ms"),
            last_job_id=text.get("last_job_id", ""),
            fired=number("fired"),
            skipped=number("skipped"),
            last_error=orjson.loads(text["last_error"]) if text.get("last_error") else None,
            live_jobs=tuple(text.get("live_jobs", "").split()),
            turn=text.get("turn", "0"),
            tries=number("tries"),
        )

    def resumed(self) -> Self:
        """Return it as active."""
        return replace(self, status=Status.ACTIVE)

    def definition(self) -> dict[str, str | int | float | bytes]:
        """Return the fields of the record that its owner chooses."""
        return {
            "name": self.name,
            "cron": self.timing.cron,
            "every_s": self.timing.every_s or "",
            "timezone": self.timing.timezone,
            "anchor_ms": self.timing.anchor_ms,
            "request": orjson.dumps(self.request),
            "job": orjson.dumps(self.job),
            "catch_up": self.catch_up,
            "max_active": self.max_active,
        }

    def to_dict(self, *, with_owner: bool = False) -> dict[str, Any]:
        """Return the document that callers see; ``key``, the owner, only for administrators."""
        timing = self.timing
        every_s = int(timing.every_s) if timing.every_s == int(timing.every_s) else timing.every_s
        return {
            "id": self.id,
            "object": "schedule",
            "name": self.name or None,
            "status": str(self.status),
            **({"paused_reason": self.paused_reason} if self.paused_reason else {}),
            **({"cron": timing.cron, "timezone": timing.timezone} if timing.cron else {"every_s": every_s}),
            "request": self.request,
            "catch_up": self.catch_up,
            "max_active": self.max_active or None,
            "created_at": clock.rfc3339_ms(self.created_ms),
            "updated_at": clock.rfc3339_ms(self.updated_ms),
            "next_run_at": clock.rfc3339_ms(self.next_ms) if self.next_ms else None,
            "last_run_at": clock.rfc3339_ms(self.last_ms) if self.last_ms else None,
            "last_job_id": self.last_job_id or None,
            "fired": self.fired,
            "skipped": self.skipped,
            "last_error": self.last_error,
            **({"key": self.owner or None} if with_owner else {}),
        }
