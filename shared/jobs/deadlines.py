"""Many timeouts on one timer: thousands wait at once, and a timer handle of the loop for each costs 0.6 KiB."""

import asyncio
import math

# Timeouts are rounded up to a multiple, so that those of one tick share an entry.
TICK_S = 0.05


class Deadlines:
    """Futures of one event loop that get False as their result when they time out."""

    def __init__(self) -> None:
        self._due: dict[int, set[asyncio.Future[bool]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed = 0

    def add(self, future: asyncio.Future[bool], after_s: float) -> int:
        """Set a future's result to False after a time, unless it is done by then.

        Returns:
            The tick, for ``discard``.
        """
        tick = math.ceil((future.get_loop().time() + after_s) / TICK_S)
        self._due.setdefault(tick, set()).add(future)
        if self._timer is None or tick < self._armed:
            self._arm(tick)
        return tick

    def discard(self, tick: int, future: asyncio.Future[bool]) -> None:
        """Remove a future; one that was removed already is ignored."""
        futures = self._due.get(tick)
        if futures is None:
            return
        futures.discard(future)
        if not futures:
            del self._due[tick]
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = tick
        self._timer = asyncio.get_running_loop().call_at(tick * TICK_S, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = max(self._armed, int(asyncio.get_running_loop().time() / TICK_S))
        for tick in [tick for tick in self._due if tick <= now]:
            for future in self._due.pop(tick):
                if not future.done():
                    future.set_result(False)
        if self._due:
            self._arm(min(self._due))
