"""Actions on jobs: cancel, and retry on the owner's budget."""

import orjson

from api.services import Services
from shared.errors import JobFinished, JobNotFound
from shared.governance.keys.caller import Caller
from shared.governance.limits.runs import Run
from shared.inference.call import Call
from shared.jobs.model import Job, State
from shared.surfaces.multipart import form_fields
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


async def retry(services: Services, caller: Caller, job: Job) -> Job:
    """Put a failed job back into the queue; it passes its key's limits again unless an administrator retries it.

    Raises:
        JobNotFound: Its request body has expired.
        RetryRefused: The job has not failed.
        GatewayError: A limit is reached, or the call is invalid.
    """
    if job.state is not State.FAILED or caller.admin:
        return await services.store.retry(job.id)
    body = await services.store.payload(job.id)
    if body is None:
        raise JobNotFound(job.id)
    return await services.submitter.retry(_call_of(job, body, caller))


def _call_of(job: Job, body: bytes, caller: Caller) -> Call:
    request_type = BY_NAME[job.request_type]
    multipart = request_type.form == "multipart"
    return Call(
        request_type=request_type,
        model=job.model,
        body=body,
        fields=form_fields(body, job.content_type) if multipart else orjson.loads(body),
        content_type=job.content_type,
        caller=caller,
        job_id=job.id,
        dimensions=job.context.get("dimensions") or {},
        run=Run.from_json(job.context.get("run")),
    )
