"""The queue: submits, claims, and claims given back."""

import asyncio
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from shared.errors import IdempotencyConflict, QueueFull, RequestTooLarge, StorageFull, StoreUnavailable
from shared.jobs import keys, records
from shared.jobs.bodies import AS_THEY_ARE, Bodies, BodyPolicy, read_parts, write_parts
from shared.jobs.durability import Durability
from shared.jobs.endings import ATTEMPTS_ERROR, DEADLINE_ERROR
from shared.jobs.model import Claim, Deferral, Job, NewJob, Priority
from shared.jobs.replies import ClaimReply, ClaimRow, JobCreated, JobFound, JobRejected
from shared.jobs.scripts import EngineScripts
from shared.jobs.stored_body import blob_name
from shared.settings.model import JobSettings
from shared.store.commands import Argument, PooledCommands, RedisCommands

INLINE_PAYLOAD_BYTES = 64 * 1024
RENEWAL_CHUNK = 250
MEBIBYTE = 1024 * 1024
STORAGE_RETRY_S = 60
ALL_PRIORITIES = (Priority.HIGH, Priority.NORMAL, Priority.LOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """Limits on which all processes of a deployment must agree.

    Attributes:
        max_queued: Most waiting jobs; beyond it ``QueueFull``.
        max_attempts: Starts of a job that loses its workers, before it fails.
        lease_s: How long a claim holds without renewal.
        durability: ``fsync``: a submit is answered once it is on disk; ``replicated``: once replicas have it.
        min_replicas: How many, with ``replicated``.
    """

    max_queued: int = 100_000
    max_attempts: int = 3
    lease_s: float = 4.0
    durability: Literal["everysec", "fsync", "replicated"] = "everysec"
    min_replicas: int = 1

    @classmethod
    def of(cls, settings: JobSettings) -> Self:
        """Return the configured limits."""
        return cls(
            max_queued=settings.max_queued,
            max_attempts=settings.max_attempts,
            lease_s=settings.lease_s,
            durability=settings.durability,
            min_replicas=settings.min_replicas,
        )

    @property
    def lease_ms(self) -> int:
        """The lease in milliseconds."""
        return round(self.lease_s * 1000)


@dataclass(frozen=True, slots=True)
class Submission:
    """The job of a submit; ``created`` is False when the same request had made it before."""

    job: Job
    created: bool


@dataclass(frozen=True, slots=True)
class ClaimBatch:
    """The result of a claim.

    Attributes:
        claims: The jobs, in the order in which to start them.
        next_ms: Until something falls due, 500 at most.
        ready: Whether more jobs can be claimed now.
        reruns: Jobs that this call took from lost workers.
        head: With several shards, the fair tag of the caller that is next; None: nobody waits.
        virtual: With several shards, the virtual time of this one.
    """

    claims: tuple[Claim, ...]
    next_ms: int
    ready: bool
    reruns: int
    head: float | None = None
    virtual: float = 0.0


class JobQueue:
    """Accepts jobs and hands them out.

    Args:
        commands: The store.
        limits: The limits that all processes share.
        durable: With ``durability`` other than ``everysec``, a connection of its own for submits, which blocks while
            the server waits for its disk or its replicas.
        bodies: How request bodies are stored.
    """

    def __init__(
        self,
        commands: RedisCommands,
        limits: QueueLimits | None = None,
        *,
        durable: PooledCommands | None = None,
        bodies: BodyPolicy = AS_THEY_ARE,
    ) -> None:
        self.limits = limits or QueueLimits()
        self._scripts = EngineScripts(commands)
        self._bodies = Bodies(commands, bodies)
        self._durability = None
        if self.limits.durability != "everysec":
            if durable is None:
                raise ValueError("durability needs a connection to wait on")
            self._durability = Durability(durable, self.limits.durability, self.limits.min_replicas)

    async def check_durability(self) -> None:
        """Reject a durability that the server cannot provide; called once at start.

        Raises:
            DurabilityRefused: ``fsync`` with a server that has no WAITAOF or no append-only file; ``replicated`` with
                one that has no WAIT.
            StoreUnavailable: No answer.
        """
        if self._durability is not None:
            await self._durability.check()

    def shard_for(self, owner: str, key: str, body: bytes) -> int:  # noqa: ARG002 - there is one
        """Return the shard of a new job; repeats of a request, and all requests of an owner, get the same.

        Args:
            owner: The owner; empty: there is none.
            key: Its idempotency key, or a hash of the request; empty: its body tells it from others.
            body: The request body.
        """
        return 0

    async def submit(self, new: NewJob, *, reserved: bool = False) -> Submission:
        """Accept a job, or find the one that the same request made before; one atomic round trip.

        Args:
            new: The job.
            reserved: What it may cost is reserved under its id; the reservation is extended until its end.

        Raises:
            QueueFull: Too many jobs wait, in total or of this owner.
            IdempotencyConflict: The idempotency key was used with another body.
            StoreUnavailable: Unknown whether the job was accepted; the same id may be submitted again.
            ValueError: The id is invalid.
        """
        if not keys.is_job_id(new.id):
            raise ValueError(f"invalid job id: {new.id!r}")
        new = await _recognisable(new)
        stored = await self._bodies.pack(f"jobs/{new.id}", new.payload)
        args = records.submit_args(self._bodies.seal_echo(new), self.limits.max_queued, stored, reserved=reserved)
        if len(stored.data) > records.LARGE_BYTES:
            return await self._submit_large(new, args, stored.data)
        return await self._send(new, args)

    async def _send(self, new: NewJob, args: Sequence[Argument]) -> Submission:
        if self._durability is not None:
            reply = await self._durability.run("submit", args)
        else:
            reply = await self._scripts.run("submit", args, retry_safe=True)
        return await self._with_result(_submission(new, reply))

    async def _submit_large(self, new: NewJob, args: Sequence[Argument], data: bytes) -> Submission:
        part = keys.part(new.id, "new")
        await write_parts(self._scripts, part, data)
        created = False
        try:
            submission = await self._send(new, args)
            created = submission.created
        finally:
            if not created:  # it was refused, or repeated: nobody takes the body
                with suppress(StoreUnavailable):
                    await self._scripts.execute("DEL", part, retry_safe=True)
        return submission

    async def _with_result(self, submission: Submission) -> Submission:
        """Return a submission of a job that ended before, with its result."""
        job = self._bodies.open_echo(submission.job)
        if job.result_size or job.result_as:
            job = await self._bodies.with_result(job) or job
        return submission if job is submission.job else replace(submission, job=job)

    async def find_repeated(self, new: NewJob) -> Submission | None:
        """Find the job that the same request made before, as ``submit`` would; accepts nothing.

        Raises:
            IdempotencyConflict: The idempotency key was used with another body.
            StoreUnavailable: No answer.
        """
        if not new.may_repeat:
            return None
        new = await _recognisable(new)
        reply = await self._scripts.run("repeat", records.repeat_args(new), retry_safe=True)
        if reply is None:
            return None
        submission = await self._with_result(_submission(new, reply))
        if self._durability is not None:
            await self._durability.sync()  # the first submit may be unanswered because it was not durable yet
        return submission

    async def reweigh(self, owner: str, weight: float, max_concurrent: int) -> None:
        """Apply a changed fair share and concurrency limit to an owner's waiting jobs.

        Args:
            owner: Whose jobs; for an owner without any, the next submit applies them.
            weight: The fair share.
            max_concurrent: Most concurrent jobs; 0: no limit.

        Raises:
            StoreUnavailable: No answer.
        """
        await self._scripts.run("reweigh", [owner or records.ANONYMOUS, weight, max_concurrent], retry_safe=True)

    async def claim(self, worker_id: str, count: int, priorities: Sequence[Priority] = ALL_PRIORITIES) -> ClaimBatch:
        """Claim up to ``count`` jobs under a lease, in fair order, after handling what fell due.

        Raises:
            StoreUnavailable: No answer; jobs claimed by a lost answer come back when their lease ends.
        """
        reply = await self._scripts.run("claim", self.claim_args(worker_id, count, priorities))
        return await self.read_claims(reply)

    def claim_args(
        self, worker_id: str, count: int, priorities: Sequence[Priority], elsewhere: float | None = None
    ) -> list[Argument]:
        """Return the arguments of ``claim.lua``, for a worker that sends it on its own connection.

        Args:
            worker_id: The worker's name in lease tokens.
            count: Most jobs.
            priorities: The priorities to serve.
            elsewhere: With several shards, the largest virtual time seen in any of them; None: there is one shard.
        """
        limits = self.limits
        wanted = [str(priority) for priority in ALL_PRIORITIES if priority in priorities]
        return [
            worker_id,
            count,
            limits.lease_ms,
            limits.max_attempts,
            INLINE_PAYLOAD_BYTES,
            DEADLINE_ERROR,
            ATTEMPTS_ERROR,
            *wanted,
            *(() if elsewhere is None else (elsewhere,)),
        ]

    async def read_claims(self, reply: Sequence[Any]) -> ClaimBatch:
        """Read ``claim.lua``'s reply; payloads too large to be in it are fetched.

        Raises:
            StoreUnavailable: No answer.
        """
        claimed = ClaimReply(*reply)
        rows = [ClaimRow(*row) for row in claimed.rows]
        large = [row.id for row in rows if row.payload is None and not blob_name(row.payload_as.decode())]
        fetched: dict[bytes, bytes | None] = {}
        if large:
            payloads = await asyncio.gather(
                *(read_parts(self._scripts, keys.payload(job_id.decode())) for job_id in large)
            )
            fetched = dict(zip(large, payloads, strict=True))
        now_ms = int(claimed.now_ms)
        claims = [
            records.claim_from_row(row, now_ms, row.payload if row.payload is not None else fetched.get(row.id) or b"")
            for row in rows
        ]
        head = float(claimed.head) if claimed.head else None
        return ClaimBatch(
            tuple(claims),
            int(claimed.next_ms),
            bool(claimed.more),
            int(claimed.reruns),
            head,
            float(claimed.virtual or 0),
        )

    async def renew(self, leases: Sequence[tuple[str, str]]) -> list[str]:
        """Renew leases.

        Args:
            leases: Pairs of job id and token.

        Returns:
            The tokens of lost leases.

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
        """Return jobs to the head of their callers' lists; the attempt does not count.

        Returns:
            How many leases still held.

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
        """Defer a running job, which frees its slot.

        Returns:
            False when the lease was lost or the job has ended.

        Raises:
            StoreUnavailable: No answer.
        """
        delay_ms = math.ceil(deferral.delay_s * 1000)
        counts = "1" if deferral.counts else ""
        args = (claim.id, claim.token, delay_ms, counts, deferral.reason, deferral.history)
        return bool(await self._scripts.run("defer", args, retry_safe=True))


async def _recognisable(new: NewJob) -> NewJob:
    """Return a job with the fingerprint of a large body, which is hashed outside the loop: 50 MB take 0.1 s."""
    if new.fingerprint or len(new.payload) <= records.LARGE_BYTES:
        return new
    return replace(new, fingerprint=await asyncio.to_thread(records.fingerprint, new))


def _submission(new: NewJob, reply: Sequence[Any]) -> Submission:
    match reply[0]:
        case b"new":
            return Submission(records.job_as_submitted(new, JobCreated._make(reply)), created=True)
        case b"known":
            return Submission(records.job_found(JobFound._make(reply)), created=False)
        case b"conflict":
            raise IdempotencyConflict(
                "This idempotency key was used with another request body; use a new key for a new request.",
                param="Idempotency-Key",
                should_retry=False,
            )
        case _:
            rejected = JobRejected._make(reply)
            raise _storage_full(new, rejected.depth) if rejected.scope == b"bytes" else _queue_full(rejected)


def _storage_full(new: NewJob, stored: int) -> StorageFull | RequestTooLarge:
    """Build the error: later there may be room, unless the body alone exceeds the limit."""
    limit = f"{new.max_stored / MEBIBYTE:g} MiB"
    if len(new.payload) > new.max_stored:
        return RequestTooLarge(f"The request body exceeds the {limit} that you may keep in the job store.")
    return StorageFull(
        f"Your jobs keep {int(stored) / MEBIBYTE:.1f} of {limit} in the job store. Delete results that you have read, "
        "shorten their lifetime, or submit again when some have expired.",
        retry_after_s=STORAGE_RETRY_S,
    )


def _queue_full(reply: JobRejected) -> QueueFull:
    """Build the error; retry after about a hundredth of the queue has been claimed, 1 to 60 seconds."""
    depth, rate = int(reply.depth), float(reply.claims_per_s)
    retry_after_s = min(60.0, max(1.0, depth / 100 / rate if rate > 0 else 5.0))
    holder = "You have" if reply.scope == b"caller" else "The queue holds"
    return QueueFull(
        f"{holder} {depth} waiting jobs, which is the limit; submit again when some of them have run.",
        retry_after_s=math.ceil(retry_after_s),
    )
