"""The store: what is known of jobs, and how they end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.errors import JobLive, JobNotFound, RetryRefused
from shared.jobs import keys, records
from shared.jobs.model import Claim, Job, Outcome, Priority, State, job_from_fields
from shared.jobs.scripts import EngineScripts
from shared.store.commands import Argument, RedisCommands

SUMMARY_FIELDS = (
    "owner", "type", "request_id", "priority", "ttl_s", "created_ms", "due_ms", "started_ms", "completed_ms",
    "expires_ms", "deadline_ms", "attempts", "status_code", "result_type", "error", "reason",
)  # fmt: skip
_SUMMARY_NAMES = tuple(name.encode() for name in ("state", "model", *SUMMARY_FIELDS))


@dataclass(frozen=True, slots=True)
class Finish:
    """What a run has to say: its end, or with no outcome events alone.

    Attributes:
        claim: Whose.
        outcome: The end; None while it goes on.
        events: Names and JSON data that come before it.
        said: Events of this run that were sent before these, so that a write sent twice says nothing twice; -1: nobody
            counts.
    """

    claim: Claim
    outcome: Outcome | None
    events: Sequence[tuple[str, bytes]] = ()
    said: int = -1


@dataclass(frozen=True, slots=True)
class JobPage:
    """Part of a list of jobs, newest first, without results; the cursor of the next page is the last one's id."""

    jobs: tuple[Job, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class PriorityStats:
    """One priority's queue: jobs that could start now, and since when the oldest of them could."""

    depth: int
    oldest_age_s: float


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The queue at one moment; ``callers``: waiting jobs of the thousand callers with most."""

    priorities: dict[Priority, PriorityStats]
    deferred: int
    running: int
    dead: int
    callers: dict[str, int]


class JobStore:
    """Reads jobs and ends them.

    Args:
        commands: The store.
    """

    def __init__(self, commands: RedisCommands) -> None:
        self._scripts = EngineScripts(commands)

    async def get(self, job_id: str) -> Job | None:
        """A job as it stands, or None when there is none (any more). One round trip.

        Raises:
            StoreUnavailable: No answer.
        """
        if not keys.is_job_id(job_id):
            return None
        reply = await self._scripts.run("get", [job_id], retry_safe=True)
        if reply is None:
            return None
        job = records.job_from_reply(job_id, reply[0])
        return records.with_outlook(job, reply[1], int(reply[2])) if len(reply) > 2 else job

    async def payload(self, job_id: str) -> bytes | None:
        """The request body, while it is kept: of live and failed jobs, and of those that asked for it.

        Raises:
            StoreUnavailable: No answer.
        """
        if not keys.is_job_id(job_id):
            return None
        body: bytes | None = await self._scripts.execute("GET", keys.payload(job_id), retry_safe=True)
        return body

    async def finish(self, claim: Claim, outcome: Outcome, events: Sequence[tuple[str, bytes]] = ()) -> bool:
        """Record how a run ended, with everything that follows from it, atomically.

        Returns:
            False when the lease was lost or the job had ended: nothing was written.

        Raises:
            StoreUnavailable: No answer; it may be sent again.
        """
        return (await self.finish_many([Finish(claim, outcome, events)]))[0]

    async def finish_many(self, items: Sequence[Finish]) -> list[bool]:
        """Record what several runs have to say in one write; the answers are in the order of the items.

        Raises:
            StoreUnavailable: No answer; outcomes, and events that are counted, may be sent again.
        """
        args: list[Argument] = []
        for item in items:
            args += records.finish_args(item.claim, item.outcome, item.events, item.said)
        return [bool(answer) for answer in await self._scripts.run("finish", args)]

    async def cancel(self, job_id: str) -> Job:
        """End a live job as cancelled; a job that has ended is given back as it is.

        Raises:
            JobNotFound: There is none.
            StoreUnavailable: No answer.
        """
        _refuse_other_names(job_id)
        reply = await self._scripts.run("cancel", [job_id], retry_safe=True)
        if reply is None:
            raise JobNotFound(job_id)
        return records.job_from_reply(job_id, reply)

    async def delete(self, job_id: str) -> bool:
        """Remove all of a job that has ended.

        Returns:
            False when there was none.

        Raises:
            JobLive: It has not ended; cancel it first.
            StoreUnavailable: No answer.
        """
        if not keys.is_job_id(job_id):
            return False
        answer = await self._scripts.run("delete", [job_id])
        if answer == b"live":
            raise JobLive(f"Job {job_id} has not ended; cancel it before you delete it.")
        return bool(answer == b"deleted")

    async def retry(self, job_id: str) -> Job:
        """Put a failed job back into the queue, with all its attempts and without its deadline.

        Raises:
            JobNotFound: There is none, or its request body is gone.
            RetryRefused: It has not failed.
            StoreUnavailable: No answer.
        """
        _refuse_other_names(job_id)
        reply = await self._scripts.run("retry", [job_id])
        if reply == b"gone":
            raise JobNotFound(job_id)
        if isinstance(reply, bytes):
            raise RetryRefused(f"Job {job_id} is {reply.decode()}; only failed jobs can be retried.")
        return records.job_from_reply(job_id, reply)

    async def list(
        self, owner: str | None, *, state: State | None = None, model: str = "", after: str = "", limit: int = 20
    ) -> JobPage:
        """An owner's jobs, newest first; with None everybody's.

        Args:
            owner: Whose; jobs submitted without a key are in nobody's list.
            state: Only these.
            model: Only of this model.
            after: The id that the page before ended with.
            limit: 1 to 1000.

        Raises:
            JobNotFound: The cursor is not in the list (any more).
            StoreUnavailable: No answer.
        """
        if owner == "":
            return JobPage((), has_more=False)
        set_key = keys.ALL_JOBS if owner is None else keys.owner_jobs(owner)
        return await self._page(set_key, str(state or ""), model, after, limit)

    async def dead(self, *, after: str = "", limit: int = 20) -> JobPage:
        """The dead-letter list, newest first.

        Raises:
            JobNotFound: The cursor is not in the list (any more).
            StoreUnavailable: No answer.
        """
        return await self._page(keys.DEAD, "", "", after, limit)

    async def stats(self) -> QueueStats:
        """Depths, ages and counts, for metrics and autoscaling.

        Raises:
            StoreUnavailable: No answer.
        """
        rows, deferred, running, dead, callers = await self._scripts.run("stats", (), retry_safe=True)
        return QueueStats(
            priorities={
                Priority(name.decode()): PriorityStats(int(depth), int(age) / 1000) for name, depth, age in rows
            },
            deferred=int(deferred),
            running=int(running),
            dead=int(dead),
            callers={name.decode(): int(n) for name, n in zip(callers[::2], callers[1::2], strict=True)},
        )

    async def _page(self, set_key: str, state: str, model: str, after: str, limit: int) -> JobPage:
        limit = min(max(limit, 1), 1000)
        reply = await self._scripts.run("list", [set_key, after, limit, state, model, *SUMMARY_FIELDS], retry_safe=True)
        if reply is None:
            raise JobNotFound(after)
        return JobPage(tuple(_summary(row) for row in reply[0]), has_more=bool(reply[1]))


def _refuse_other_names(job_id: str) -> None:
    if not keys.is_job_id(job_id):
        raise JobNotFound(job_id)


def _summary(row: Sequence[Any]) -> Job:
    job_id, values = row
    fields = {name: value for name, value in zip(_SUMMARY_NAMES, values, strict=True) if value is not None}
    return job_from_fields(job_id.decode(), fields)
