"""Lanes and the choice between them; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

LANE = "lane"
"""In the context of a job that was submitted with patience: its ``JobLane``."""


class Lane(StrEnum):
    """The way on which a job is answered."""

    NOW = "now"
    """A usual call, as soon as a worker is free."""
    FLEX = "flex"
    """The provider's discounted service tier, which is slower and may refuse."""
    BATCH = "batch"
    """The provider's Batch API, gathered with other jobs."""
    LEAST_COST = "least_cost"
    """The cheapest target of the route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOption:
    """A lane as it is open to one job.

    Attributes:
        lane: The lane.
        cost: What the job is expected to cost there, micro-USD.
        time_s: Time within which it answers at the promised quantile, in seconds; None: not known.
        model: With ``LEAST_COST``, the target as ``provider/model``.
    """

    lane: Lane
    cost: int
    time_s: float | None
    model: str = ""


def promote_after_s(now: LaneOption, patience_s: float, margin_s: float) -> float:
    """Return how long a job may stay in another lane before it has to run now; below 0: not at all.

    Args:
        now: The lane ``NOW``.
        patience_s: Time in which the job is to be answered.
        margin_s: Time kept free besides that of a run.
    """
    return patience_s - (now.time_s or 0.0) - margin_s


def choose_lane(now: LaneOption, others: Iterable[LaneOption], *, patience_s: float, margin_s: float) -> LaneOption:
    """Choose the cheapest lane that answers in time and leaves time for a run after it.

    Args:
        now: The lane ``NOW``, which is always open.
        others: The other lanes that are open to the job.
        patience_s: Time in which the job is to be answered.
        margin_s: Time kept free besides that of a run.

    Returns:
        The lane: of several at the same cost the quickest; ``now`` unless another one is cheaper.
    """
    until_s = promote_after_s(now, patience_s, margin_s)
    in_time = [
        option for option in others if option.time_s is not None and option.time_s <= until_s and option.cost < now.cost
    ]
    return min(in_time, key=lambda option: (option.cost, option.time_s, option.lane, option.model), default=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLane:
    """The lane of one job, as its record has it.

    Attributes:
        lane: The lane that was chosen at its submit.
        saving: What it is expected to cost less than now, micro-USD.
        promote_ms: Unix milliseconds at which it runs now unless it is answered; 0: it runs now anyway.
        due_ms: Unix milliseconds at which its patience ends; 0: it has none.
        model: With ``LEAST_COST`` and ``BATCH``, the target as ``provider/model``.
        gathers: Whether it may share one upstream call with others, as embeddings do.
    """

    lane: Lane
    saving: int = 0
    promote_ms: int = 0
    due_ms: int = 0
    model: str = ""
    gathers: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        fields = {
            "name": str(self.lane),
            "saving": self.saving,
            "promote_ms": self.promote_ms,
            "due_ms": self.due_ms,
            "model": self.model,
            "gathers": int(self.gathers),
        }
        return {name: value for name, value in fields.items() if value}

    @classmethod
    def from_json(cls, stored: object) -> Self | None:
        """Read the stored form; None: the job was submitted without patience."""
        if not isinstance(stored, dict):
            return None
        return cls(
            lane=Lane(stored["name"]),
            saving=int(stored.get("saving", 0)),
            promote_ms=int(stored.get("promote_ms", 0)),
            due_ms=int(stored.get("due_ms", 0)),
            model=str(stored.get("model", "")),
            gathers=bool(stored.get("gathers")),
        )


def due_ms_of(context: Mapping[str, Any]) -> int:
    """Return the Unix milliseconds at which a job's patience ends, by the job's context; 0: it has none."""
    stored = context.get(LANE)
    return int(stored.get("due_ms", 0)) if isinstance(stored, dict) else 0
