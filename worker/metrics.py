"""The metrics that the engine reports; ``shared.telemetry.metrics`` implements them."""

from types import SimpleNamespace
from typing import Protocol, cast


class EngineMetrics(Protocol):
    """Receives what happens in a worker, in its event loop; implementations must be cheap."""

    def claimed(self, jobs: int, priority: str) -> None:
        """Count claimed jobs."""

    def waited(self, seconds: float, priority: str) -> None:
        """Record how long a job waited from when it could have been claimed."""

    def ran(self, seconds: float, state: str, request_type: str) -> None:
        """Record a run whose outcome is stored."""

    def renewed(self, leases: int) -> None:
        """Count renewed leases."""

    def lost(self, leases: int) -> None:
        """Count leases that were lost."""

    def rerun(self, priority: str) -> None:
        """Count a job that was claimed again after its worker was lost."""

    def deferred(self, reason: str) -> None:
        """Count a run that gave its slot back until later."""

    def released(self, jobs: int) -> None:
        """Count jobs that were handed back when the worker stopped."""

    def patience_ended(self, lane: str, on_time: bool, cost: int, listed: int) -> None:
        """Count a job with patience that ended, by the lane that answered it; costs in micro-USD."""

    def running(self, jobs: int) -> None:
        """Set how many jobs run in this worker."""


class LaneMetrics(Protocol):
    """Receives what becomes of jobs that can wait."""

    def lane_tried(self, lane: str, result: str, jobs: int = 1) -> None:
        """Count jobs that a lane answered, refused, or answered too late."""

    def patience_ended(self, lane: str, on_time: bool, cost: int, listed: int) -> None:
        """Count a job with patience that ended, by the lane that answered it; costs in micro-USD."""


def _ignore(*_: object) -> None:
    pass


NO_METRICS = cast(
    "EngineMetrics",
    SimpleNamespace(**{name: _ignore for name in vars(EngineMetrics) if not name.startswith("_")}),
)
"""Metrics that count nothing, for tests and tools."""
