"""Waiting for outcomes and following events, thousands at a time, without asking over and over."""

import asyncio
from collections.abc import AsyncIterator, Callable

from redis.asyncio import Redis

from shared.errors import JobNotFound
from shared.jobs import keys
from shared.jobs.events import TERMINAL_EVENTS, EventLog
from shared.jobs.model import TERMINAL, Event, Job
from shared.jobs.signals import Signals
from shared.jobs.store import JobStore

# Messages can get lost with a connection that dies without a word; then this is how late somebody is.
LOOK_AGAIN_S = 15.0
_OUTCOMES = frozenset(state.encode() for state in TERMINAL)


class OutcomeWaiters:
    """Wakes whoever waits for a job; one per process.

    Args:
        store: Where jobs are read.
        events: Where their event logs are read.
        connect: Makes a client of its own for the one subscription, without a time limit on answers.
    """

    def __init__(self, store: JobStore, events: EventLog, connect: Callable[[], Redis]) -> None:
        self._store = store
        self._events = events
        self._signals = Signals(connect)

    async def wait(self, job_id: str, timeout_s: float) -> Job:
        """The job once it has ended, or as it stands when the time is over.

        Raises:
            JobNotFound: There is none.
            StoreUnavailable: No answer.
        """
        job = await self._get(job_id)
        if timeout_s <= 0 or not job.live:
            return job
        del job  # ten thousand wait at once: nothing of the job is kept meanwhile
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        with self._signals.watch(keys.signal(job_id), _OUTCOMES) as watch:
            while (left_s := until - loop.time()) > 0:
                await watch.due(min(left_s, LOOK_AGAIN_S))
                if not (job := await self._get(job_id)).live:
                    return job
                del job
        return await self._get(job_id)

    async def follow(self, job_id: str, after: str = "0") -> AsyncIterator[Event]:
        """A job's events after an id, those that were and those that come; ends after the one that ends the job.

        Raises:
            InvalidRequest: ``after`` is no event id.
            JobNotFound: There is none.
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
                    return  # the reader had seen the end before
                job = await self._store.get(job_id)
                ended = job is None or not job.live
                if not ended:
                    await watch.due(LOOK_AGAIN_S)

    async def aclose(self) -> None:
        """End the subscription."""
        await self._signals.aclose()

    async def _get(self, job_id: str) -> Job:
        job = await self._store.get(job_id)
        if job is None:
            raise JobNotFound(job_id)
        return job
