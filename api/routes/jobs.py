"""``/v1/async/jobs``: a caller's jobs of any type, to be listed, watched, cancelled, retried, removed."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from api.admin.audited import AuditedRoute
from api.http.deps import CallerDep, ContextDep, ServicesDep, as_response
from api.http.disconnect import Hangup
from api.http.request_context import Receive, Scope, Send, json_reply
from api.http.streaming import send_event_log
from api.jobs.actions import retry
from api.jobs.async_mode import find, find_and_wait
from api.jobs.lists import list_jobs, page_reply, read_query
from api.jobs.replies import content_reply, envelope_reply, job_headers
from api.services import Services
from shared.errors import JobFinished, JobNotFound
from shared.governance.keys.caller import Caller
from shared.jobs.model import Job, State
from shared.surfaces.request_types import BY_NAME

router = APIRouter(prefix="/v1/async/jobs", tags=["jobs"], route_class=AuditedRoute)

Text = Annotated[str | None, Query()]


@router.get("", summary="List own jobs, newest first")
async def list_own(
    *,
    services: ServicesDep,
    caller: CallerDep,
    status: Text = None,
    model: Text = None,
    after: Text = None,
    limit: Text = None,
) -> Response:
    """A page of envelopes without results; the next one starts ``after`` the ``last_id`` of this one."""
    query = read_query(status, model, after, limit)
    page = await list_jobs(services.store, await _list_owner(services, caller), query)
    document = page.jobs if caller.admin else tuple(job for job in page.jobs if _is_own(job, caller))
    return as_response(page_reply(page, document))


def _is_own(job: Job, caller: Caller) -> bool:
    return job.owner == caller.key_id and job.request_type in BY_NAME


async def _list_owner(services: Services, caller: Caller) -> str | None:
    """Whose jobs a caller's list holds; None: everybody's.

    Where virtual keys exist, jobs without one are reachable by their ids alone. Where none does, whoever reaches the
    gateway is its one tenant.
    """
    if caller.admin or (not caller.key_id and await services.governance.serves_one_tenant()):
        return None
    return caller.key_id


@router.get("/{job_id}", summary="A job's envelope", responses={202: {"description": "Not ended yet"}})
async def get_job(
    request: Request, job_id: str, services: ServicesDep, context: ContextDep, _caller: CallerDep
) -> Response:
    """202 while the job is open, then 200; ``x-bf-async-wait`` waits for the outcome."""
    return as_response(envelope_reply(await find_and_wait(services, context, job_id, None, request.receive)))


@router.get("/{job_id}/content", summary="The bytes of a job's result")
async def get_content(
    request: Request, job_id: str, services: ServicesDep, context: ContextDep, _caller: CallerDep
) -> Response:
    """The result as the provider gave it; 202 with the envelope while there is none; the job's own error."""
    return as_response(content_reply(await find_and_wait(services, context, job_id, None, request.receive)))


@router.post("/{job_id}/cancel", summary="Cancel a job")
async def cancel_job(job_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Ends an open job and aborts its upstream call; a cancelled job stays as it is, an ended one is a 409."""
    job = await find(services, caller, job_id)
    return as_response(envelope_reply(await cancel(services, job)))


async def cancel(services: Services, job: Job) -> Job:
    """Cancel a job.

    Raises:
        JobFinished: It has completed or failed.
    """
    if job.live:
        job = await services.store.cancel(job.id)
    if job.state is not State.CANCELLED:
        raise JobFinished(f"Job {job.id} is {job.state} already; there is nothing to cancel.", should_retry=False)
    return job


@router.delete("/{job_id}", summary="Remove a job that has ended")
async def delete_job(job_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Removes record, result, request body and events; an open job is a 409: cancel it first."""
    job = await find(services, caller, job_id)
    if not await services.store.delete(job.id):
        raise JobNotFound(job_id)
    return as_response(json_reply({"id": job.id, "object": "job", "deleted": True}))


@router.post("/{job_id}/retry", summary="Run a failed job again", status_code=202)
async def retry_job(job_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Puts a failed job back into the queue with all its attempts; any other is a 409.

    It is admitted as a new one would be: a spent budget is a 402, a rate limit a 429.
    """
    job = await find(services, caller, job_id)
    return as_response(envelope_reply(await retry(services, caller, job)))


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
    """Server-sent events: changes of status and pieces of output, from the beginning or after ``Last-Event-ID``.

    Works before, during and after the run; exactly one terminal event, then the stream ends.
    """
    job = await find(services, caller, job_id)
    from_id = last_event_id or after or "0"
    await services.events.read(job.id, from_id, 1)  # so that a bad id is a 400, not a broken stream
    return EventLogResponse(services, job, from_id, request.receive)


class EventLogResponse(Response):
    """A job's events as they happen."""

    def __init__(self, services: Services, job: Job, after: str, receive: Receive) -> None:
        super().__init__()
        self._services = services
        self._job = job
        self._after = after
        self._receive = receive

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send them until the job's end, the caller's or the process's; a reader resumes with ``Last-Event-ID``."""
        headers = job_headers(self._job)[:2]
        with self._services.waits.interruptible(), Hangup(self._receive):
            await send_event_log(send, self._services.waiters.follow(self._job.id, self._after), headers)
            return
        await send({"type": "http.response.body", "body": b""})
