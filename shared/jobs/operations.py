"""Bulk operations: one action on all jobs of a filter, done by the workers in turns, each job once."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import orjson

from shared.errors import GatewayError, NotFound, RequestLimited
from shared.jobs import keys
from shared.jobs.endings import cancelled_error
from shared.jobs.filters import JobFilter
from shared.jobs.labels import index_of
from shared.jobs.operation import Operation, OperationStatus, OperationTurn, Scan, Scope, Tally
from shared.jobs.positions import START, Position
from shared.jobs.scans import JobScans, ScanPlan
from shared.jobs.scripts import EngineScripts
from shared.store.commands import Argument, RedisCommands
from shared.surfaces import minted_ids

PREFIX = "op_"
TURN_MS = 5_000
"""Lease of a turn; every write renews it."""
MAX_OPEN_PER_MAKER = 10
MAX_OPEN = 1_000
_ANY_ID = "any-id"
_TALLIED = ("state", "model", "owner", "context")


class OperationLost(Exception):
    """Another worker has the turn, or the operation was cancelled: nothing was written."""


class OperationStore:
    """Reads and writes bulk operations.

    Args:
        commands: The store.
    """

    def __init__(self, commands: RedisCommands) -> None:
        self._scripts = EngineScripts(commands)
        self._scans = JobScans(self._scripts)

    async def create(self, new: Operation) -> Operation:
        """Store an operation; the workers begin at once.

        Raises:
            RequestLimited: Its maker, or the gateway, has too many open ones.
            StoreUnavailable: No answer.
        """
        args: list[Argument] = [new.id, new.maker, MAX_OPEN_PER_MAKER, MAX_OPEN]
        args += ("action", str(new.action), "filter", orjson.dumps(new.params), "owner", new.scope.owner)
        args += ("everyone", "1" if new.scope.everyone else "", "dead", "1" if new.dead else "")
        args += ("priority", str(new.priority or ""), "rate_per_s", new.rate_per_s)
        reply = await self._scripts.run("operation_create", args, retry_safe=True)
        if isinstance(reply, bytes):
            whose = f"You have {MAX_OPEN_PER_MAKER}" if reply == b"own" else f"The gateway has {MAX_OPEN}"
            raise RequestLimited(f"{whose} open operations; wait until one has ended, or cancel one.", retry_after_s=5)
        return Operation.from_fields(new.id, reply)

    async def get(self, operation_id: str) -> Operation:
        """Return an operation; the caller checks its maker.

        Raises:
            NotFound: It does not exist (any more).
            StoreUnavailable: No answer.
        """
        if not minted_ids.is_minted(PREFIX, operation_id):
            raise no_such_operation(operation_id)
        flat = await self._scripts.execute("HGETALL", keys.operation(operation_id), retry_safe=True)
        if not flat:
            raise no_such_operation(operation_id)
        return Operation.from_fields(operation_id, flat)

    async def cancel(self, operation_id: str) -> Operation:
        """Cancel an open operation; one that has ended is returned unchanged.

        Raises:
            NotFound: It does not exist.
            StoreUnavailable: No answer.
        """
        flat = await self._scripts.run("operation_cancel", [operation_id], retry_safe=True)
        if flat is None:
            raise no_such_operation(operation_id)
        return Operation.from_fields(operation_id, flat)

    async def tally(self, scope: Scope, wanted: JobFilter, *, dead: bool = False) -> Tally:
        """Count the jobs of a filter.

        Raises:
            StoreUnavailable: No answer.
        """
        tally, seen = Tally(), set[bytes]()
        plan, narrowed = await self.plan(scope, wanted, dead=dead), scope.narrowed(wanted)
        for set_key in plan.sets:
            position: Position | None = START
            while position is not None:
                rows, position = await self._scans.piece(
                    set_key, narrowed, position, fields=_TALLIED, groups=plan.groups
                )
                for job_id, values in rows:
                    if job_id not in seen:
                        seen.add(job_id)
                        tally.add(*values)
        return tally

    async def plan(self, scope: Scope, wanted: JobFilter, *, dead: bool) -> ScanPlan:
        """Return how the jobs of a filter are found, in sets of which none expires soon.

        Raises:
            StoreUnavailable: No answer.
        """
        if scope.listed == "":
            return ScanPlan(())
        if dead:
            return ScanPlan((keys.DEAD,))
        found = await self._scans.plan(scope.listed, wanted)
        return ScanPlan(_lasting(found.sets), tuple(map(_lasting, found.groups)))

    async def take(self) -> OperationTurn | None:
        """Take a turn at the open operation that waits longest; None: none is due.

        Raises:
            StoreUnavailable: No answer.
        """
        reply = await self._scripts.run("operation_take", [TURN_MS])
        if not reply:
            return None
        operation_id, flat, left, now_ms = reply
        return OperationTurn(Operation.from_fields(operation_id.decode(), flat), int(left), int(now_ms))

    async def collect(self, operation: Operation, scan: Scan, wanted: JobFilter) -> Scan:
        """Add the next jobs that match; a scan without sets has ended.

        Args:
            operation: The operation.
            scan: How far it is.
            wanted: Its filter, within its scope.

        Raises:
            OperationLost: The turn is over.
            StoreUnavailable: No answer.
        """
        rows: Sequence[Sequence[Any]] = ()
        if scan.sets:
            fields = ("created_ms",)
            rows, position = await self._scans.piece(scan.sets[0], wanted, scan.position, fields=fields)
            ended = position is None
            scan = Scan(sets=scan.sets[1:]) if ended else replace(scan, position=position or START)
        args: list[Argument] = [operation.id, operation.turn, TURN_MS, "" if scan.sets else "1", scan.to_json()]
        for job_id, (created_ms,) in rows:
            args += (created_ms, job_id)
        if not await self._scripts.run("operation_collect", args, retry_safe=True):
            raise OperationLost(operation.id)
        return scan

    async def next_jobs(self, operation: Operation, count: int) -> list[str]:
        """Return the next jobs that were not looked at yet.

        Raises:
            StoreUnavailable: No answer.
        """
        ids = await self._scripts.execute("ZRANGE", keys.operation_jobs(operation.id), 0, count - 1, retry_safe=True)
        return [job_id.decode() for job_id in ids]

    async def act(self, operation: Operation, wanted: JobFilter, count: int) -> int:
        """Apply the action, other than a retry, to the next jobs, and count them.

        Args:
            operation: The operation.
            wanted: Its filter, within its scope.
            count: Most jobs, 1 or more.

        Returns:
            How many jobs these were; 0: there are no more.

        Raises:
            OperationLost: The turn is over.
            StoreUnavailable: No answer.
        """
        priority = str(operation.priority or "")
        before, _, after = cancelled_error(_ANY_ID).partition(_ANY_ID.encode())
        args: list[Argument] = [operation.id, operation.turn, TURN_MS, str(operation.action), priority]
        args += (index_of("priority", priority), wanted.as_json(), count, before, after)
        handled = int(await self._scripts.run("operation_act", args, retry_safe=True))
        _check_held(operation, handled >= 0)
        return handled

    async def count(self, operation: Operation, results: Sequence[tuple[str, str, GatewayError | None]]) -> None:
        """Count jobs that were not retried: id, ``skipped`` or ``failed``, and why.

        Raises:
            OperationLost: The turn is over.
            StoreUnavailable: No answer.
        """
        args: list[Argument] = [operation.id, operation.turn, TURN_MS]
        for job_id, result, error in results:
            args += (job_id, result, b"" if error is None else error_json(error))
        _check_held(operation, await self._scripts.run("operation_count", args, retry_safe=True))

    async def put_back(self, operation: Operation, ids: Sequence[str], now_ms: int) -> None:
        """Look at jobs again after all others.

        Raises:
            StoreUnavailable: No answer.
        """
        scores: list[Argument] = []
        for job_id in ids:
            scores += (now_ms, job_id)
        await self._scripts.execute("ZADD", keys.operation_jobs(operation.id), "XX", *scores, retry_safe=True)

    async def end_turn(self, operation: Operation, pause_ms: int, *, failed: bool = False) -> None:
        """End the turn; the next one is due after a pause. A turn that is over already stays so.

        Args:
            operation: The operation.
            pause_ms: Milliseconds.
            failed: Whether the turn met a fault of the gateway's own.

        Raises:
            StoreUnavailable: No answer.
        """
        await self._scripts.run(
            "operation_end", [operation.id, operation.turn, pause_ms, "", b"", "1" if failed else ""]
        )

    async def end(self, operation: Operation, status: OperationStatus, error: GatewayError | None = None) -> None:
        """End the operation; jobs that were not looked at have failed.

        Raises:
            OperationLost: The turn is over.
            StoreUnavailable: No answer.
        """
        text = b"" if error is None else error_json(error)
        if not await self._scripts.run("operation_end", [operation.id, operation.turn, 0, str(status), text, ""]):
            raise OperationLost(operation.id)


def mint_operation_id() -> str:
    """Create an operation id."""
    return minted_ids.mint(PREFIX)


def no_such_operation(operation_id: str) -> NotFound:
    """Build the error for an operation that is unknown, expired or another caller's."""
    return NotFound(f"Unknown operation {operation_id[:80]!r}.", code="operation_not_found", should_retry=False)


def error_json(error: GatewayError) -> bytes:
    """Return an error as an operation stores it."""
    return orjson.dumps({"code": error.code, "message": error.message})


def _check_held(operation: Operation, reply: int) -> None:
    if not reply:
        raise OperationLost(operation.id)


def _lasting(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(keys.LIVE if name == keys.RUNNING else name for name in names)
