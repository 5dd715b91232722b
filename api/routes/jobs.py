"""``/v1/async/jobs``: list, follow, cancel, retry and remove a caller's jobs of any type."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from api.admin.audited import AuditedRoute
from api.endpoints.deps import CallerDep, ContextDep, ServicesDep, as_response
from api.http.bodies import read_bounded_body
from api.http.disconnect import Hangup
from api.http.ownership import list_owner
from api.http.request_context import Receive, Scope, Send, json_reply
from api.http.streaming import send_event_log
from api.jobs.actions import cancel, retry
from api.jobs.async_mode import find, find_and_wait
from api.jobs.lists import list_jobs, list_parameters, page_reply, read_job_list_query
from api.jobs.replies import content_reply, envelope_reply, job_headers
from api.jobs.retry_changes import MAX_BODY_BYTES, RETRY_BODY, read_retry_changes
from api.services import Services
from shared.errors import JobNotFound
from shared.governance.keys.caller import Caller
from shared.jobs.model import Job
from shared.surfaces.request_types import BY_NAME

router = APIRouter(prefix="/v1/async/jobs", tags=["jobs"], route_class=AuditedRoute)

Text = Annotated[str | None, Query()]


@router.get("", summary="List and search your jobs", openapi_extra=list_parameters())
async def list_own(request: Request, services: ServicesDep, caller: CallerDep) -> Response:
    """A page of envelopes without results; pass its ``last_id`` as ``after`` for the next page."""
    query = read_job_list_query(request.query_params)
    page = await list_jobs(services.store, await list_owner(services.governance, caller), query)
    visible = page.jobs if caller.admin else tuple(job for job in page.jobs if _is_own(job, caller))
    return as_response(page_reply(page, visible))


def _is_own(job: Job, caller: Caller) -> bool:
    return job.owner == caller.key_id and job.request_type in BY_NAME


@router.get("/{job_id}", summary="Get a job's envelope", responses={202: {"description": "Not ended yet."}})
async def get_job(
    request: Request, job_id: str, services: ServicesDep, context: ContextDep, _caller: CallerDep
) -> Response:
    """202 while the job is open, then 200; with ``x-bf-async-wait`` the call waits for the outcome."""
    return as_response(envelope_reply(await find_and_wait(services, context, job_id, None, request.receive)))


@router.get("/{job_id}/content", summary="Get the bytes of a job's result")
async def get_content(
    request: Request, job_id: str, services: ServicesDep, context: ContextDep, _caller: CallerDep
) -> Response:
    """The result as the provider sent it; 202 with the envelope while there is none, an error if it failed."""
    return as_response(content_reply(await find_and_wait(services, context, job_id, None, request.receive)))


@router.post("/{job_id}/cancel", summary="Cancel a job")
async def cancel_job(job_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Cancels an open job and aborts its upstream call. A cancelled one stays as it is; any other is a 409."""
    job = await find(services, caller, job_id)
    return as_response(envelope_reply(await cancel(services, job)))


@router.delete("/{job_id}", summary="Remove a job that has ended")
async def delete_job(job_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Removes the record, result, request body and events. An open job is a 409: cancel it first."""
    job = await find(services, caller, job_id)
    if not await services.store.delete(job.id):
        raise JobNotFound(job_id)
    return as_response(json_reply({"id": job.id, "object": "job", "deleted": True}))


@router.post("/{job_id}/retry", summary="Run a failed job again", status_code=202, openapi_extra=RETRY_BODY)
async def retry_job(request: Request, job_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Puts a failed job back into the queue with all its attempts; any other job is a 409.

    The body may change the model, priority, deadline and fallbacks; earlier attempts stay in ``history``.

    The key's limits apply as to a new job: an exhausted budget is a 402, a rate limit a 429.
    """
    job = await find(services, caller, job_id)
    changes = read_retry_changes(await read_bounded_body(request.receive, MAX_BODY_BYTES))
    return as_response(envelope_reply(await retry(services, caller, job, changes)))


@router.get("/{job_id}/events", summary="Follow a job", response_class=Response)
async def follow_job(
    *,
    request: Request,
    job_id: str,
    services: ServicesDep,
    caller: CallerDep,
    after: Text = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Server-sent events: status changes and pieces of output, from the beginning or after ``Last-Event-ID``.

    Works before, during and after the run. The stream ends after exactly one terminal event.
    """
    job = await find(services, caller, job_id)
    from_id = last_event_id or after or "0"
    await services.events.read(job.id, from_id, 1)  # so that an invalid id is a 400, not a broken stream
    return EventLogResponse(services, job, from_id, request.receive)


class EventLogResponse(Response):
    """Response that streams a job's events as they happen."""

    def __init__(self, services: Services, job: Job, after: str, receive: Receive) -> None:
        super().__init__()
        self._services = services
        self._job = job
        self._after = after
        self._receive = receive

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send events until the job ends, the caller hangs up or the process stops; ``Last-Event-ID`` resumes."""
        headers = job_headers(self._job)[:2]
        with self._services.waits.interruptible(), Hangup(self._receive):
            await send_event_log(send, self._services.waiters.follow(self._job.id, self._after), headers)
            return
        await send({"type": "http.response.body", "body": b""})
