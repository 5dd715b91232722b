"""Actions on jobs: cancel, and retry on the owner's budget."""

from dataclasses import replace

from api.jobs.retry_changes import with_fallbacks
from api.services import Services
from shared.errors import InvalidRequest, JobFinished, JobNotFound
from shared.governance.keys.caller import Caller
from shared.inference.call import Call
from shared.inference.retries import retry_call
from shared.jobs.model import UNCHANGED, Job, RetryChanges, State
from shared.surfaces.request_types import BY_NAME


async def cancel(services: Services, job: Job) -> Job:
    """Cancel an open job; a job that is cancelled already stays as it is.

    Raises:
        JobFinished: The job has completed or failed.
    """
    if job.live:
        job = await services.store.cancel(job.id)
    if job.state is not State.CANCELLED:
        raise JobFinished(f"Job {job.id} has already {job.state}; it cannot be cancelled.", should_retry=False)
    return job


async def retry(services: Services, caller: Caller, job: Job, changes: RetryChanges = UNCHANGED) -> Job:
    """Put a failed job back into the queue; it passes its key's limits again unless an administrator retries it.

    Raises:
        JobNotFound: Its request body has expired.
        RetryRefused: The job has not failed.
        GatewayError: A limit is reached, or the call would be refused whatever happens.
    """
    if job.state is not State.FAILED or (caller.admin and changes == UNCHANGED):
        return await services.store.retry(job.id)
    body = await services.store.payload(job.id)
    if body is None:
        raise JobNotFound(job.id)
    owner = await services.governance.owner(job.owner) if caller.admin else caller
    call = _call_of(job, body, owner, changes)
    if changes.fallbacks is not None:
        changes = replace(changes, payload=call.body if call.native is None else call.native.body)
    if changes != UNCHANGED:
        await services.inference.authorise(call)
    if caller.admin:
        return await services.store.retry(job.id, changes)
    return await services.submitter.retry(call, changes)


def _call_of(job: Job, body: bytes, caller: Caller, changes: RetryChanges) -> Call:
    if changes.fallbacks is not None:
        if BY_NAME[job.request_type].form == "multipart":
            raise InvalidRequest(f"fallbacks cannot be changed for {job.request_type}.", param="fallbacks")
        body = with_fallbacks(body, changes)
    return retry_call(job, body, caller, model=changes.model)
