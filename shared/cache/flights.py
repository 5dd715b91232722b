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
        entry_id: Of its answer's entry.
        started: When it was sent, Unix seconds.
        flights: Those in progress, which it leaves when it has ended.
    """

    # The class's until they are set: most flights are alone, and only begin and end.
    ended = False
    match = EXACT
    lock: FlightLock | None = None
    _waiting: set[asyncio.Future[CacheEntry | None]] | None = None
    _deserted: Callable[[], None] | None = None

    def __init__(self, entry_id: str, started: float, flights: dict[str, "Flight"]) -> None:
        self._entry_id = entry_id
        self.started = started
        self._flights = flights

    async def wait(self) -> CacheEntry | None:
        """Wait for its answer; None: it has none that may be shared."""
        waiting: asyncio.Future[CacheEntry | None] = asyncio.get_running_loop().create_future()
        others = self._waiting = self._waiting or set()
        others.add(waiting)
        try:
            return await waiting
        finally:
            others.discard(waiting)
            if self._deserted is not None and not others and not self.ended:
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
        self._flights.pop(self._entry_id, None)
        for waiting in self._waiting or ():
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
        flight = self._flights[entry_id] = Flight(entry_id, started, self._flights)
        return flight
