"""Bulk operations over several shards: one of the same id in each, which works on the jobs of its shard."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from shared.errors import GatewayError, NotFound
from shared.jobs.filters import JobFilter
from shared.jobs.operation import Operation, OperationStatus, Scope, Tally
from shared.jobs.operations import OperationStore, no_such_operation
from shared.store.commands import RedisCommands

_ENDED = (OperationStatus.FAILED, OperationStatus.CANCELLED, OperationStatus.COMPLETED)


class ShardedOperations(OperationStore):
    """Bulk operations as their makers see them; the workers take turns at those of each shard.

    Args:
        connections: One to each shard, in order.
    """

    def __init__(self, connections: Sequence[RedisCommands]) -> None:
        super().__init__(connections[0])
        self._shards = tuple(map(OperationStore, connections))

    async def create(self, new: Operation) -> Operation:
        """See ``OperationStore.create``; each shard has an equal part of the rate."""
        part = replace(new, rate_per_s=new.rate_per_s / len(self._shards))
        made: list[Operation] = []
        try:
            for shard in self._shards:
                made.append(await shard.create(part))  # noqa: PERF401 - those before an error are cancelled
        except GatewayError:
            if made:
                await self.cancel(new.id)
            raise
        return sum_operations(made)

    async def get(self, operation_id: str) -> Operation:
        """See ``OperationStore.get``."""
        return await self._sum(operation_id, lambda shard: shard.get(operation_id))

    async def cancel(self, operation_id: str) -> Operation:
        """See ``OperationStore.cancel``."""
        return await self._sum(operation_id, lambda shard: shard.cancel(operation_id))

    async def tally(self, scope: Scope, wanted: JobFilter, *, dead: bool = False) -> Tally:
        """See ``OperationStore.tally``."""
        total = Tally()
        for tally in await asyncio.gather(*(shard.tally(scope, wanted, dead=dead) for shard in self._shards)):
            total.include(tally)
        return total

    async def _sum(
        self, operation_id: str, read: Callable[[OperationStore], Coroutine[Any, Any, Operation]]
    ) -> Operation:
        answers = await asyncio.gather(*map(read, self._shards), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, NotFound):
                raise answer
        parts = [answer for answer in answers if isinstance(answer, Operation)]
        if not parts:
            raise no_such_operation(operation_id)
        return sum_operations(parts)


def sum_operations(parts: Sequence[Operation]) -> Operation:
    """Add up an operation's parts; it has ended when all of them have."""
    first = parts[0]
    status = _status([part.status for part in parts])
    return replace(
        first,
        status=status,
        rate_per_s=round(sum(part.rate_per_s for part in parts), 6),
        matched=sum(part.matched for part in parts),
        done=sum(part.done for part in parts),
        skipped=sum(part.skipped for part in parts),
        failed=sum(part.failed for part in parts),
        cost_micro_usd=sum(part.cost_micro_usd for part in parts),
        started_ms=min((part.started_ms for part in parts if part.started_ms), default=0),
        completed_ms=max(part.completed_ms for part in parts) if status in _ENDED else 0,
        error=next((part.error for part in parts if part.error), None),
        counted=all(part.counted for part in parts),
    )


def _status(statuses: Sequence[OperationStatus]) -> OperationStatus:
    """Return the status of the whole: of ended parts, the worst."""
    if all(status in _ENDED for status in statuses):
        return next(status for status in _ENDED if status in statuses)
    queued = all(status is OperationStatus.QUEUED for status in statuses)
    return OperationStatus.QUEUED if queued else OperationStatus.RUNNING
