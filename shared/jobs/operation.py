"""A bulk operation as it is stored, and what a dry run counts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

import orjson

from shared import clock
from shared.jobs.filters import MICRO, JobFilter
from shared.jobs.model import Priority, State
from shared.jobs.positions import START, Position

MAX_TALLY = 1_000
"""Most models, and most keys, that a dry run lists; the others are counted as ``other``."""
OTHER = "other"
_STATUSES = {
    State.QUEUED: "pending",
    State.DEFERRED: "pending",
    State.RUNNING: "processing",
}


class Action(StrEnum):
    """What an operation does with each job."""

    CANCEL = "cancel"
    RETRY = "retry"
    DELETE = "delete"
    REPRIORITIZE = "reprioritize"


class OperationStatus(StrEnum):
    """The status of an operation; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose jobs an operation may touch.

    Attributes:
        everyone: All callers' jobs.
        owner: Else those of this virtual key; empty: none.
    """

    everyone: bool = False
    owner: str = ""

    @property
    def listed(self) -> str | None:
        """The owner whose list is read; None: that of all jobs."""
        return None if self.everyone else self.owner

    def narrowed(self, wanted: JobFilter) -> JobFilter:
        """Return the filter within this scope."""
        return wanted if self.everyone else replace(wanted, keys=(self.owner,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """How far an operation has collected its jobs: the sets that hold them, and the position in the first of these."""

    sets: tuple[str, ...] = ()
    position: Position = START

    @classmethod
    def from_json(cls, raw: str) -> Self | None:
        """Read the stored form; None: it has not begun."""
        if not raw:
            return None
        stored = orjson.loads(raw)
        return cls(sets=tuple(stored["sets"]), position=(stored["score"], stored["id"]))

    def to_json(self) -> bytes:
        """Return the stored form."""
        score, member = (part.decode() if isinstance(part, bytes) else part for part in self.position)
        return orjson.dumps({"sets": self.sets, "score": score, "id": member})


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A stored operation. Times are Unix milliseconds by the store's clock, 0 where not reached.

    Attributes:
        maker: Who may see it: a virtual key's id, ``~admin``, or empty for anyone who has its id.
        scope: Whose jobs it touches.
        params: The filter as given: values by parameter.
        dead: Only jobs of the dead-letter list.
        priority: The new priority of ``reprioritize``.
        rate_per_s: Most jobs a second; 0: as fast as it goes.
        matched: Jobs that matched the filter when it began; grows while they are collected.
        done: Jobs to which the action was applied.
        skipped: Jobs that had changed meanwhile, or to which the action does not apply.
        failed: Jobs whose retry was refused.
        cost_micro_usd: What the jobs that are done were estimated to cost at most.
        error: Why the last job failed, or the operation itself: ``code`` and ``message``.
        counted: Whether all its jobs are collected.
        scan: How far they are; None: not begun.
        turn: Number of the turn that holds it: the fencing token.
        tries: Turns in a row in which nothing was done.
    """

    id: str
    maker: str = ""
    scope: Scope = Scope()
    action: Action
    params: Mapping[str, Sequence[str]] = field(default_factory=dict)
    dead: bool = False
    priority: Priority | None = None
    rate_per_s: float = 0.0
    status: OperationStatus = OperationStatus.QUEUED
    matched: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    cost_micro_usd: int = 0
    created_ms: int = 0
    started_ms: int = 0
    completed_ms: int = 0
    error: Mapping[str, Any] | None = None
    counted: bool = False
    scan: Scan | None = None
    turn: str = "0"
    tries: int = 0

    @classmethod
    def from_fields(cls, operation_id: str, flat: Sequence[bytes]) -> Self:
        """Read a record from the reply of HGETALL."""
        text = {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}

        def number(name: str) -> int:
            return int(text.get(name) or 0)

        return cls(
            id=operation_id,
            maker=text.get("maker", ""),
            scope=Scope(everyone=text.get("everyone") == "1", owner=text.get("owner", "")),
            action=Action(text["action"]),
            params=orjson.loads(text["filter"]),
            dead=text.get("dead") == "1",
            priority=Priority(text["priority"]) if text.get("priority") else None,
            rate_per_s=float(text.get("rate_per_s") or 0),
            status=OperationStatus(text["status"]),
            matched=number("matched"),
            done=number("done"),
            skipped=number("skipped"),
            failed=number("failed"),
            cost_micro_usd=number("cost_micro"),
            created_ms=number("created_ms"),
            started_ms=number("started_ms"),
            completed_ms=number("completed_ms"),
            error=orjson.loads(text["error"]) if text.get("error") else None,
            counted=text.get("counted") == "1",
            scan=Scan.from_json(text.get("scan", "")),
            turn=text.get("turn", "0"),
            tries=number("tries"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the document that callers see."""
        return {
            "id": self.id,
            "object": "operation",
            "action": str(self.action),
            "status": str(self.status),
            "filter": self.params,
            **({"dead": True} if self.dead else {}),
            **({"priority": str(self.priority)} if self.priority else {}),
            **({"rate_per_s": self.rate_per_s} if self.rate_per_s else {}),
            "matched": self.matched,
            "done": self.done,
            "skipped": self.skipped,
            "failed": self.failed,
            "cost_usd": self.cost_micro_usd / MICRO,
            "created_at": clock.rfc3339_ms(self.created_ms),
            "started_at": clock.rfc3339_ms(self.started_ms) if self.started_ms else None,
            "completed_at": clock.rfc3339_ms(self.completed_ms) if self.completed_ms else None,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class OperationTurn:
    """A lease on an operation, as it was when the lease was taken.

    Attributes:
        operation: The operation.
        left: Jobs that were collected and not looked at yet.
        now_ms: The store's time.
    """

    operation: Operation
    left: int
    now_ms: int


@dataclass(slots=True)
class Tally:
    """The jobs of a filter, counted by a dry run.

    Attributes:
        matched: How many there are.
        unpriced: Those without a known estimate, which the cost leaves out.
        cost_micro_usd: What they were estimated to cost at most.
    """

    matched: int = 0
    unpriced: int = 0
    cost_micro_usd: int = 0
    by_model: Counter[str] = field(default_factory=Counter)
    by_key: Counter[str] = field(default_factory=Counter)
    by_status: Counter[str] = field(default_factory=Counter)

    def add(self, state: bytes, model: bytes | None, owner: bytes | None, context: bytes | None) -> None:
        """Count a job, by fields of its record."""
        self.matched += 1
        status = State(state.decode())
        self.by_status[_STATUSES.get(status, str(status))] += 1
        self.by_model[(model or b"").decode()] += 1
        self.by_key[(owner or b"-").decode()] += 1
        estimate = (orjson.loads(context) if context else {}).get("estimate") or {}
        if "cost" not in estimate:
            self.unpriced += 1
        # The same sum as estimate_of in operations.lua.
        output_micro = estimate.get("output", 0) * estimate.get("output_rate", 0) / MICRO
        self.cost_micro_usd += estimate.get("cost", 0) + int(output_micro + 0.5)

    def include(self, other: "Tally") -> None:
        """Add the counts of other jobs."""
        self.matched += other.matched
        self.unpriced += other.unpriced
        self.cost_micro_usd += other.cost_micro_usd
        self.by_model += other.by_model
        self.by_key += other.by_key
        self.by_status += other.by_status

    def to_dict(self) -> dict[str, Any]:
        """Return the answer of a dry run."""
        return {
            "object": "operation.dry_run",
            "matched": self.matched,
            "by_status": dict(self.by_status),
            "by_model": _largest(self.by_model),
            "by_key": _largest(self.by_key),
            "estimated_cost_usd": self.cost_micro_usd / MICRO,
            "unpriced": self.unpriced,
        }


def _largest(counts: Counter[str]) -> dict[str, int]:
    largest = dict(counts.most_common(MAX_TALLY))
    if other := counts.total() - sum(largest.values()):
        largest[OTHER] = largest.get(OTHER, 0) + other
    return largest
