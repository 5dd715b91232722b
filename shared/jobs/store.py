"""The job store: reads jobs and writes their outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from shared.errors import JobLive, JobNotFound, RetryRefused
from shared.jobs import keys, records
from shared.jobs.bodies import read_parts, with_result, write_parts
from shared.jobs.endings import DEADLINE_ERROR, cancelled_error
from shared.jobs.filters import EVERYTHING, JobFilter
from shared.jobs.job_fields import job_from_fields
from shared.jobs.model import UNCHANGED, Claim, Job, Outcome, Priority, RetryChanges, State
from shared.jobs.pauses import Pause, PauseStore, pauses_of, read_pauses
from shared.jobs.scripts import EngineScripts
from shared.store.commands import Argument, RedisCommands
from shared.store.probe import is_writable

SUMMARY_FIELDS = (
    "state", "model", "owner", "type", "request_id", "priority", "ttl_s", "created_ms", "due_ms", "started_ms",
    "completed_ms", "expires_ms", "deadline_ms", "attempts", "status_code", "result_type", "error", "reason", "labels",
)  # fmt: skip
_SUMMARY_NAMES = tuple(name.encode() for name in SUMMARY_FIELDS)
# One call of list.lua stays under 5 ms on a busy machine: 3 to 8 µs a record, 10 to 20 µs a row.
SCANNED_AT_ONCE = 250
ROWS_AT_ONCE = 100
RUNNING_AT_ONCE = 2000
# From here on a list of all jobs, or of an owner's, may have lost older ones (submit.lua trims it by 64).
INDEXED_JOBS = 100_000
OWNER_JOBS = 10_000

Order = Literal["asc", "desc"]
Rows = list[Sequence[Any]]


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


class JobStore:
    """Reads jobs and writes their outcomes.

    Args:
        commands: The store.
    """

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands
        self._scripts = EngineScripts(commands)

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
        job = records.job_from_reply(job_id, reply[0])
        if len(reply) > 2:
            job = records.with_forecast(job, reply[1], int(reply[2]))
            return _with_pauses(job, read_pauses(reply[3], int(reply[2]))) if reply[3] else job
        return await with_result(self._scripts, job)

    async def payload(self, job_id: str) -> bytes | None:
        """Return the request body while it is stored: of live and failed jobs, and those with ``keep_payload``.

        Raises:
            StoreUnavailable: No answer.
        """
        if not keys.is_job_id(job_id):
            return None
        return await read_parts(self._scripts, keys.payload(job_id))

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
        for item in items:
            if item.outcome is not None and len(item.outcome.result) > records.LARGE_BYTES:
                await write_parts(self._scripts, keys.part(item.claim.id, item.claim.token), item.outcome.result)
            args += records.finish_args(item.claim, item.outcome, item.events, item.flushed)
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
        job = await with_result(self._scripts, records.job_from_reply(job_id, reply))
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
        reply = await self._scripts.run("retry", records.retry_args(job_id, changes))
        if reply == b"gone":
            raise JobNotFound(job_id)
        if isinstance(reply, bytes):
            raise RetryRefused(f"Job {job_id} is {reply.decode()}; only failed jobs can be retried.")
        return records.job_from_reply(job_id, reply)

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
        limit = min(max(limit, 1), 1000)
        own_list = keys.ALL_JOBS if owner is None else keys.owner_jobs(owner)
        position = await self._position(own_list, after)
        rows: dict[bytes, Sequence[Any]] = {}
        for set_key in await self._smallest_union(own_list, wanted):
            mine = wanted if owner is None else replace(wanted, keys=(owner,))
            for row in await self._scan(set_key, mine, order, position, limit + 1):
                rows[row[0]] = row
        jobs = sorted(map(_summary, rows.values()), key=_by_creation, reverse=order == "desc")
        return JobPage(await self._paused(jobs[:limit]), has_more=len(jobs) > limit)

    async def dead(self, *, after: str = "", limit: int = 20) -> JobPage:
        """List the dead letters, newest first.

        Raises:
            JobNotFound: The cursor is not in the list (any more).
            StoreUnavailable: No answer.
        """
        limit = min(max(limit, 1), 1000)
        position = await self._position(keys.DEAD, after)
        rows = await self._scan(keys.DEAD, EVERYTHING, "desc", position, limit + 1)
        return JobPage(tuple(map(_summary, rows[:limit])), has_more=len(rows) > limit)

    async def stats(self) -> QueueStats:
        """Return statistics for metrics and autoscaling.

        Raises:
            StoreUnavailable: No answer.
        """
        rows, deferred, running, dead, callers, pauses = await self._scripts.run("stats", (), retry_safe=True)
        return QueueStats(
            priorities={
                Priority(name.decode()): PriorityStats(int(depth), int(age) / 1000) for name, depth, age in rows
            },
            deferred=int(deferred),
            running=int(running),
            dead=int(dead),
            pauses=int(pauses),
            callers={name.decode(): int(n) for name, n in zip(callers[::2], callers[1::2], strict=True)},
        )

    async def _paused(self, jobs: Sequence[Job]) -> tuple[Job, ...]:
        """Return the jobs with the pauses that hold for them."""
        if not any(job.live for job in jobs):
            return tuple(jobs)
        pauses = await PauseStore(self._commands).list()
        return tuple(_with_pauses(job, pauses) for job in jobs) if pauses else tuple(jobs)

    async def _position(self, set_key: str, after: str) -> tuple[Argument, Argument]:
        """Return score and id of a cursor."""
        if not after:
            return "", ""
        score = await self._scripts.execute("ZSCORE", set_key, after, retry_safe=True)
        if score is None:
            raise JobNotFound(after)
        return score, after

    async def _smallest_union(self, own_list: str, wanted: JobFilter) -> Sequence[str]:
        """Return sets that together hold all wanted jobs: the list itself, or those of an index that are smaller."""
        choices = [tuple(map(keys.index, numbers)) for numbers in wanted.index_choices()]
        if wanted.states:
            running = await self._running() if State.RUNNING in wanted.states else keys.LIVE
            sets = (running if state is State.RUNNING else _state_set(state) for state in wanted.states)
            choices.append(tuple(dict.fromkeys(sets)))
        elif wanted.codes:
            choices.append((keys.ended_jobs(State.FAILED), keys.ended_jobs(State.CANCELLED)))
        if wanted.keys:
            choices.append(tuple(dict.fromkeys(map(keys.owner_jobs, wanted.keys))))
        if not choices:
            return (own_list,)
        names = list(dict.fromkeys([own_list, keys.ALL_JOBS, *(name for choice in choices for name in choice)]))
        counts = await self._scripts.execute_many([("ZCARD", name) for name in names])
        sizes: dict[str, int] = dict(zip(names, counts, strict=True))
        if own_list != keys.ALL_JOBS and sizes[keys.ALL_JOBS] >= INDEXED_JOBS:
            return (own_list,)  # the indexes hold the newest jobs of all owners, the owner's list older ones as well
        if wanted.keys and any(sizes[keys.owner_jobs(key)] >= OWNER_JOBS for key in wanted.keys):
            choices.pop()  # and here it is the owner's list that has lost the older ones
        return min(((own_list,), *choices), key=lambda choice: sum(sizes[name] for name in choice))

    async def _running(self) -> str:
        """Return a set that holds the running jobs: one made for a minute, as long as it is cheap to make."""
        if await self._scripts.execute("ZCARD", keys.LEASES, retry_safe=True) > RUNNING_AT_ONCE:
            return keys.LIVE
        weights = ("WEIGHTS", 0, 1)
        await self._scripts.execute_many(
            [
                ("ZINTERSTORE", keys.RUNNING, 2, keys.LEASES, keys.LIVE, *weights),
                ("EXPIRE", keys.RUNNING, 60),
            ]
        )
        return keys.RUNNING

    async def _scan(
        self, set_key: str, wanted: JobFilter, order: Order, position: tuple[Argument, Argument], count: int
    ) -> Sequence[Sequence[Any]]:
        """Return the first rows of a set after a position, read in pieces that are short for the store."""
        rows: Rows = []
        low, high = wanted.created_after_ms, wanted.created_before_ms
        bounds = ("-inf" if low is None else low, "+inf" if high is None else high)
        prune = "" if keys.keeps_cursors(set_key) else "1"
        options = (SCANNED_AT_ONCE, wanted.as_json(), prune, *SUMMARY_FIELDS)
        while True:
            most = min(count - len(rows), ROWS_AT_ONCE)
            args: tuple[Argument, ...] = (set_key, order, *position, *bounds, most, *options)
            found, last = await self._scripts.run("list", args, retry_safe=True)
            rows += found
            if last is None or len(rows) >= count:
                return rows
            position = (last[0], last[1])


def _with_pauses(job: Job, pauses: Sequence[Pause]) -> Job:
    held = pauses_of(job, pauses)
    return replace(job, paused_by=held) if held else job


def _state_set(state: State) -> str:
    return keys.ended_jobs(state) if state.terminal else keys.LIVE


def _by_creation(job: Job) -> tuple[int, str]:
    return job.created_ms, job.id


def _check_job_id(job_id: str) -> None:
    if not keys.is_job_id(job_id):
        raise JobNotFound(job_id)


def _summary(row: Sequence[Any]) -> Job:
    job_id, values = row
    fields = {name: value for name, value in zip(_SUMMARY_NAMES, values, strict=True) if value is not None}
    return job_from_fields(job_id.decode(), fields)
