"""Submits over several shards: each job goes to the shard that its id names."""

import asyncio
import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

from shared.jobs.bodies import AS_THEY_ARE, BodyPolicy
from shared.jobs.model import NewJob
from shared.jobs.queue import JobQueue, QueueLimits, Submission
from shared.jobs.shard_ids import one_of, shard_of, shard_of_id
from shared.store.commands import PooledCommands, RedisCommands

LARGEST_PART = 2
"""A shard takes up to this many times its equal part of ``max_queued``, as callers do not spread evenly."""


class ShardedQueue(JobQueue):
    """The queue of several shards; claims are those of shard 0, as workers have an engine for each shard.

    Args:
        connections: One to each shard, in order.
        limits: As configured: those of all shards together.
        durable: With ``durability`` other than ``everysec``, a connection to each shard for submits.
        bodies: How request bodies are stored.
    """

    def __init__(
        self,
        connections: Sequence[RedisCommands],
        limits: QueueLimits,
        *,
        durable: Sequence[PooledCommands | None],
        bodies: BodyPolicy = AS_THEY_ARE,
    ) -> None:
        most = math.ceil(limits.max_queued * LARGEST_PART / len(connections))
        limits = replace(limits, max_queued=min(limits.max_queued, most))
        super().__init__(connections[0], limits, durable=durable[0], bodies=bodies)
        self._shards = tuple(
            JobQueue(commands, limits, durable=of_shard, bodies=bodies)
            for commands, of_shard in zip(connections, durable, strict=True)
        )

    async def check_durability(self) -> None:
        """See ``JobQueue.check_durability``."""
        await asyncio.gather(*(shard.check_durability() for shard in self._shards))

    def shard_for(self, owner: str, key: str, body: bytes) -> int:
        """See ``JobQueue.shard_for``."""
        return shard_of(owner or key or hashlib.blake2b(body).hexdigest(), len(self._shards))

    async def submit(self, new: NewJob, *, reserved: bool = False) -> Submission:
        """See ``JobQueue.submit``; ``find_repeated`` has looked for a job of shard 0 before."""
        return await one_of(self._shards, new.id).submit(new, reserved=reserved)

    async def find_repeated(self, new: NewJob) -> Submission | None:
        """See ``JobQueue.find_repeated``; looks in the owner's shard and in shard 0.

        Jobs of before there were shards are in shard 0, and those that wait for a batch, which a repeat need not do.
        """
        if not new.may_repeat:
            return None
        of_owner = self.shard_for(new.owner, new.idempotency_key or new.fingerprint, new.payload)
        for shard in dict.fromkeys((shard_of_id(new.id, len(self._shards)), of_owner, 0)):
            if found := await self._shards[shard].find_repeated(new):
                return found
        return None

    async def reweigh(self, owner: str, weight: float, max_concurrent: int) -> None:
        """See ``JobQueue.reweigh``."""
        for shard in sorted({0, shard_of(owner, len(self._shards))}):
            await self._shards[shard].reweigh(owner, weight, max_concurrent)
