"""The call of a failed job that is to run again."""

import orjson

from shared.governance.keys.caller import Caller
from shared.governance.limits.runs import Run
from shared.inference.call import Call
from shared.jobs.model import Job
from shared.surfaces.multipart import form_fields
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
    multipart = request_type.form == "multipart"
    return Call(
        request_type=request_type,
        model=model or job.model,
        body=body,
        fields=form_fields(body, job.content_type) if multipart else orjson.loads(body),
        content_type=job.content_type,
        caller=caller,
        job_id=job.id,
        surface=str(job.context.get("surface", "")),
        dimensions=job.context.get("dimensions") or {},
        run=Run.from_json(job.context.get("run")),
    )
