"""Replaces the worker of a process by one with another configuration; jobs are claimed without a pause."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from shared.providers.configuration import Configuration
from shared.settings.model import Settings
from worker.leased_worker import LeasedWorker
from worker.sharded_worker import ShardedWorker

logger = logging.getLogger("finops.worker")


AnyWorker = LeasedWorker | ShardedWorker


@dataclass(frozen=True, slots=True)
class Shift:
    """A worker, and the health of the providers that it calls."""

    worker: AnyWorker
    states: Callable[[], dict[str, dict[str, Any]]]


Begin = Callable[[Settings, AsyncExitStack], Awaitable[Shift]]


class Succession:
    """The workers of a process: one that claims jobs, and those before it, which finish theirs.

    Args:
        begin: Builds a worker for a configuration; the stack closes its parts.
        configuration: The settings in force.
    """

    def __init__(self, begin: Begin, configuration: Configuration) -> None:
        self._begin = begin
        self._configuration = configuration
        self._current: Shift | None = None
        self._serving: dict[asyncio.Task[None], AnyWorker] = {}
        self._reloading = asyncio.Lock()
        self._reloads: set[asyncio.Task[None]] = set()
        self._leaving: set[AnyWorker] = set()
        self._stopping = False

    def states(self) -> dict[str, dict[str, Any]]:
        """The health of the providers as the present worker sees it; empty before the first one."""
        return self._current.states() if self._current else {}

    def ready(self) -> bool:
        """Whether jobs are claimed now."""
        return self._current is not None and self._current.worker.ready.is_set()

    async def start(self, settings: Settings) -> None:
        """Start a worker, which claims jobs from now on; one that was stopped meanwhile ends at once."""
        async with AsyncExitStack() as building:
            self._current = await self._begin(settings, building)
            exits = building.pop_all()
        task = asyncio.create_task(_serve(self._current.worker, exits), name="finops-worker")
        self._serving[task] = self._current.worker
        if self._stopping:
            self._current.worker.stop()

    def stop(self) -> None:
        """Stop in order; a second call ends the grace period."""
        again, self._stopping = self._stopping, True
        for worker in self._serving.values():
            if again or worker not in self._leaving:
                worker.stop()

    def reload_soon(self) -> None:
        """Reload in the background, as a signal wants it."""
        task = asyncio.create_task(self.reload(), name="finops-reload")
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def reload(self) -> None:
        """Read the configuration again; if it is valid and differs, a new worker claims jobs, and the old one ends.

        The outcome is logged. An invalid configuration changes nothing.
        """
        async with self._reloading:
            try:
                settings, changes = await asyncio.to_thread(self._configuration.read)
            except ValueError as error:
                logger.error("configuration not reloaded, nothing has changed: %s", error)  # noqa: TRY400
                return
            if changes and not self._stopping:
                before = [worker for worker in self._serving.values() if worker not in self._leaving]
                try:
                    await self.start(settings)
                except Exception:
                    logger.exception("configuration not reloaded, nothing has changed: its worker does not start")
                    return
                self._configuration.settings = settings
                self._retire(before)
            logger.info("configuration reloaded", extra={"changes": [str(change) for change in changes]})

    def _retire(self, workers: Iterable[AnyWorker]) -> None:
        """Stop replaced workers; those of a process that stops have been, and a second stop would end their grace."""
        if not self._stopping:
            for worker in workers:
                self._leaving.add(worker)
                worker.stop()

    async def until_ended(self) -> None:
        """Wait until every worker has ended.

        Raises:
            Exception: What ended one of them; the others are stopped first.
        """
        while self._serving:
            done, _ = await asyncio.wait(self._serving, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                self._leaving.discard(self._serving.pop(task))
                if task.exception() is not None:
                    self.stop()
                    if self._serving:
                        await asyncio.wait(self._serving)
                    task.result()


async def _serve(worker: AnyWorker, exits: AsyncExitStack) -> None:
    async with exits:
        await worker.serve()
