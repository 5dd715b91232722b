"""Limit a provider's concurrent calls, with a bounded wait for a slot."""

import asyncio
from collections import deque
from collections.abc import Callable

from shared.errors import GatewayError


class Gate:
    """A counter with a queue; entering without contention costs an increment.

    Args:
        slots: Maximum concurrent calls.
        wait_s: Longest wait for a slot.
        refusal: Creates the error that is raised when no slot became free.
    """

    __slots__ = ("_inside", "_limit", "_refusal", "_wait_s", "_waiting", "slots")

    def __init__(self, slots: int, wait_s: float, refusal: Callable[[], GatewayError]) -> None:
        self.slots = slots
        self._limit = slots
        self._wait_s = wait_s
        self._refusal = refusal
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def inside(self) -> int:
        """Calls in progress."""
        return self._inside

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return len(self._waiting)

    @property
    def limit(self) -> int:
        """Current limit: all slots, or fewer while the provider is throttled."""
        return self._limit

    def set_limit(self, limit: int) -> None:
        """Change the limit; calls in progress stay, waiting ones enter if there is room."""
        self._limit = limit
        while self._waiting and self._inside < self._limit:
            self._inside += 1
            self._hand_on()

    def enter_at_once(self) -> bool:
        """Take a slot if one is free, and return whether one was."""
        if self._inside >= self._limit:
            return False
        self._inside += 1
        return True

    async def enter(self, wait_s: float | None = None) -> None:
        """Take a slot; every ``enter`` needs a ``leave``.

        Args:
            wait_s: Longest wait, where it is less than the gate's own.

        Raises:
            GatewayError: The refusal, when no slot was free in time or too many wait already.
        """
        if self.enter_at_once():
            return
        if len(self._waiting) >= self.slots:
            raise self._refusal()
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(slot)
        try:
            async with asyncio.timeout(self._wait_s if wait_s is None else min(wait_s, self._wait_s)):
                await slot
        except TimeoutError:
            if not slot.done() or slot.cancelled():
                raise self._refusal() from None
            # The slot came in the same turn of the loop as the end of the wait: it is ours.
        except asyncio.CancelledError:
            if slot.done() and not slot.cancelled():
                self.leave()
            raise
        finally:
            if slot in self._waiting:
                self._waiting.remove(slot)

    def leave(self) -> None:
        """Pass the slot to the longest waiter, or free it."""
        if self._waiting and self._inside <= self._limit:
            self._hand_on()
        else:
            self._inside -= 1

    def _hand_on(self) -> None:
        """Pass on a slot that is counted already to the longest waiter, or free it."""
        while self._waiting:
            slot = self._waiting.popleft()
            if not slot.done():
                slot.set_result(None)
                return
        self._inside -= 1
