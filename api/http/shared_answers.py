"""Answers that many tabs ask for at the same time: made once, used by all for a moment."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any


class SharedAnswers:
    """Answers by name, each made at most once per lifetime however many callers want it.

    Args:
        now: Monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._answers: dict[str, tuple[float, asyncio.Future[Any]]] = {}

    async def get(self, name: str, lifetime_s: float, make: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401
        """Return the answer of that name, made now if there is none that is fresh.

        A failure is shared by those who wait for it, and not kept.
        """
        known = self._answers.get(name)
        if known is not None and (not known[1].done() or self._now() - known[0] < lifetime_s):
            return await asyncio.shield(known[1])
        made = asyncio.ensure_future(make())
        self._answers[name] = (self._now(), made)
        made.add_done_callback(lambda future: self._settle(name, future))
        return await asyncio.shield(made)

    def forget(self) -> None:
        """Drop what is known, so that the next caller gets a new answer."""
        self._answers.clear()

    def _settle(self, name: str, future: asyncio.Future[Any]) -> None:
        if future.cancelled() or future.exception() is not None:
            self._answers.pop(name, None)
        else:
            self._answers[name] = (self._now(), future)
