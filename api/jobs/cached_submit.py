"""Submits that a stored answer serves at once: no job is made."""

from api.http.request_context import Receive, RequestContext
from api.jobs.async_headers import submit_options
from api.jobs.async_mode import call_of, refuse_stream, submit
from api.services import Services
from shared.inference.call import Answer
from shared.jobs.model import Job
from shared.surfaces.request_body import RequestBody, check_for_submit


async def submit_unless_cached(
    services: Services, context: RequestContext, request: RequestBody, receive: Receive
) -> Answer | Job:
    """Return the stored answer to a request, or make a job of it (``submit``).

    Raises:
        GatewayError: The request would be refused whatever happens, or no job is taken now.
        NotCached: Nothing is stored, and the caller wants nothing else.
    """
    answer = await _stored(services, context, request) if services.inference.cache is not None else None
    return await submit(services, context, request, receive) if answer is None else answer


async def _stored(services: Services, context: RequestContext, request: RequestBody) -> Answer | None:
    options = submit_options(context, services.settings)
    refuse_stream(request)
    check_for_submit(request)
    if options.webhook or options.delay_s or options.idempotency_key:
        return None  # its caller wants the job: to be notified of, later, or again
    answer = await services.inference.stored_answer(call_of(context, request, services.inference.cache))
    if answer is not None:
        context.provider = answer.provider
    return answer
