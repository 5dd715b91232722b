"""A worker process over several shards: a leased worker for each, which share the process's slots."""

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, Self

from shared.jobs.queue import ClaimBatch
from shared.store.connection import connect_arq
from shared.store.multiplexed import MultiplexedClient
from worker.handle import RunHandle
from worker.leased_worker import LeasedWorker
from worker.metrics import NO_METRICS, EngineMetrics
from worker.options import WorkerOptions
from worker.runs import RunFunction, Runs
from worker.shard_slots import ShardSlots


class SharedRuns(Runs):
    """The running jobs of one shard, in slots of the process.

    Args:
        slots: The slots; further arguments are those of the plain class.
    """

    def __init__(self, slots: ShardSlots, *arguments: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments)
        self._slots = slots
        slots.runs = (*slots.runs, self)

    def _drop(self, handle: RunHandle) -> None:
        super()._drop(handle)
        self._slots.dispatch()


class ShardWorker(LeasedWorker):
    """Processes the jobs of one shard.

    Args:
        slots: The slots of the process.
        first: The worker of shard 0; None: this is it. It announces the process. Further arguments are those of the
            plain class.
    """

    def __init__(self, *arguments: Any, slots: ShardSlots, first: "ShardWorker | None", **named: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, make_runs=partial(SharedRuns, slots), **named)
        self._slots = slots
        self._first = first
        self._shard = self._commands.shard
        if first is not None:
            self._runs.capacity = first._runs.capacity  # noqa: SLF001 - of the same class

    @property
    def running(self) -> int:
        """How many jobs run in this process."""
        return self._slots.used

    def _background(self) -> dict[str, Coroutine[Any, Any, None]]:
        background = super()._background()
        if self._first is not None:
            background.pop("health").close()
        return background

    async def _claim(self, block_ms: int) -> ClaimBatch:
        """Claim the next jobs when it is this shard's turn."""
        slots, batch = self._slots, None
        turn = await slots.turn(self._shard, block_ms)
        try:
            batch = await self._source.claim(turn.count, turn.block_ms, slots.virtual)
        finally:
            slots.end(self._shard, turn, batch)
            if batch is None or not batch.claims:
                slots.dispatch()
        return batch

    def _take(self, batch: ClaimBatch) -> None:
        super()._take(batch)
        if batch.claims:
            self._slots.dispatch()


class ShardedWorker:
    """Processes the jobs of all shards until stopped. Create it with ``connect``, inside a running event loop.

    Args:
        workers: One for each shard.

    Attributes:
        ready: Whether jobs of all shards are claimed.
        workers: One for each shard.
    """

    def __init__(self, workers: Sequence[ShardWorker]) -> None:
        self.workers = tuple(workers)
        self.ready = Readiness([worker.ready for worker in workers])

    @classmethod
    def connect(
        cls, url: str, runs: Sequence[RunFunction], options: WorkerOptions, *, metrics: EngineMetrics | None = None
    ) -> Self:
        """Create the workers with their own connections, which connect on first use.

        Args:
            url: URL of the store.
            runs: Run one job, by its shard.
            options: Concurrency of the process, priorities and limits.
            metrics: Receives counts.

        Raises:
            ValueError: The URL is invalid.
        """
        slots = ShardSlots(options.concurrency, len(runs))
        workers: list[ShardWorker] = []
        for shard, run in enumerate(runs):
            workers.append(
                ShardWorker(
                    run,
                    url,
                    options,
                    commands=MultiplexedClient(url, shard=shard),
                    arq_redis=connect_arq(url, shard=shard),
                    metrics=metrics or NO_METRICS,
                    slots=slots,
                    first=workers[0] if workers else None,
                )
            )
        return cls(workers)

    def stop(self) -> None:
        """Claim no more jobs, let running ones finish within the grace period, release the others; twice: no grace."""
        for worker in self.workers:
            worker.stop()

    async def serve(self) -> None:
        """Process jobs until ``stop``; all connections are closed on return.

        Raises:
            Exception: What ended the worker of a shard; the others are stopped first.
        """
        tasks = [asyncio.create_task(worker.serve()) for worker in self.workers]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not all(worker.is_stopping for worker in self.workers):
                self.stop()
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for error in results:
            if isinstance(error, BaseException):
                raise error


class Readiness:
    """Whether several events are set."""

    def __init__(self, events: Sequence[asyncio.Event]) -> None:
        self._events = events

    def is_set(self) -> bool:
        """Tell whether all are."""
        return all(event.is_set() for event in self._events)

    async def wait(self) -> None:
        """Wait until all have been."""
        for event in self._events:
            await event.wait()
