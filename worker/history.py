"""The history of a run: its upstream attempts, as the job's record keeps them; pure."""

import time
from collections.abc import Sequence

import orjson

from shared.governance.ledger.writer import CallOutcome
from shared.governance.limits.model import MICRO
from shared.inference.call import UpstreamAttempt
from shared.inference.call_cost import CallCost
from shared.jobs.model import Claim, Deferral, Job, Outcome


def history_of(
    claim: Claim, attempts: Sequence[UpstreamAttempt], ending: Outcome | Deferral | None, call_cost: CallCost | None
) -> bytes:
    """Return the lines of a run's attempts; only the last one can have used tokens and cost money.

    Args:
        claim: The run's claim.
        attempts: In order; a stream's ends when its run does, and as its run does.
        ending: How the run ended; None: with an answer.
        call_cost: Of the run; None: nothing is billed.
    """
    if attempts:
        _finish_last(attempts[-1], ending)
    rows = [_row(claim, attempt) for attempt in attempts]
    if rows and call_cost is not None and call_cost.entry:
        cost = call_cost.cost
        known = cost.priced or call_cost.usage.empty
        rows[-1] |= {
            "input_tokens": call_cost.usage.input,
            "output_tokens": call_cost.usage.output,
            "cost_usd": cost.micro_usd / MICRO if known else None,
        }
    return b"\n".join(orjson.dumps(row) for row in rows)


def _finish_last(attempt: UpstreamAttempt, ending: Outcome | Deferral | None) -> None:
    if attempt.code:
        return
    attempt.ended = time.time()
    if isinstance(ending, Outcome) and ending.error is not None:
        attempt.status = ending.status_code
        attempt.code = str(ending.error.get("code") or ending.error.get("type") or "")


def _row(claim: Claim, attempt: UpstreamAttempt) -> dict[str, object]:
    """Return an entry; ``add_history`` of the engine's scripts expects ``run`` first."""
    return {
        "run": claim.attempt,
        "worker": claim.token.rpartition(":")[0],
        "provider": attempt.provider,
        "model": attempt.model,
        "key": attempt.key or None,
        "status": attempt.status,
        "code": attempt.code or None,
        "started_at": round(attempt.started * 1000),
        "duration_ms": max(0, round((attempt.ended - attempt.started) * 1000)),
        "input_tokens": 0,
        "output_tokens": 0,
        "cost_usd": 0.0,
        **({"lane": attempt.lane} if attempt.lane else {}),
    }


def batch_attempt(job: Job, booked: CallOutcome, started_ms: int) -> bytes:
    """Return the history line of a job that its provider's batch answered.

    Args:
        job: The job.
        booked: What the answer is booked as.
        started_ms: Unix milliseconds since which the batch was gathered.
    """
    row = {
        "run": job.attempts or 1,
        "worker": None,
        "provider": booked.provider,
        "model": booked.model,
        "key": None,
        "status": 200,
        "code": None,
        "started_at": started_ms,
        "duration_ms": booked.latency_ms,
        "input_tokens": booked.usage.input,
        "output_tokens": booked.usage.output,
        "cost_usd": booked.cost.micro_usd / MICRO if booked.cost.priced else None,
        "lane": booked.lane,
    }
    return orjson.dumps(row)
