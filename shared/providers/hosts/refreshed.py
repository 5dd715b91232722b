"""A value that expires, obtained by one task at a time and replaced ahead of its end."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

LEEWAY_S = 10.0
"""Before its end a value is not given out any more: the request has yet to arrive."""
RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Expiring(Generic[T]):
    """A value and the Unix second at which it ends."""

    value: T
    expires_at: float


class Refreshed(Generic[T]):
    """Serve a value while it is valid.

    Shortly before it expires the next one is obtained while the old one is still served. Callers wait only if there
    is no valid value, and then all for the same task. A failed refresh is tried again after ``RETRY_S``, or at once if
    there is no valid value.

    Args:
        ahead_s: Time before its expiry at which a value is replaced.
        now: Unix seconds.
    """

    def __init__(
        self,
        obtain: Callable[[], Awaitable[Expiring[T]]],
        *,
        ahead_s: float = 300.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._obtain = obtain
        self._ahead_s = ahead_s
        self._now = now
        self._held: Expiring[T] | None = None
        self._task: asyncio.Task[Expiring[T]] | None = None
        self._not_before = 0.0

    async def get(self) -> T:
        """The value.

        Raises:
            Exception: What ``obtain`` raises, if no earlier value is valid.
        """
        now, held = self._now(), self._held
        if held is not None and now < held.expires_at - self._ahead_s:
            return held.value
        if held is not None and now < held.expires_at - LEEWAY_S:
            if now >= self._not_before:
                self._refresh()
            return held.value
        # One caller that gives up must not take the others' answer away.
        return (await asyncio.shield(self._refresh())).value

    async def aclose(self) -> None:
        """Stop a refresh in progress."""
        task = self._task
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    def _refresh(self) -> asyncio.Task[Expiring[T]]:
        if self._task is None:
            self._task = asyncio.create_task(self._replace())
            self._task.add_done_callback(self._finished)
        return self._task

    async def _replace(self) -> Expiring[T]:
        obtained = await self._obtain()
        self._held = obtained
        return obtained

    def _finished(self, task: asyncio.Task[Expiring[T]]) -> None:
        self._task = None
        if task.cancelled() or task.exception() is not None:
            self._not_before = self._now() + RETRY_S
