"""Submission of jobs whose costs are reserved first: one implementation for callers, batches and retries.

::

    look for a repeat ──> reserve ──> submit (or requeue) ──> the job carries the reservation
                             │             │
                             │             └ refused, or a job was there before: the reservation is given back
                             └ a limit is spent: look for a repeat once more, then refuse
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from shared.errors import (
    BudgetExceeded,
    GatewayError,
    RequestLimited,
    RetryRefused,
    StoreUnavailable,
    TokenLimited,
)
from shared.governance.limits.guard import Reservation
from shared.inference.call import Call
from shared.inference.inference import Inference
from shared.jobs.model import MAX_DELAY_S, UNCHANGED, Job, NewJob, RetryChanges
from shared.jobs.queue import JobQueue, Submission
from shared.jobs.store import JobStore

PARKED = "parked"
"""In the context of a job that waits for a limit's next window; its run makes the reservation."""
AFTER_TURN_S = 0.05
OnReserved = Callable[[Reservation], None]
Settle = Callable[[str], Awaitable[None]]
# After these the job exists, or may exist, under the reserved id: its end settles the reservation, or its time does.
_MAY_HAVE_TAKEN_EFFECT = (StoreUnavailable, RetryRefused)


def parked_s(error: BudgetExceeded | RequestLimited | TokenLimited) -> float:
    """Return how long a job waits for a limit's next window; past ``MAX_DELAY_S`` it looks again, and waits on."""
    return min(error.turns_in_s + AFTER_TURN_S, MAX_DELAY_S)


def _ignore(_reservation: Reservation) -> None:
    """Do nothing: the caller does not show limits."""


async def nothing_to_settle(_job_id: str) -> None:
    """Do nothing: with one shard, an outcome is booked by the script that writes it."""


class Submitter:
    """Reserves what jobs may cost, submits them, and gives back reservations that no job took over.

    Args:
        inference: Reserves and releases.
        queue: Takes new jobs.
        store: Puts failed jobs back into the queue.
        settle: Called with the id of a job that is to run again, so that what it cost is booked before.
    """

    def __init__(
        self, inference: Inference, queue: JobQueue, store: JobStore, settle: Settle = nothing_to_settle
    ) -> None:
        self._settle = settle
        self._inference = inference
        self._queue = queue
        self._store = store

    async def submit(self, call: Call, new: NewJob, on_reserved: OnReserved = _ignore) -> Submission:
        """Reserve what a job may cost, then submit it.

        A repeat costs nothing, so no limit may refuse it or count it: it is looked for before anything is reserved,
        and once more after a refusal, because its first try may have taken what was left meanwhile. (One that falls
        between that try's reservation and its submit is refused: there is no job yet.) A submit whose answer was lost
        may have made the job; then its end gives the reservation back, else the reservation's time does.

        Args:
            call: The job's request, as its limits see it.
            new: The job; its reservation goes by its id, so submitting the same id twice reserves once.
            on_reserved: Called with the reservation before the job is submitted, for the headers of the response.

        Returns:
            The new job, or the one that the same request made before.

        Raises:
            GatewayError: A limit is spent, or no job is taken now.
        """
        if found := await self._queue.find_repeated(new):
            return found
        try:
            reservation = await self._inference.reserve(new.id, call)
        except (BudgetExceeded, RequestLimited, TokenLimited) as error:
            if found := await self._queue.find_repeated(new):
                return found
            if error.parks:
                return await self._park(call, new, error)
            raise
        on_reserved(reservation)
        try:
            made = new.estimated(reservation.estimate)
            submission = await self._queue.submit(made, reserved=bool(reservation.reservation))
        except GatewayError as error:
            self._give_back_after(error, new.id, reservation)
            raise
        if submission.job.id != new.id or not submission.job.live:  # it was there before, and may have ended
            self._give_back(new.id, reservation)
        return submission

    async def _park(self, call: Call, new: NewJob, error: BudgetExceeded | RequestLimited | TokenLimited) -> Submission:
        """Submit a job without a reservation that waits for the next window; its run reserves.

        Raises:
            GatewayError: Its deadline comes before, or no job is taken now.
        """
        delay_s = max(new.delay_s, parked_s(error))
        if new.deadline_s is not None and new.deadline_s <= delay_s:
            if (call_cost := self._inference.open_call_cost(call)) is not None:
                call_cost.failed(error)
            raise error
        context = {**new.context, PARKED: {"limit": error.limit}}
        parked = replace(new, context=context, delay_s=delay_s)
        submission = await self._queue.submit(parked.estimated(self._inference.estimate_of_job(call)))
        if submission.job.id == new.id:
            await self._store.parked.add(new.id, error.limit)
        return submission

    async def retry(self, call: Call, changes: RetryChanges = UNCHANGED) -> Job:
        """Reserve what a failed job may cost when it runs again, then put it back into the queue.

        Raises:
            JobNotFound: There is no such job, or its request body is gone.
            RetryRefused: It has not failed.
            GatewayError: A limit is spent, or the call would be refused whatever happens.
        """
        await self._settle(call.job_id)
        reservation = await self._inference.reserve(call.job_id, call)
        try:
            return await self._store.retry(call.job_id, changes)
        except GatewayError as error:
            self._give_back_after(error, call.job_id, reservation)
            raise

    def _give_back_after(self, error: GatewayError, job_id: str, reservation: Reservation) -> None:
        if not isinstance(error, _MAY_HAVE_TAKEN_EFFECT):
            self._give_back(job_id, reservation)

    def _give_back(self, job_id: str, reservation: Reservation) -> None:
        if reservation.reservation:
            self._inference.give_back(job_id)
