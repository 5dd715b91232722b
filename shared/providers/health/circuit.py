"""A circuit breaker: opens on the error rate of a sliding window or on failures in a row, half-opens with one probe.

Pure: time comes in as a parameter.
"""

from collections import deque
from collections.abc import Callable
from enum import StrEnum

from shared.settings.model import BreakerSettings

BUCKETS = 10
URGENT_S = 1.0
"""An open circuit lets a call pass after this time whose caller cannot wait until it is half-open."""


class CircuitState(StrEnum):
    """Whether calls pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Circuit:
    """One thing that failed: a provider's connections, or a model behind one of its keys.

    It is made at the first failure, so that what never fails costs nothing; what it counts begins there.
    Times are seconds of any clock that only goes forward.

    Args:
        on_change: Called after it opened or closed by what was counted here, not by what other processes reported.
    """

    __slots__ = (
        "_bad",
        "_bucket_until",
        "_entered_at",
        "_failed_at",
        "_good",
        "_in_a_row",
        "_on_change",
        "_past",
        "_probe_until",
        "_settings",
        "open_until",
    )

    def __init__(self, settings: BreakerSettings, on_change: Callable[["Circuit"], None]) -> None:
        self._settings = settings
        self._on_change = on_change
        self._good = 0
        self._bad = 0
        self._in_a_row = 0
        self._bucket_until = 0.0
        # (end of the bucket, good, bad), the oldest first.
        self._past: deque[tuple[float, int, int]] = deque(maxlen=BUCKETS)
        self._failed_at = float("-inf")
        self._probe_until = 0.0
        self._entered_at = float("-inf")
        self.open_until = 0.0

    @property
    def closed(self) -> bool:
        """Whether calls pass as if it were not there."""
        return not self.open_until

    def forgettable(self, now: float) -> bool:
        """Whether it is closed and nothing in its window speaks against it."""
        return not self.open_until and now - self._failed_at > self._settings.window_s

    def state(self, now: float) -> CircuitState:
        """Its state for people and metrics."""
        if not self.open_until:
            return CircuitState.CLOSED
        return CircuitState.OPEN if now < self.open_until else CircuitState.HALF_OPEN

    def wait_s(self, now: float) -> float:
        """Seconds until a call may pass; 0: now. While a probe is in progress, as long as that may take."""
        if not self.open_until:
            return 0.0
        return max(0.0, self.open_until - now, self._probe_until - now)

    def urgent_wait_s(self, now: float) -> float:
        """Seconds until a call may pass that cannot wait as long as ``wait_s``; one a second does."""
        return min(self.wait_s(now), max(0.0, self._entered_at + URGENT_S - now))

    def enter(self, now: float) -> None:
        """A call passes; through a half-open circuit it is the probe, and others wait for what it finds.

        A probe that is never heard of again (its caller hung up) holds them up for ``open_s`` and no longer. An urgent
        call through an open one closes it if it is answered, and changes nothing if it fails.
        """
        if not self.open_until:
            return
        self._entered_at = now
        if now >= self.open_until:
            self._probe_until = now + self._settings.open_s

    def succeeded(self, now: float) -> None:
        """A call was answered."""
        if now >= self._bucket_until:
            self._turn(now)
        self._good += 1
        self._in_a_row = 0
        if self.open_until:
            self.close()
            self._on_change(self)

    def failed(self, now: float) -> None:
        """A call failed in a way that speaks against the provider."""
        if now >= self._bucket_until:
            self._turn(now)
        self._bad += 1
        self._in_a_row += 1
        self._failed_at = now
        if self.open_until:
            if now >= self.open_until:
                self._open(now)  # the probe failed; what was in progress before it opened says nothing new
        elif self._too_many(now):
            self._open(now)

    def open(self, until: float) -> None:
        """Open it because another process found so."""
        self.open_until = max(self.open_until, until)

    def close(self) -> None:
        """Close it and forget what was counted: it deserves a fresh look."""
        self.open_until = self._probe_until = 0.0
        self._good = self._bad = self._in_a_row = 0
        self._past.clear()

    def counts(self, now: float) -> tuple[int, int]:
        """Calls and failures in the window."""
        since = now - self._settings.window_s
        recent = [bucket for bucket in self._past if bucket[0] > since]
        bad = self._bad + sum(bucket[2] for bucket in recent)
        return self._good + bad + sum(bucket[1] for bucket in recent), bad

    def _too_many(self, now: float) -> bool:
        if self._in_a_row >= self._settings.consecutive_failures:
            return True
        total, bad = self.counts(now)
        return total >= self._settings.min_requests and bad >= self._settings.error_rate * total

    def _open(self, now: float) -> None:
        self.open_until = now + self._settings.open_s
        self._probe_until = 0.0
        self._entered_at = now
        self._on_change(self)

    def _turn(self, now: float) -> None:
        """Begin a new bucket; one that saw nothing is not kept."""
        if self._good or self._bad:
            self._past.append((self._bucket_until, self._good, self._bad))
            self._good = self._bad = 0
        self._bucket_until = now + self._settings.window_s / BUCKETS
