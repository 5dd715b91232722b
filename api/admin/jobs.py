"""All callers' jobs and the queue, for administrators and autoscalers."""

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ServicesDep, as_response
from api.http.ownership import Everyone
from api.http.query import read_limit, unknown_cursor
from api.http.request_context import json_reply
from api.jobs.actions import cancel, retry
from api.jobs.lists import list_jobs, list_parameters, page_reply, read_job_list_query
from api.jobs.replies import envelope_reply
from api.jobs.retry_changes import RETRY_BODY, read_retry_changes
from api.services import Services
from shared.errors import JobNotFound
from shared.governance.keys.authenticate import ADMINISTRATOR
from shared.jobs.model import Job
from shared.jobs.workers import running_workers

router = admin_router("/api")

Text = Annotated[str | None, Query()]


@router.get("/jobs", summary="List and search all callers' jobs", openapi_extra=list_parameters(admin=True))
async def list_all(request: Request, services: ServicesDep) -> Response:
    """A page of envelopes without results."""
    page = await list_jobs(services.store, Everyone(), read_job_list_query(request.query_params, admin=True))
    return as_response(page_reply(page))


@router.get("/jobs/dead", summary="List jobs that failed for good")
async def list_dead(services: ServicesDep, after: Text = None, limit: Text = None) -> Response:
    """The dead-letter list, newest first."""
    try:
        page = await services.store.dead(after=after or "", limit=read_limit(limit))
    except JobNotFound:
        raise unknown_cursor() from None
    return as_response(page_reply(page))


@router.get("/jobs/{job_id}", summary="Get any job's envelope", responses={202: {"description": "Not ended yet."}})
async def get_any(job_id: str, services: ServicesDep) -> Response:
    """The envelope that ``/v1/async/jobs/{id}`` returns to the job's owner."""
    return as_response(envelope_reply(await _find(services, job_id)))


@router.post("/jobs/{job_id}/cancel", summary="Cancel any job")
async def cancel_any(job_id: str, services: ServicesDep) -> Response:
    """Cancels an open job and aborts its upstream call."""
    return as_response(envelope_reply(await cancel(services, await _find(services, job_id))))


@router.post("/jobs/{job_id}/retry", summary="Run any failed job again", status_code=202, openapi_extra=RETRY_BODY)
async def retry_any(request: Request, job_id: str, services: ServicesDep) -> Response:
    """Puts a failed job back into the queue, also one of the dead-letter list.

    The body may change the model, priority, deadline and fallbacks; earlier attempts stay in ``history``.
    """
    job = await _find(services, job_id)
    changes = read_retry_changes(await request.body())
    return as_response(envelope_reply(await retry(services, ADMINISTRATOR, job, changes)))


@router.get("/queue", summary="Get the depth and age of the queue")
async def get_queue(services: ServicesDep) -> Response:
    """Depth and age of the oldest job per priority, callers with waiting jobs, and the running workers."""
    stats = await services.store.stats()
    priorities = {
        str(priority): {"depth": queue.depth, "oldest_age_s": queue.oldest_age_s}
        for priority, queue in stats.priorities.items()
    }
    depth = sum(queue.depth for queue in stats.priorities.values())
    oldest_s = max((queue.oldest_age_s or 0.0 for queue in stats.priorities.values()), default=0.0)
    return as_response(
        json_reply(
            {
                "depth": depth,
                "oldest_age_s": oldest_s,
                "priorities": priorities,
                "deferred": stats.deferred,
                "running": stats.running,
                "dead": stats.dead,
                "callers": stats.callers,
                "workers": [worker.to_dict() for worker in await running_workers(services.commands)],
            }
        )
    )


async def _find(services: Services, job_id: str) -> Job:
    job = await services.store.get(job_id)
    if job is None:
        raise JobNotFound(job_id)
    return job
