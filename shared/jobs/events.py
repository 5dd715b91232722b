"""A job's event log: what happened to it and what its run said, in order, bounded."""

import re
from collections.abc import Sequence

from shared.errors import InvalidRequest, JobNotFound
from shared.jobs import keys, records
from shared.jobs.model import Claim, Event
from shared.jobs.scripts import EngineScripts
from shared.store.commands import RedisCommands

TERMINAL_EVENTS = frozenset({"job.completed", "job.failed", "job.cancelled"})
_EVENT_ID = re.compile(r"\d{1,15}\Z", re.ASCII)


class EventLog:
    """Reads and writes event logs.

    Args:
        commands: The store.
    """

    def __init__(self, commands: RedisCommands) -> None:
        self._scripts = EngineScripts(commands)

    async def append(self, claim: Claim, events: Sequence[tuple[str, bytes]]) -> bool:
        """Add what a run says, as long as it holds the lease; names and JSON data.

        Returns:
            False when the lease was lost or the job has ended: nothing was written.

        Raises:
            StoreUnavailable: No answer.
        """
        return bool((await self._scripts.run("finish", records.finish_args(claim, None, events)))[0])

    async def read(self, job_id: str, after: str = "0", count: int = 500) -> list[Event]:
        """Events that came after an id, oldest first; the statuses among them have JSON of id, status, attempt, reason.

        Raises:
            InvalidRequest: ``after`` is no event id.
            JobNotFound: The job's id is none.
            StoreUnavailable: No answer.
        """
        if not keys.is_job_id(job_id):
            raise JobNotFound(job_id)
        if not _EVENT_ID.match(after):
            raise InvalidRequest(
                "Last-Event-ID is not the id of an event; send back an `id:` of this job's events, or leave it out.",
                param="Last-Event-ID",
            )
        first, lines = await self._scripts.run("events", (job_id, after, count), retry_safe=True)
        return [_event(int(first) + offset, line) for offset, line in enumerate(lines)]


def _event(number: int, line: bytes) -> Event:
    name, _, data = line.partition(b"\n")
    return Event(id=str(number), name=name.decode(), data=data)
