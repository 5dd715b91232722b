"""A job's event log: its state changes and its run's events, in order, bounded."""

import re
from collections.abc import Sequence

from shared.errors import InvalidRequest, JobNotFound
from shared.jobs import keys, records
from shared.jobs.model import Claim, Event
from shared.jobs.scripts import EngineScripts
from shared.store.commands import RedisCommands
from shared.store.encryption import PLAIN, BodyCipher

TERMINAL_EVENTS = frozenset({"job.completed", "job.failed", "job.cancelled"})
_EVENT_ID = re.compile(r"\d{1,15}\Z", re.ASCII)


class EventLog:
    """Reads and writes event logs.

    Args:
        commands: The store.
        cipher: Seals what runs emit.
    """

    def __init__(self, commands: RedisCommands, cipher: BodyCipher = PLAIN) -> None:
        self._scripts = EngineScripts(commands)
        self._cipher = cipher

    async def append(self, claim: Claim, events: Sequence[tuple[str, bytes]]) -> bool:
        """Append events of a run, if it still holds the lease: names and JSON data.

        Returns:
            False when the lease was lost or the job has ended: nothing was written.

        Raises:
            StoreUnavailable: No answer.
        """
        if self._cipher.is_on:
            events = [(name, self._cipher.seal(data, _purpose(claim.id))) for name, data in events]
        return bool((await self._scripts.run("finish", records.finish_args(claim, None, events)))[0])

    async def read(self, job_id: str, after: str = "0", count: int = 500) -> list[Event]:
        """Return the events after an id, oldest first; state changes have JSON of id, status, attempt, reason.

        Raises:
            BodyUndecryptable: An event is sealed with another key, or changed.
            InvalidRequest: ``after`` is not an event id.
            JobNotFound: The job id is invalid.
            StoreUnavailable: No answer.
        """
        if not keys.is_job_id(job_id):
            raise JobNotFound(job_id)
        if not _EVENT_ID.match(after):
            raise InvalidRequest(
                "Last-Event-ID is not an event id; send the `id:` of one of this job's events, or omit the header.",
                param="Last-Event-ID",
            )
        first, lines = await self._scripts.run("events", (job_id, after, count), retry_safe=True)
        return [self._event(job_id, int(first) + offset, line) for offset, line in enumerate(lines)]

    def _event(self, job_id: str, number: int, line: bytes) -> Event:
        name, _, data = line.partition(b"\n")
        return Event(id=str(number), name=name.decode(), data=self._cipher.open(data, _purpose(job_id)))


def _purpose(job_id: str) -> str:
    return f"jobs/{job_id}/events"
