"""Decides whether and when a job that a provider asked to retry later comes back; pure."""

from shared.inference.call import RetryLater
from shared.inference.submission import PARKED
from shared.jobs.model import MAX_DELAY_S as LONGEST_S
from shared.jobs.model import Claim, Deferral

MIN_DELAY_S = 0.05
MAX_DELAY_S = 3600.0
# A job older than this is not deferred again, so that every job ends.
MAX_AGE_S = 24 * 3600.0


def deferral_after(later: RetryLater, claim: Claim) -> Deferral | None:
    """Return the deferral of a job whose provider asked to retry later; the attempt is not counted.

    Returns:
        None when the job would come back past its deadline or is too old: it ends with the provider's error.
    """
    parked = later.reason == PARKED
    delay_s = min(max(later.delay_s, MIN_DELAY_S), LONGEST_S if parked else MAX_DELAY_S)
    back_ms = claim.started_ms + delay_s * 1000
    if claim.deadline_ms and back_ms >= claim.deadline_ms:
        return None
    if not parked and back_ms - claim.created_ms > MAX_AGE_S * 1000:
        return None
    return Deferral(delay_s=delay_s, reason=later.reason)
