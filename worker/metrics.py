"""What the engine counts; telemetry implements it, tests and tools may do without."""

from typing import Protocol


class EngineMetrics(Protocol):
    """Told of what happens in a worker, in its event loop; must be cheap."""

    def claimed(self, jobs: int, lane: str) -> None:
        """Jobs were claimed."""

    def waited(self, seconds: float, lane: str) -> None:
        """A job waited that long from when it could have been claimed."""

    def ran(self, seconds: float, state: str, request_type: str) -> None:
        """A run ended, and its outcome was recorded."""

    def renewed(self, leases: int) -> None:
        """Leases were prolonged."""

    def lost(self, leases: int) -> None:
        """Leases turned out to be gone."""

    def rerun(self, lane: str) -> None:
        """A job was claimed again after its worker was lost."""

    def deferred(self, reason: str) -> None:
        """A run gave its slot back until later."""

    def released(self, jobs: int) -> None:
        """Jobs were handed back at the end of a worker."""

    def running(self, jobs: int) -> None:
        """So many jobs are in hand now."""


class NoMetrics:
    """Counts nothing."""

    def claimed(self, jobs: int, lane: str) -> None:
        """See ``EngineMetrics``."""

    def waited(self, seconds: float, lane: str) -> None:
        """See ``EngineMetrics``."""

    def ran(self, seconds: float, state: str, request_type: str) -> None:
        """See ``EngineMetrics``."""

    def renewed(self, leases: int) -> None:
        """See ``EngineMetrics``."""

    def lost(self, leases: int) -> None:
        """See ``EngineMetrics``."""

    def rerun(self, lane: str) -> None:
        """See ``EngineMetrics``."""

    def deferred(self, reason: str) -> None:
        """See ``EngineMetrics``."""

    def released(self, jobs: int) -> None:
        """See ``EngineMetrics``."""

    def running(self, jobs: int) -> None:
        """See ``EngineMetrics``."""
