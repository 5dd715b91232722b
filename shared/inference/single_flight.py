"""Identical calls in progress share one upstream call; each is admitted and booked as its caller's own."""

import asyncio
from math import inf

from shared.cache.flight_lock import FlightLock
from shared.cache.flights import Flights
from shared.cache.store import CacheStore, Slot
from shared.cache.use import CacheUse
from shared.errors import DeadlineExceeded
from shared.settings.cache import Collapse
from shared.telemetry.upstream import CacheWatch

# When so many upstream calls in turn brought nothing that may be shared, those that waited all call for themselves:
# a failing provider would else be asked by one after the other.
MOST_WAITS = 2


class SingleFlight:
    """Lets one of identical calls go on, and gives the others its answer.

    Args:
        store: The stored answers.
        watch: Notified of shared answers.
        collapse: ``off``, ``process`` or ``all``.
    """

    def __init__(self, store: CacheStore, watch: CacheWatch, collapse: Collapse) -> None:
        self._store = store
        self._watch = watch
        self._collapse = collapse
        self._flights = Flights()

    def leads(self, use: CacheUse, slot: Slot) -> bool:
        """Whether a call has nothing to wait for; others then wait for its answer until ``use.end``.

        ``join`` takes 6 us for its time limit, and nearly all calls have no need of it.
        """
        collapse = self._collapse
        if collapse == "process" and self._flights.find(slot.id) is None:
            if use.policy.store:
                use.flight = self._flights.start(slot.id, use.started)
            return True
        return collapse == "off"

    async def join(self, use: CacheUse, purged_ms: int, until: float) -> None:
        """Wait for an identical call in progress, or in another process; without one, the call leads (``leads``).

        Args:
            use: Of the call; ``use.entry`` becomes the answer that it shares, if there is one.
            purged_ms: When answers of this kind were last purged: calls that were sent before are not shared.
            until: Event loop time past which it waits no longer.

        Raises:
            DeadlineExceeded: It is over.
        """
        assert use.slot is not None  # noqa: S101 - the caller has looked it up
        if use.flight is not None or self._collapse == "off":
            return
        try:
            async with asyncio.timeout_at(None if until == inf else until):
                await self._join(use, use.slot, purged_ms)
        except TimeoutError:
            raise DeadlineExceeded("The request timed out while it waited for an identical one.") from None

    def _start(self, use: CacheUse, slot: Slot) -> None:
        if use.policy.store:
            use.flight = self._flights.start(slot.id, use.started)

    async def _join(self, use: CacheUse, slot: Slot, purged_ms: int) -> None:
        for _ in range(MOST_WAITS):
            flight = self._flights.find(slot.id)
            if flight is None:
                self._start(use, slot)
                await self._lead(use, slot)
                return
            if flight.started * 1000 < purged_ms or use.started - flight.started > use.policy.max_age_s:
                return
            if (entry := await flight.wait()) is not None:
                if flight.match.kind == "semantic":  # a stored answer, which all of them are served
                    use.kind, use.similarity, use.threshold = flight.match
                else:
                    self._share(use)
                use.entry = entry
                return

    async def _lead(self, use: CacheUse, slot: Slot) -> None:
        """Make sure that no other process calls; share the answer of one that does."""
        if self._collapse != "all" or use.flight is None:
            return
        lock = FlightLock(self._store, slot)
        found = await lock.acquire(use.policy.max_age_s)
        if found is None:
            use.flight.lock = lock
            return
        self._share(use)
        use.end(found.entry)
        use.entry = found.entry

    def _share(self, use: CacheUse) -> None:
        use.collapsed = True
        self._watch.collapsed()
        self._store.count("collapsed")
