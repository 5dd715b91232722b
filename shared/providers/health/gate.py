"""How many calls of a provider may be under way at once, with a bounded wait for the rest."""

import asyncio
from collections import deque
from collections.abc import Callable

from shared.errors import GatewayError


class Gate:
    """A counter with a queue; free passage costs an integer.

    Args:
        places: Calls inside at once.
        wait_s: Longest wait for a place.
        refusal: Makes what is raised when the wait was in vain.
    """

    __slots__ = ("_inside", "_limit", "_refusal", "_wait_s", "_waiting", "places")

    def __init__(self, places: int, wait_s: float, refusal: Callable[[], GatewayError]) -> None:
        self.places = places
        self._limit = places
        self._wait_s = wait_s
        self._refusal = refusal
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def inside(self) -> int:
        """Calls under way."""
        return self._inside

    @property
    def waiting(self) -> int:
        """Calls that wait for a place."""
        return len(self._waiting)

    @property
    def limit(self) -> int:
        """Calls that may be inside now: all places, or fewer for a while."""
        return self._limit

    def set_limit(self, limit: int) -> None:
        """Change the limit; who is inside stays, who waits comes in where there is room now."""
        self._limit = limit
        while self._waiting and self._inside < self._limit:
            self._inside += 1
            self._hand_on()

    async def enter(self, wait_s: float | None = None) -> None:
        """Take a place; whoever entered must leave.

        Args:
            wait_s: Longest wait, where it is less than the gate's own.

        Raises:
            GatewayError: The refusal, when no place was free in time or too many wait already.
        """
        if self._inside < self._limit:
            self._inside += 1
            return
        if len(self._waiting) >= self.places:
            raise self._refusal()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self._wait_s if wait_s is None else min(wait_s, self._wait_s)):
                await place
        except TimeoutError:
            if not place.done() or place.cancelled():
                raise self._refusal() from None
            # The place came in the same turn of the loop as the end of the wait: it is ours.
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()
            raise
        finally:
            if place in self._waiting:
                self._waiting.remove(place)

    def leave(self) -> None:
        """Give the place to who waits longest, or free it."""
        if self._waiting and self._inside <= self._limit:
            self._hand_on()
        else:
            self._inside -= 1

    def _hand_on(self) -> None:
        """Give a place that is counted already to who waits longest, or free it where nobody does."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._inside -= 1
