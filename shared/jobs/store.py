"""The job store: reads jobs and writes their outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.errors import JobLive, JobNotFound, RetryRefused
from shared.jobs import keys, records
from shared.jobs.bodies import AS_THEY_ARE, Bodies, BodyPolicy, write_parts
from shared.jobs.endings import DEADLINE_ERROR, cancelled_error
from shared.jobs.filters import EVERYTHING, JobFilter
from shared.jobs.job_fields import job_from_fields
from shared.jobs.model import UNCHANGED, Claim, Job, Outcome, Priority, RetryChanges
from shared.jobs.parked import ParkedJobs
from shared.jobs.pauses import Pause, PauseStore, pauses_of, read_pauses
from shared.jobs.positions import START, Order, Position
from shared.jobs.scans import SUMMARY_FIELDS, JobScans
from shared.jobs.scripts import EngineScripts
from shared.store.commands import Argument, RedisCommands
from shared.store.probe import is_writable

MOST_LISTED = 1000
_SUMMARY_NAMES = tuple(name.encode() for name in SUMMARY_FIELDS)


@dataclass(frozen=True, slots=True)
class Finish:
    """A write of a run: its outcome and the events before it, or events alone.

    Attributes:
        claim: The run's claim.
        outcome: The outcome; None while the run continues.
        events: Names and JSON data, in order, before the outcome.
        flushed: Events of this run that were written before these, so that a write sent twice repeats none; -1: not
            counted.
    """

    claim: Claim
    outcome: Outcome | None
    events: Sequence[tuple[str, bytes]] = ()
    flushed: int = -1


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of jobs without results; the cursor of the next page is the last job's id."""

    jobs: tuple[Job, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class PriorityStats:
    """The queue of one priority: jobs that can start now, and the age of the oldest of them."""

    depth: int
    oldest_age_s: float


@dataclass(frozen=True, slots=True)
class QueueStats:
    """Statistics of the queue; ``callers``: waiting jobs of the 1000 callers with most."""

    priorities: dict[Priority, PriorityStats]
    deferred: int
    running: int
    dead: int
    callers: dict[str, int]
    pauses: int = 0


def read_stats(reply: Sequence[Any]) -> QueueStats:
    """Read what ``queue_stats.lua`` answers."""
    rows, deferred, running, dead, callers, pauses = reply
    return QueueStats(
        priorities={Priority(name.decode()): PriorityStats(int(depth), int(age) / 1000) for name, depth, age in rows},
        deferred=int(deferred),
        running=int(running),
        dead=int(dead),
        pauses=int(pauses),
        callers={name.decode(): int(n) for name, n in zip(callers[::2], callers[1::2], strict=True)},
    )


def read_summary(row: Sequence[Any]) -> Job:
    """Read a job without its bodies: its id and the values of ``SUMMARY_FIELDS``."""
    job_id, values = row
    fields = {name: value for name, value in zip(_SUMMARY_NAMES, values, strict=True) if value is not None}
    return job_from_fields(job_id.decode(), fields)


class JobStore:
    """Reads jobs and writes their outcomes.

    Args:
        commands: The store.
        bodies: How bodies are stored.

    Attributes:
        parked: Jobs that wait for a limit's next window.
    """

    def __init__(self, commands: RedisCommands, bodies: BodyPolicy = AS_THEY_ARE) -> None:
        self._commands = commands
        self.parked = ParkedJobs(commands)
        self._scripts = EngineScripts(commands)
        self._scans = JobScans(self._scripts)
        self._bodies = Bodies(commands, bodies)

    async def is_writable(self) -> bool:
        """Tell whether the store takes writes now."""
        return await is_writable(self._commands)

    async def get(self, job_id: str) -> Job | None:
        """Return a job, or None if it does not exist (any more); one round trip, and more for a large result.

        Raises:
            StoreUnavailable: No answer.
        """
        if not keys.is_job_id(job_id):
            return None
        reply = await self._scripts.run("get", [job_id, DEADLINE_ERROR], retry_safe=True)
        if reply is None:
            return None
        job = self._bodies.open_echo(records.job_from_reply(job_id, reply[0]))
        if len(reply) > 2:
            job = records.with_forecast(job, reply[1], int(reply[2]))
            return _with_pauses(job, read_pauses(reply[3], int(reply[2]))) if reply[3] else job
        return await self._bodies.with_result(job)

    async def payload(self, job_id: str) -> bytes | None:
        """Return the request body while it is stored: of live and failed jobs, and those with ``keep_payload``.

        Raises:
            BodyLost, BodyUndecryptable: It is lost, or cannot be decrypted.
            StoreUnavailable: No answer.
        """
        if not keys.is_job_id(job_id):
            return None
        return await self._bodies.payload(job_id)

    async def finish(self, claim: Claim, outcome: Outcome, events: Sequence[tuple[str, bytes]] = ()) -> bool:
        """Write the outcome of a run with everything that follows from it, atomically.

        Returns:
            False when the lease was lost or the job had ended: nothing was written.

        Raises:
            StoreUnavailable: No answer; the call may be repeated.
        """
        return (await self.finish_many([Finish(claim, outcome, events)]))[0]

    async def finish_many(self, items: Sequence[Finish]) -> list[bool]:
        """Write outcomes and events of several runs at once; the answers are in the order of the items.

        Raises:
            StoreUnavailable: No answer; outcomes and counted events may be sent again.
        """
        args: list[Argument] = []
        sealed = self._bodies.are_sealed
        for item in items:
            claim, outcome, events = item.claim, item.outcome, item.events
            if sealed:
                outcome = self._bodies.for_redis(claim, outcome)
                events = self._bodies.seal_events(claim.id, events)
            if outcome is not None:
                data = outcome.result if outcome.stored is None else outcome.stored.data
                if len(data) > records.LARGE_BYTES:
                    await write_parts(self._scripts, keys.part(claim.id, claim.token), data)
            args += records.finish_args(claim, outcome, events, item.flushed)
        return [bool(answer) for answer in await self._scripts.run("finish", args)]

    async def cancel(self, job_id: str) -> Job:
        """Cancel a live job; a job that has ended is returned unchanged.

        Raises:
            JobNotFound: It does not exist.
            StoreUnavailable: No answer.
        """
        _check_job_id(job_id)
        reply = await self._scripts.run("cancel", [job_id, cancelled_error(job_id)], retry_safe=True)
        if reply is None:
            raise JobNotFound(job_id)
        job = await self._bodies.with_result(self._bodies.open_echo(records.job_from_reply(job_id, reply)))
        if job is None:
            raise JobNotFound(job_id)
        return job

    async def delete(self, job_id: str) -> bool:
        """Delete a job that has ended.

        Returns:
            False when it did not exist.

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

    async def retry(self, job_id: str, changes: RetryChanges = UNCHANGED) -> Job:
        """Queue a failed job again, with all its attempts and without its deadline, unless the changes have one.

        Raises:
            JobNotFound: It or its request body does not exist.
            RetryRefused: It is in another state.
            StoreUnavailable: No answer.
        """
        _check_job_id(job_id)
        stored = await self._bodies.pack(f"jobs/{job_id}", changes.payload)
        reply = await self._scripts.run("retry", records.retry_args(job_id, changes, stored))
        if reply in (b"gone", b"counted"):  # a list has no hash
            raise JobNotFound(job_id)
        if isinstance(reply, bytes):
            raise RetryRefused(f"Job {job_id} is {reply.decode()}; only failed jobs can be retried.")
        return self._bodies.open_echo(records.job_from_reply(job_id, reply))

    async def list(
        self,
        owner: str | None,
        wanted: JobFilter = EVERYTHING,
        *,
        order: Order = "desc",
        after: str = "",
        limit: int = 20,
    ) -> JobPage:
        """List an owner's jobs by creation; None lists everybody's.

        Args:
            owner: The owner; jobs submitted without a key are in no list.
            wanted: What jobs.
            order: ``desc``: newest first.
            after: The last id of the previous page; its job may be gone for up to a day.
            limit: 1 to 1000.

        Raises:
            JobNotFound: The cursor is not in the list (any more).
            StoreUnavailable: No answer.
        """
        if owner == "":
            return JobPage((), has_more=False)
        position = await self.position(owner, after) if after else START
        return await self.page(owner, wanted, order, position, min(max(limit, 1), MOST_LISTED))

    async def position(self, owner: str | None, after: str) -> Position:
        """Return the position of a cursor in an owner's list, or everybody's.

        Raises:
            JobNotFound: The cursor is not in the list (any more).
            StoreUnavailable: No answer.
        """
        return await self._position(keys.ALL_JOBS if owner is None else keys.owner_jobs(owner), after)

    async def page(self, owner: str | None, wanted: JobFilter, order: Order, position: Position, limit: int) -> JobPage:
        """Return the page of a list that begins after a position; see ``list``."""
        rows: dict[bytes, Sequence[Any]] = {}
        plan = await self._scans.plan(owner, wanted)
        mine = wanted if owner is None else replace(wanted, keys=(owner,))
        for set_key in plan.sets:
            for row in await self._scans.rows(set_key, mine, order, position, limit + 1, groups=plan.groups):
                rows[row[0]] = row
        jobs = sorted(map(read_summary, rows.values()), key=by_creation, reverse=order == "desc")
        return JobPage(await self._paused(jobs[:limit]), has_more=len(jobs) > limit)

    async def dead(self, *, after: str = "", limit: int = 20) -> JobPage:
        """List the dead letters, newest first.

        Raises:
            JobNotFound: The cursor is not in the list (any more).
            StoreUnavailable: No answer.
        """
        position = await self.dead_position(after) if after else START
        return await self.dead_page(position, min(max(limit, 1), MOST_LISTED))

    async def dead_position(self, after: str) -> Position:
        """Return the position of a cursor among the dead letters.

        Raises:
            JobNotFound: The cursor is not in the list (any more).
            StoreUnavailable: No answer.
        """
        return await self._position(keys.DEAD, after)

    async def dead_page(self, position: Position, limit: int) -> JobPage:
        """Return the page of the dead letters that begins after a position; see ``dead``."""
        rows = await self._scans.rows(keys.DEAD, EVERYTHING, "desc", position, limit + 1)
        return JobPage(tuple(map(read_summary, rows[:limit])), has_more=len(rows) > limit)

    async def stats(self) -> QueueStats:
        """Return statistics for metrics and autoscaling.

        Raises:
            StoreUnavailable: No answer.
        """
        return read_stats(await self._scripts.run("stats", (), retry_safe=True))

    async def _paused(self, jobs: Sequence[Job]) -> tuple[Job, ...]:
        """Return the jobs with the pauses that hold for them."""
        if not any(job.live for job in jobs):
            return tuple(jobs)
        pauses = await PauseStore(self._commands).list()
        return tuple(_with_pauses(job, pauses) for job in jobs) if pauses else tuple(jobs)

    async def _position(self, set_key: str, after: str) -> Position:
        """Return score and id of a cursor."""
        score = await self._scripts.execute("ZSCORE", set_key, after, retry_safe=True)
        if score is None:
            raise JobNotFound(after)
        return score, after


def _with_pauses(job: Job, pauses: Sequence[Pause]) -> Job:
    held = pauses_of(job, pauses)
    return replace(job, paused_by=held) if held else job


def by_creation(job: Job) -> tuple[int, str]:
    """Return what orders the jobs of a list."""
    return job.created_ms, job.id


def _check_job_id(job_id: str) -> None:
    if not keys.is_job_id(job_id):
        raise JobNotFound(job_id)
