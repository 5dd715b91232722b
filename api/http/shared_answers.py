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
        self._answers: dict[str, tuple[float, asyncio.Future[Any], str]] = {}

    async def get(self, name: str, lifetime_s: float, make: Callable[[], Awaitable[Any]], *, version: str = "") -> Any:  # noqa: ANN401
        """Return the answer of that name, made now if there is none that is fresh.

        A failure is shared by those who wait for it, and not kept.

        Args:
            name: Of the answer.
            lifetime_s: How long it is fresh.
            make: Makes it.
            version: An answer of another version is not fresh.
        """
        known = self._answers.get(name)
        if known is not None and known[2] == version:
            began, answer, _ = known
            if not answer.done() or self._now() - began < lifetime_s:
                return await asyncio.shield(answer)
        made = asyncio.ensure_future(make())
        self._answers[name] = (self._now(), made, version)
        made.add_done_callback(lambda future: self._settle(name, future, version))
        return await asyncio.shield(made)

    def forget(self) -> None:
        """Drop what is known, so that the next caller gets a new answer."""
        self._answers.clear()

    def _settle(self, name: str, future: asyncio.Future[Any], version: str) -> None:
        if future.cancelled() or future.exception() is not None:
            self._answers.pop(name, None)
        else:
            self._answers[name] = (self._now(), future, version)
