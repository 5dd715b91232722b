"""The call of a failed job that is to run again."""

from shared.governance.keys.caller import Caller
from shared.governance.limits.runs import Run
from shared.inference.call import Call
from shared.jobs.model import Job
from shared.surfaces.native_body import stored_payload
from shared.surfaces.request_types import BY_NAME


def retry_call(job: Job, body: bytes, caller: Caller, *, model: str = "") -> Call:
    """Build the call of a job, as its limits see it.

    Args:
        job: The job.
        body: Its request body.
        caller: Its owner.
        model: The model to ask instead; empty: the job's.
    """
    request_type = BY_NAME[job.request_type]
    payload = stored_payload(request_type, body, job.content_type, job.model)
    return Call(
        request_type=request_type,
        model=model or job.model,
        body=payload.body,
        fields=payload.fields,
        content_type=payload.content_type,
        caller=caller,
        job_id=job.id,
        surface=str(job.context.get("surface", "")),
        dimensions=job.context.get("dimensions") or {},
        run=Run.from_json(job.context.get("run")),
        native=payload.native,
    )
