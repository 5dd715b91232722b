"""How long a submit can wait for its answer, and the lane that its job takes for that."""

import logging
import time
from dataclasses import replace
from fnmatch import fnmatchcase

from api.jobs.async_headers import SubmitOptions
from shared.errors import StoreUnavailable
from shared.inference.call import Call
from shared.inference.lane_choice import LaneChooser
from shared.inference.submission import PARKED
from shared.jobs.model import MAX_DELAY_S, NewJob
from shared.jobs.queue import Submission
from shared.patience.gathering import GatheredBatches, Group
from shared.patience.lanes import LANE, JobLane, Lane
from shared.settings.patience import PatienceSettings
from shared.surfaces.request_types import BY_NAME

log = logging.getLogger("finops.jobs")


async def lane_of(lanes: LaneChooser, call: Call, options: SubmitOptions) -> JobLane | None:
    """Return the lane of a job; None: it is not known to have time.

    Args:
        lanes: Chooses lanes.
        call: The job's request.
        options: Of its submit.

    Raises:
        GatewayError: The model cannot be resolved, or not used by the caller.
    """
    patience_s = _patience_s(lanes.settings, call, options)
    if patience_s is None:
        return None
    if options.deadline_s is not None:
        patience_s = min(patience_s, options.deadline_s)
    if call.stream:
        patience_s = 0.0  # somebody reads along
    now_ms = int(time.time() * 1000)
    return await lanes.choose(call, patience_s, now_ms, starts_later=options.delay_s > 0)


def _patience_s(settings: PatienceSettings, call: Call, options: SubmitOptions) -> float | None:
    """Return what the request, its deadline or the configuration says, in this order, in seconds."""
    if options.patience_s is not None:
        return options.patience_s
    if settings.deadlines and options.deadline_s is not None:
        return options.deadline_s
    if call.caller.name in settings.keys:
        return settings.keys[call.caller.name]
    of_route = (wait_s for pattern, wait_s in settings.routes.items() if fnmatchcase(call.model, pattern))
    return next(of_route, settings.default_s or None)


def with_lane(new: NewJob, lane: JobLane | None) -> NewJob:
    """Return a job with its lane, if it has one; a job that waits for a batch is due when it is promoted."""
    if lane is None:
        return new
    new = replace(new, context={**new.context, LANE: lane.to_json()})
    if lane.lane is not Lane.BATCH:
        return new
    return replace(new, delay_s=min(max(lane.promote_ms / 1000 - time.time(), 0.001), MAX_DELAY_S))


async def gather(gathered: GatheredBatches, submission: Submission, new: NewJob, lane: JobLane | None) -> None:
    """Add a new job to the batch that it waits for; if the store does not answer, it runs when it is promoted."""
    job = submission.job
    if lane is None or lane.lane is not Lane.BATCH or not submission.created or PARKED in job.context:
        return
    provider, _, model = lane.model.partition("/")
    group = Group(new.owner, provider, model, BY_NAME[new.request_type].path)
    try:
        await gathered.add(group, job.id, size=len(new.payload), promote_ms=lane.promote_ms)
    except StoreUnavailable as error:
        log.warning(
            "a job is not gathered: it runs when it is promoted", extra={"job_id": job.id, "reason": str(error)}
        )
