"""Fresh answers fetched in the background, for stored ones that are served past their time to live."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from shared.cache.use import CacheUse
from shared.errors import GatewayError
from shared.inference.call import Answer, AnswerStream, Call

MOST_AT_ONCE = 64

logger = logging.getLogger("finops.cache")


class Answering(Protocol):
    """Answers calls; ``Inference``."""

    async def answer(self, call: Call) -> Answer:
        """Return the complete answer."""
        ...

    async def stream(self, call: Call) -> AnswerStream:
        """Return the answer while it arrives."""
        ...


class Refreshes:
    """Runs one refresh an entry; beyond ``MOST_AT_ONCE`` of them, later hits try again.

    Args:
        written: Waits until what is to be stored is written: until then the entry is still the old one.
    """

    def __init__(self, written: Callable[[], Awaitable[None]]) -> None:
        self._written = written
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, call: Call, use: CacheUse, answering: Answering) -> None:
        """Make a call again, as its caller's own and at its cost.

        Args:
            call: The call that a stored answer is served to.
            use: How it uses the cache.
            answering: Makes the call; it stores its answer.
        """
        assert use.slot is not None  # noqa: S101 - it was looked up
        entry_id = use.slot.id
        if entry_id in self._tasks or len(self._tasks) >= MOST_AT_ONCE:
            return
        policy = replace(use.policy, look=False, reload=True, debug=False)
        again = replace(
            call,
            cache=CacheUse(policy=policy, scope=use.scope),
            job_id="",
            defers=False,
            deadline=None,
            begin_by=None,
            attempt_log=None,
            presence=None,
        )
        task = asyncio.get_running_loop().create_task(self._refresh(again, answering), name="finops-cache-refresh")
        self._tasks[entry_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(entry_id, None))

    async def aclose(self) -> None:
        """Cancel what is in progress."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _refresh(self, call: Call, answering: Answering) -> None:
        try:
            if call.stream:
                async for _ in await answering.stream(call):
                    pass
            else:
                await answering.answer(call)
        except GatewayError as error:
            logger.info("a stored answer could not be refreshed: %s", error.code or error.type)
        await self._written()
