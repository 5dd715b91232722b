"""One turn at a bulk operation: collect its jobs, then act on them, each once; any worker may go on after it."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from shared.errors import (
    GatewayError,
    InternalError,
    JobNotFound,
    RateLimited,
    RetryRefused,
    StoreUnavailable,
)
from shared.governance.keys.authenticate import Authenticator
from shared.inference.retries import retry_call
from shared.inference.submission import Submitter
from shared.jobs.filters import JobFilter, read_filter
from shared.jobs.model import RetryChanges, State
from shared.jobs.operation import Action, Operation, OperationStatus, OperationTurn, Scan
from shared.jobs.operations import OperationLost, OperationStore
from shared.jobs.store import JobStore
from shared.surfaces.request_types import BY_NAME

log = logging.getLogger("finops.operations")

JOBS_AT_ONCE = 16
"""Most jobs of one script call: 16 cancels take the store 1 to 2 ms, for which claims and submits wait."""
PAUSE_S = 0.001
"""Between two such calls, for others: the store works on the operation for some 40 % of the time at most."""
RETRIES_AT_ONCE = 20
LONGEST_TURN_S = 1.0
"""A turn ends after this, so that operations take turns too."""
MAX_TRIES = 20
"""Turns in a row in which nothing was done, after which an operation fails."""
RATE_PAUSE_MS = 1_000
FAULT_PAUSE_MS = 1_000
LEAST_WAIT_S = 0.2
LONGEST_WAIT_S = 5.0
NOT_DUE_S = float("inf")
Result = tuple[str, str, GatewayError | None]


class OperationTurns:
    """Works on bulk operations.

    Args:
        store: The operations.
        jobs: Reads the jobs that are retried.
        submitter: Retries them under their owners' limits.
        governance: Knows the owners.
        ended: Called with action and status when an operation has ended.
        monotonic: A clock in seconds.
    """

    def __init__(
        self,
        store: OperationStore,
        jobs: JobStore,
        submitter: Submitter,
        governance: Authenticator,
        *,
        ended: Callable[[str, str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._submitter = submitter
        self._governance = governance
        self._ended = ended
        self._monotonic = monotonic

    async def take_turn(self) -> float:
        """Work on the operation that waits longest; return the seconds until another turn may be due.

        Raises:
            StoreUnavailable: No answer; the turn is taken again when its lease ends.
        """
        turn = await self._store.take()
        if turn is None:
            return NOT_DUE_S
        with suppress(OperationLost):
            await self._step(turn)
        return 0.0

    async def _step(self, turn: OperationTurn) -> None:
        operation = turn.operation
        try:
            if operation.tries > MAX_TRIES:
                error = InternalError("The operation failed inside the gateway; see the log entries with its id.")
                await self._end(operation, OperationStatus.FAILED, error)
                return
            pause_ms = await self._work(turn)
        except (GatewayError, OperationLost):
            raise
        except Exception:
            # A fault of the gateway's own: the operations after this one must not wait for its cause to be found.
            log.exception("a turn at an operation failed", extra={"operation_id": operation.id})
            await self._store.end_turn(operation, FAULT_PAUSE_MS, failed=True)
            return
        if pause_ms is not None:
            await self._store.end_turn(operation, pause_ms)

    async def _work(self, turn: OperationTurn) -> int | None:
        """Go on until the operation ends or the turn has lasted; milliseconds until the next one, None at the end."""
        operation, until = turn.operation, self._monotonic() + LONGEST_TURN_S
        wanted = _filter_of(operation)
        if not operation.counted and not await self._collect(operation, wanted, until):
            return 0
        room = _room(operation, turn.now_ms)
        while room > 0:
            handled, wait_ms = await self._act(operation, wanted, room, turn.now_ms)
            if not handled:
                break
            if wait_ms:
                return wait_ms
            room -= handled
            if self._monotonic() > until:
                return 0
        if room <= 0 and await self._store.next_jobs(operation, 1):
            return RATE_PAUSE_MS
        await self._end(operation, OperationStatus.COMPLETED)
        return None

    async def _act(self, operation: Operation, wanted: JobFilter, room: int, now_ms: int) -> tuple[int, int]:
        """Apply the action to the next jobs; how many, and milliseconds to wait where limits admit none of them now."""
        if operation.action is Action.RETRY:
            ids = await self._store.next_jobs(operation, min(RETRIES_AT_ONCE, room))
            return len(ids), await self._retry(operation, ids, now_ms) if ids else 0
        handled = await self._store.act(operation, wanted, min(JOBS_AT_ONCE, room))
        await asyncio.sleep(PAUSE_S)
        return handled, 0

    async def _collect(self, operation: Operation, wanted: JobFilter, until: float) -> bool:
        """Collect the jobs of an operation; False: the turn has lasted, and there are more."""
        scan = operation.scan
        if scan is None:
            scan = Scan(sets=(await self._store.plan(operation.scope, wanted, dead=operation.dead)).sets)
        narrowed = operation.scope.narrowed(wanted)
        while True:
            scan = await self._store.collect(operation, scan, narrowed)
            if not scan.sets:
                return True
            if self._monotonic() > until:
                return False

    async def _retry(self, operation: Operation, ids: Sequence[str], now_ms: int) -> int:
        """Retry jobs; milliseconds to wait where limits admit none of them now."""
        results = await asyncio.gather(*(self._retry_one(operation, job_id) for job_id in ids))
        limited = [result for result in results if result and isinstance(result[2], RateLimited)]
        counted = [result for result in results if result and result not in limited]
        await self._store.count(operation, counted)
        if not limited:
            return 0
        await self._store.put_back(operation, [job_id for job_id, _, _ in limited], now_ms)
        waits_s = [error.retry_after_s or 1.0 for _, _, error in limited if error is not None]
        return 0 if len(limited) < len(ids) else round(min(LONGEST_WAIT_S, max(LEAST_WAIT_S, *waits_s)) * 1000)

    async def _retry_one(self, operation: Operation, job_id: str) -> Result | None:
        """Retry a job; None: it is queued, and counted as done by the script that queued it."""
        try:
            job = await self._jobs.get(job_id)
            if job is None or job.state is not State.FAILED:
                return job_id, "skipped", None
            body = await self._jobs.payload(job_id)
            if body is None:
                raise JobNotFound(job_id)
            owner = await self._governance.owner(job.owner)
            owner.check()
            await self._submitter.retry(retry_call(job, body, owner), RetryChanges(operation=operation.id))
        except RetryRefused:
            return job_id, "skipped", None
        except StoreUnavailable:
            raise
        except GatewayError as error:
            return job_id, "failed", error
        return None

    async def _end(self, operation: Operation, status: OperationStatus, error: GatewayError | None = None) -> None:
        await self._store.end(operation, status, error)
        self._ended(str(operation.action), str(status))
        log.info("an operation has ended", extra={"operation_id": operation.id, "status": str(status)})


def _filter_of(operation: Operation) -> JobFilter:
    """Return the filter, of jobs that were made before the operation."""
    wanted = read_filter(operation.params, types=tuple(BY_NAME), admin=operation.scope.everyone)
    return wanted.created_by(operation.created_ms)


def _room(operation: Operation, now_ms: int) -> int:
    """Return how many jobs the rate allows by now."""
    if not operation.rate_per_s:
        return 2**31
    seconds = max(0, now_ms - (operation.started_ms or now_ms)) / 1000
    used = operation.done + operation.skipped + operation.failed
    return int(operation.rate_per_s * (seconds + 1)) - used
