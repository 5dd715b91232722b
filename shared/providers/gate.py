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

    __slots__ = ("_inside", "_places", "_refusal", "_wait_s", "_waiting")

    def __init__(self, places: int, wait_s: float, refusal: Callable[[], GatewayError]) -> None:
        self._places = places
        self._wait_s = wait_s
        self._refusal = refusal
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def inside(self) -> int:
        """Calls under way."""
        return self._inside

    async def enter(self) -> None:
        """Take a place; whoever entered must leave.

        Raises:
            GatewayError: The refusal, when no place was free in time or too many wait already.
        """
        if self._inside < self._places:
            self._inside += 1
            return
        if len(self._waiting) >= self._places:
            raise self._refusal()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self._wait_s):
                await place
        except TimeoutError:
            raise self._refusal() from None
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()
            raise
        finally:
            if place in self._waiting:
                self._waiting.remove(place)

    def leave(self) -> None:
        """Give the place to who waits longest, or free it."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._inside -= 1
