"""One line for an outage of the store, however many loops of the worker wait for it."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger("finops.worker")

REMIND_S = 30.0


class OutageLog:
    """Logs that the store is away: once at first, then every 30 s; and once that it is back.

    Args:
        monotonic: A clock in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._since: float | None = None
        self._logged = 0.0

    def away(self, error: Exception) -> None:
        """Record a failed attempt to reach the store."""
        now = self._monotonic()
        if self._since is None:
            self._since = self._logged = now
            log.warning("the store is away; nothing is lost, work goes on once it is back", extra=_reason(error))
        elif now - self._logged >= REMIND_S:
            self._logged = now
            log.warning("the store is still away, for %.0f s", now - self._since, extra=_reason(error))

    def back(self) -> None:
        """Record that the store answered."""
        if self._since is not None:
            log.warning("the store is back after %.0f s", self._monotonic() - self._since)
            self._since = None


def _reason(error: Exception) -> dict[str, str]:
    return {"reason": str(error) or type(error).__name__}
