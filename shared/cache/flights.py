"""Single flight: identical calls in progress in this process share one upstream call.

The first of them leads: it runs as any call does, in its own task, and costs nothing more until another one joins.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from shared.cache.entry import CacheEntry
from shared.cache.flight_lock import FlightLock


class Match(NamedTuple):
    """How a request was found equal to that of a stored answer.

    Attributes:
        kind: ``exact``, ``near`` or ``semantic``.
        similarity: Of the two, 0 to 1.
        threshold: How similar they had to be.
    """

    kind: str = "exact"
    similarity: float = 1.0
    threshold: float = 0.0


EXACT = Match()


class Flight:
    """One upstream call, and the calls that wait for its answer.

    Args:
        started: When it was sent, Unix seconds.
        land: Called once, when it has ended.
    """

    __slots__ = ("_deserted", "_land", "_waiting", "ended", "lock", "match", "started")

    def __init__(self, started: float, land: Callable[[], object]) -> None:
        self.started = started
        self.ended = False
        self.match = EXACT
        self.lock: FlightLock | None = None
        self._land = land
        self._waiting: set[asyncio.Future[CacheEntry | None]] = set()
        self._deserted: Callable[[], None] | None = None

    async def wait(self) -> CacheEntry | None:
        """Wait for its answer; None: it has none that may be shared."""
        waiting: asyncio.Future[CacheEntry | None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            return await waiting
        finally:
            self._waiting.discard(waiting)
            if self._deserted is not None and not self._waiting and not self.ended:
                self.go_on(self._deserted)

    def end(self, entry: CacheEntry | None, match: Match = EXACT) -> None:
        """Give the calls that wait their answer; further calls do nothing.

        Args:
            entry: The answer; None: there is none that may be shared.
            match: How it was found, if it was stored.
        """
        if self.ended:
            return
        self.match = match
        self.ended = True
        self._land()
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(entry)
        if self.lock is not None:
            self.lock.release()

    def go_on(self, stop: Callable[[], None]) -> None:
        """Note that its own caller has left: it goes on while others wait.

        Args:
            stop: Called when nobody waits any more, at once if nobody does now.
        """
        if self.ended:
            return
        self._deserted = stop
        if self._waiting:
            return
        if self.lock is None:
            stop()
        else:
            self.lock.stop_when_unwanted(stop)


class Flights:
    """The upstream calls in progress in this process, by the id of their answer's entry."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}

    def find(self, entry_id: str) -> Flight | None:
        """Return the call in progress for an entry; None: there is none."""
        return self._flights.get(entry_id)

    def start(self, entry_id: str, started: float) -> Flight:
        """Note that a call begins for an entry, of which none is in progress."""
        flight = Flight(started, lambda: self._flights.pop(entry_id, None))
        self._flights[entry_id] = flight
        return flight
