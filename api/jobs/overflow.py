"""``x-bf-async: overflow``: answer now where the provider has room, else make a job of the call."""

import asyncio
import logging

from api.http.disconnect import Hangup
from api.http.request_context import Receive, RequestContext
from api.jobs.async_headers import submit_options
from api.jobs.async_mode import call_of, refuse_stream, submit
from api.services import Services
from shared.errors import GatewayError
from shared.inference.attempts import has_no_room
from shared.inference.call import Answer
from shared.jobs.model import Job
from shared.surfaces.request_body import RequestBody

ROOM_WAIT_S = 1.0

logger = logging.getLogger("finops.jobs")


async def answer_or_submit(
    services: Services, context: RequestContext, request: RequestBody, receive: Receive
) -> Answer | Job:
    """Answer a request, or submit it where its providers are rate limited, failing or at their concurrency limit.

    Raises:
        GatewayError: Any other failure; ``stream: true``; the caller's own limits; no job is accepted now.
    """
    refuse_stream(request)
    submit_options(context, services.settings)  # a job's headers must be valid whether it becomes one or not
    call = call_of(context, request, services.inference.cache)
    call.patience_s = ROOM_WAIT_S
    call.room_by = asyncio.get_running_loop().time() + ROOM_WAIT_S
    try:
        with services.call_slots.hold(context.caller), Hangup(receive, call):
            answer = await services.inference.answer(call)
    except GatewayError as error:
        if not has_no_room(error):
            raise
        logger.info("a call becomes a job: %s", error.code or error.type, extra={"request_id": context.request_id})
        services.metrics.overflowed(error.code or error.type)
        return await submit(services, context, request, receive)
    context.provider = answer.provider
    return answer
