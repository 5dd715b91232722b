"""Many time limits on one timer: thousands wait at once, and a timer of the loop for each costs 0.6 KiB."""

import asyncio
import math

# Times are rounded up to it, so that those of one moment share an entry.
TICK_S = 0.05


class Deadlines:
    """Futures that are to be settled when their time is over; of one event loop."""

    def __init__(self) -> None:
        self._due: dict[int, set[asyncio.Future[bool]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed = 0

    def add(self, future: asyncio.Future[bool], after_s: float) -> int:
        """Have a future say False after a time, unless it is settled by then.

        Returns:
            What ``discard`` is to be told.
        """
        tick = math.ceil((future.get_loop().time() + after_s) / TICK_S)
        self._due.setdefault(tick, set()).add(future)
        if self._timer is None or tick < self._armed:
            self._arm(tick)
        return tick

    def discard(self, tick: int, future: asyncio.Future[bool]) -> None:
        """Forget a future; one that is forgotten already does not matter."""
        fellows = self._due.get(tick)
        if fellows is None:
            return
        fellows.discard(future)
        if not fellows:
            del self._due[tick]
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = tick
        self._timer = asyncio.get_running_loop().call_at(tick * TICK_S, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = max(self._armed, int(asyncio.get_running_loop().time() / TICK_S))
        for tick in [tick for tick in self._due if tick <= now]:
            for future in self._due.pop(tick):
                if not future.done():
                    future.set_result(False)
        if self._due:
            self._arm(min(self._due))
