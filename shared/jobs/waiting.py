"""Waits for outcomes and follows events, thousands at a time, without polling."""

import asyncio
from collections.abc import AsyncIterator, Callable

from redis.asyncio import Redis

from shared.errors import JobNotFound
from shared.jobs import keys
from shared.jobs.events import TERMINAL_EVENTS, EventLog
from shared.jobs.model import TERMINAL, Event, Job
from shared.jobs.signals import Signals
from shared.jobs.store import JobStore

# A message can be lost with a connection that dies silently; then a waiter is at most this late.
RECHECK_S = 15.0
_OUTCOMES = frozenset(state.encode() for state in TERMINAL)


class OutcomeWaiters:
    """Wakes the waiters of jobs; one per process.

    Args:
        store: Reads jobs.
        events: Reads event logs.
        connect: Creates a client for the subscription alone, without a read timeout.
    """

    def __init__(self, store: JobStore, events: EventLog, connect: Callable[[], Redis]) -> None:
        self._store = store
        self._events = events
        self._signals = Signals(connect)

    async def wait(self, job_id: str, timeout_s: float) -> Job:
        """Return the job once it has ended, or its current state at the timeout.

        Raises:
            JobNotFound: It does not exist.
            StoreUnavailable: No answer.
        """
        job = await self._get(job_id)
        if timeout_s <= 0 or not job.live:
            return job
        del job  # ten thousand wait at once: keep nothing of the job meanwhile
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        with self._signals.watch(keys.signal(job_id), _OUTCOMES) as watch:
            while (left_s := until - loop.time()) > 0:
                await watch.due(min(left_s, RECHECK_S))
                if not (job := await self._get(job_id)).live:
                    return job
                del job
        return await self._get(job_id)

    async def follow(self, job_id: str, after: str = "0") -> AsyncIterator[Event]:
        """Yield a job's events after an id, past and future ones; ends after the terminal event.

        Raises:
            InvalidRequest: ``after`` is not an event id.
            JobNotFound: It does not exist.
            StoreUnavailable: No answer.
        """
        await self._get(job_id)
        with self._signals.watch(keys.signal(job_id)) as watch:
            ended = False
            while True:
                events = await self._events.read(job_id, after)
                for event in events:
                    yield event
                    after = event.id
                    if event.name in TERMINAL_EVENTS:
                        return
                if events:
                    continue
                if ended:
                    return  # the reader had the terminal event already
                job = await self._store.get(job_id)
                ended = job is None or not job.live
                if not ended:
                    await watch.due(RECHECK_S)

    async def aclose(self) -> None:
        """End the subscription."""
        await self._signals.aclose()

    async def _get(self, job_id: str) -> Job:
        job = await self._store.get(job_id)
        if job is None:
            raise JobNotFound(job_id)
        return job
