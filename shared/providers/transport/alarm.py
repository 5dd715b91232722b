"""One timer for a connection's whole life, because arming one per request costs more than parsing the answer."""

import asyncio
import math
from collections.abc import Callable


class Alarm:
    """Timer that fires at or before the requested time; the callback checks the clock and sets it again.

    A later time than the one already armed costs nothing: the early ring finds it and moves on.
    """

    __slots__ = ("_armed_at", "_handle", "_loop", "_on_ring")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_ring: Callable[[], None]) -> None:
        self._loop = loop
        self._on_ring = on_ring
        self._armed_at = math.inf
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at: float) -> None:
        """See to a ring no later than `at`, in loop time; infinity asks for none."""
        if at < self._armed_at:
            self.cancel()
            self._armed_at = at
            self._handle = self._loop.call_at(at, self._ring)

    def cancel(self) -> None:
        """Ring no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
            self._armed_at = math.inf

    def _ring(self) -> None:
        self._handle = None
        self._armed_at = math.inf
        self._on_ring()
