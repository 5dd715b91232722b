"""The slots of a worker process on several shards: free ones go to the shard whose next caller is furthest behind.

Turns over shards would not be fair: a simulation of 16 shards gave the least served caller 0.45 of its share, and 0.99
by the lowest fair tag. Each claim returns the tag of its shard's next caller, and takes the largest virtual time that
was seen in any shard, so that a shard that was idle saves nothing up.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.jobs.queue import ClaimBatch
from worker.claims import BATCH

LOOK_S = 0.25
"""A shard that gets no slot is looked at so often: for the tag of its next caller, and for what falls due there."""
LATE_S = 0.05
"""A claim that takes longer, because its shard does not answer, holds up the others no more."""


class Occupied(Protocol):
    """What runs jobs in slots."""

    @property
    def count(self) -> int:
        """Slots in use."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """What a shard may do next.

    Attributes:
        count: Most jobs to claim; these slots are kept for it until ``end``.
        block_ms: How long to wait for a job; 0: not at all.
        competes: Whether other shards wait for the end of this claim.
    """

    count: int
    block_ms: int
    competes: bool = False


class ShardSlots:
    """Shares the slots of a process among its shards.

    Args:
        concurrency: Slots in all.
        shards: Number of shards.
        clock: A monotonic clock in seconds.

    Attributes:
        runs: What occupies slots, by shard.
        virtual: The largest virtual time seen.
    """

    def __init__(self, concurrency: int, shards: int, clock: Callable[[], float] | None = None) -> None:
        self.runs: Sequence[Occupied] = ()
        self.virtual = 0.0
        self._concurrency = concurrency
        self._clock = clock or asyncio.get_running_loop().time
        self._heads: list[float | None] = [None] * shards
        # Callers of weight 1 have whole numbers as tags, so that the heads of many shards are equal: of these the one
        # whose turn was longest ago comes first, or a caller who has just come would wait for a whole round.
        self._turned: list[float] = [0.0] * shards
        self._kept = 0
        self._waiting: dict[int, asyncio.Future[Turn]] = {}
        self._claiming_since: float | None = None

    @property
    def used(self) -> int:
        """Slots in which jobs run."""
        return sum(runs.count for runs in self.runs)

    @property
    def free(self) -> int:
        """Slots that no job has and no claim was given."""
        return self._concurrency - self.used - self._kept

    async def turn(self, shard: int, block_ms: int) -> Turn:
        """Wait until a shard may claim, ``LOOK_S`` at most.

        Args:
            shard: The shard.
            block_ms: How long a claim may wait for a job, if nothing is known to be ready.
        """
        turn = self._at_once(shard, block_ms)
        if turn is None:
            return await self._wait(shard)
        self._kept += turn.count
        return turn

    async def _wait(self, shard: int) -> Turn:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Turn] = loop.create_future()
        self._waiting[shard] = future
        look = loop.call_later(LOOK_S, self._look, shard)
        self.dispatch()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.end(shard, future.result(), None)
            raise
        finally:
            look.cancel()
            self._waiting.pop(shard, None)

    def end(self, shard: int, turn: Turn, batch: ClaimBatch | None) -> None:
        """Note the end of a claim; the jobs that it brought are started at once. None: it failed."""
        self._kept -= turn.count
        if turn.competes:
            self._claiming_since = None
        self._heads[shard] = batch.head if batch is not None else None
        if batch is not None:
            self.virtual = max(self.virtual, batch.virtual)

    def dispatch(self) -> None:
        """Give free slots to the shard that comes next, if none is claiming."""
        now = self._clock()
        if self._claiming_since is not None and now - self._claiming_since < LATE_S:
            return
        heads = [
            (head, self._turned[shard], shard) for shard in self._waiting if (head := self._heads[shard]) is not None
        ]
        free = self.free
        if not heads or free <= 0:
            return
        shard = min(heads)[2]
        alone = sum(head is not None for head in self._heads) == 1
        turn = Turn(min(BATCH, free if alone else max(1, free // 2)), 0, competes=True)
        self._claiming_since = now
        self._give(shard, turn)

    def _at_once(self, shard: int, block_ms: int) -> Turn | None:
        """Return what a shard may do where no job is known to be ready; None: it has to wait for a slot."""
        free = self.free
        if self._heads[shard] is not None or free <= 0:
            return None
        if free > len(self._heads):
            return Turn(1, block_ms)
        # A slot that waits with one shard would be kept from the others.
        return Turn(0, min(block_ms, round(LOOK_S * 1000)))

    def _look(self, shard: int) -> None:
        if shard in self._waiting:
            self._give(shard, Turn(0, 0))

    def _give(self, shard: int, turn: Turn) -> None:
        self._kept += turn.count
        self._turned[shard] = self._clock()
        future = self._waiting.pop(shard)
        if future.cancelled():  # its worker ends, and has not run since
            self.end(shard, turn, None)
        else:
            future.set_result(turn)
