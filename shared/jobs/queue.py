"""The queue: jobs in, claims out, and claims given back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from shared.errors import IdempotencyConflict, QueueFull
from shared.jobs import keys, records
from shared.jobs.durability import Durability
from shared.jobs.model import Claim, Deferral, Job, NewJob, Priority
from shared.jobs.scripts import EngineScripts
from shared.settings.model import JobSettings
from shared.store.commands import Argument, RedisCommands

INLINE_PAYLOAD_BYTES = 64 * 1024
RENEWAL_CHUNK = 250
ALL_PRIORITIES = (Priority.HIGH, Priority.NORMAL, Priority.LOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """What every process of a deployment must agree on.

    Attributes:
        max_queued: Waiting jobs in all; past it ``QueueFull``.
        max_attempts: Starts of a job that loses its workers before it is given up.
        lease_s: How long a claim holds without renewal.
        durability: ``fsync``: a submit is answered when it is on disk.
    """

    max_queued: int = 100_000
    max_attempts: int = 3
    lease_s: float = 4.0
    durability: Literal["everysec", "fsync"] = "everysec"

    @classmethod
    def of(cls, settings: JobSettings) -> Self:
        """The limits that the configuration says."""
        return cls(
            max_queued=settings.max_queued,
            max_attempts=settings.max_attempts,
            lease_s=settings.lease_s,
            durability=settings.durability,
        )

    @property
    def lease_ms(self) -> int:
        """The lease in milliseconds."""
        return round(self.lease_s * 1000)


@dataclass(frozen=True, slots=True)
class Submission:
    """What a submit made, or found: ``created`` is False for a job that was already there."""

    job: Job
    created: bool


@dataclass(frozen=True, slots=True)
class ClaimBatch:
    """What a claim gave.

    Attributes:
        claims: The jobs, in the order in which they are to start.
        next_ms: Until something falls due by itself, 500 at most.
        ready: Whether more jobs are waiting to be claimed now.
        reruns: Jobs that this call took from workers that are gone.
    """

    claims: tuple[Claim, ...]
    next_ms: int
    ready: bool
    reruns: int


class JobQueue:
    """Takes jobs in and hands them out.

    Args:
        commands: The store.
        limits: What every process agrees on.
        durable: With ``durability = "fsync"``, a connection of its own to wait on, so that nobody else waits with it.
    """

    def __init__(
        self, commands: RedisCommands, limits: QueueLimits | None = None, *, durable: RedisCommands | None = None
    ) -> None:
        self.limits = limits or QueueLimits()
        self._scripts = EngineScripts(commands)
        self._durability = None
        if self.limits.durability == "fsync":
            if durable is None:
                raise ValueError("durability needs a connection to wait on")
            self._durability = Durability(durable)

    async def check_durability(self) -> None:
        """Refuse a configuration that promises more than the server can keep; called once at start.

        Raises:
            DurabilityRefused: ``fsync`` with a server that has no WAITAOF or no append-only file.
            StoreUnavailable: No answer.
        """
        if self._durability is not None:
            await self._durability.check()

    async def submit(self, new: NewJob) -> Submission:
        """Accept a job, or find the one that the same request made before. One round trip, atomic.

        Raises:
            QueueFull: Too many jobs wait, in all or of this owner.
            IdempotencyConflict: The idempotency key came with another body.
            StoreUnavailable: Nothing was accepted as far as anybody can know; the same id may be submitted again.
            ValueError: The id is none.
        """
        if not keys.is_job_id(new.id):
            raise ValueError(f"{new.id!r} cannot be a job id")
        args = records.submit_args(new, self.limits.max_queued)
        reply = await self._scripts.run("submit", args, retry_safe=True)
        submission = _submission(new, reply)
        if self._durability is not None:
            await self._durability.sync()
        return submission

    async def find_repeated(self, new: NewJob) -> Submission | None:
        """The job that the same request made before, as ``submit`` would find it; nothing is accepted.

        Raises:
            IdempotencyConflict: The idempotency key came with another body.
            StoreUnavailable: No answer.
        """
        if not new.may_repeat:
            return None
        reply = await self._scripts.run("repeat", records.repeat_args(new), retry_safe=True)
        if reply is None:
            return None
        submission = _submission(new, reply)
        if self._durability is not None:
            await self._durability.sync()  # the first submit may have got no answer because it was not on disk yet
        return submission

    async def reweigh(self, owner: str, weight: float, max_concurrent: int) -> None:
        """Let another share and another limit of jobs at once act on what an owner has waiting.

        Args:
            owner: Whose jobs; one without any is left to its next submit.
            weight: Its fair share.
            max_concurrent: Jobs that run at once; 0: no limit.

        Raises:
            StoreUnavailable: No answer.
        """
        await self._scripts.run("reweigh", [owner or records.ANONYMOUS, weight, max_concurrent], retry_safe=True)

    async def claim(self, worker_id: str, count: int, priorities: Sequence[Priority] = ALL_PRIORITIES) -> ClaimBatch:
        """Take up to ``count`` jobs under a lease, in fair order, after looking after what fell due.

        Raises:
            StoreUnavailable: No answer; jobs claimed by a lost answer come back when their lease ends.
        """
        reply = await self._scripts.run("claim", self.claim_args(worker_id, count, priorities))
        return await self.read_claims(reply)

    def claim_args(self, worker_id: str, count: int, priorities: Sequence[Priority]) -> list[Argument]:
        """The arguments of ``claim.lua``, for a worker that sends it on a connection of its own."""
        limits = self.limits
        wanted = [str(priority) for priority in ALL_PRIORITIES if priority in priorities]
        return [worker_id, count, limits.lease_ms, limits.max_attempts, INLINE_PAYLOAD_BYTES, *wanted]

    async def read_claims(self, reply: Sequence[Any]) -> ClaimBatch:
        """A batch from ``claim.lua``'s reply; payloads that were too large to come along are fetched.

        Raises:
            StoreUnavailable: No answer.
        """
        now_ms, next_ms, ready, reruns, rows = reply
        large = [row for row in rows if row[16] is None]
        if large:
            fetched = await self._scripts.execute_many([("GET", keys.payload(row[0].decode())) for row in large])
            for row, payload in zip(large, fetched, strict=True):
                row[16] = payload or b""
        now = int(now_ms)
        claims = tuple([records.claim_from_reply(row, now, row[16]) for row in rows])
        return ClaimBatch(claims, int(next_ms), bool(ready), int(reruns))

    async def renew(self, leases: Sequence[tuple[str, str]]) -> list[str]:
        """Prolong leases.

        Args:
            leases: Pairs of job id and token.

        Returns:
            The tokens that hold nothing any more.

        Raises:
            StoreUnavailable: No answer.
        """
        lost: list[str] = []
        for start in range(0, len(leases), RENEWAL_CHUNK):
            args: list[Argument] = [self.limits.lease_ms]
            for lease in leases[start : start + RENEWAL_CHUNK]:
                args += lease
            lost += [token.decode() for token in await self._scripts.run("renew", args, retry_safe=True)]
        return lost

    async def release(self, claims: Sequence[Claim]) -> int:
        """Give jobs back to the head of their callers' lists; the attempt does not count.

        Returns:
            How many were still ours.

        Raises:
            StoreUnavailable: No answer.
        """
        released = 0
        for start in range(0, len(claims), RENEWAL_CHUNK):
            args: list[Argument] = []
            for claim in claims[start : start + RENEWAL_CHUNK]:
                args += (claim.id, claim.token)
            released += int(await self._scripts.run("release", args, retry_safe=True))
        return released

    async def defer(self, claim: Claim, deferral: Deferral) -> bool:
        """Give the slot of a running job back until later.

        Returns:
            False when the lease was lost or the job has ended.

        Raises:
            StoreUnavailable: No answer.
        """
        delay_ms = math.ceil(deferral.delay_s * 1000)
        args = (claim.id, claim.token, delay_ms, "1" if deferral.counts else "", deferral.reason)
        return bool(await self._scripts.run("defer", args, retry_safe=True))


def _submission(new: NewJob, reply: Sequence[Any]) -> Submission:
    match reply[0]:
        case b"new":
            return Submission(records.job_as_submitted(new, reply), created=True)
        case b"known":
            job = records.job_from_reply(reply[1].decode(), reply[2])
            return Submission(records.with_outlook(job, reply[3], job.due_ms), created=False)
        case b"conflict":
            raise IdempotencyConflict(
                "This idempotency key was used with another request body; use a new key for a new request.",
                param="Idempotency-Key",
                should_retry=False,
            )
        case _:
            raise _queue_full(reply[1] == b"caller", int(reply[2]), float(reply[3]))


def _queue_full(own: bool, depth: int, rate: float) -> QueueFull:
    """Room for about a hundredth of what waits is worth waiting for; between 1 and 60 seconds."""
    retry_after_s = min(60.0, max(1.0, depth / 100 / rate if rate > 0 else 5.0))
    what = "You have" if own else "The queue holds"
    return QueueFull(
        f"{what} {depth} waiting jobs, which is the limit; submit again when some have been worked off.",
        retry_after_s=math.ceil(retry_after_s),
    )
