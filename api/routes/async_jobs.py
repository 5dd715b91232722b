"""``/v1/async/<type>``: any inference request as a job over plain HTTP, answered with job envelopes."""

from api.endpoints.base import AsgiEndpoint
from api.http.bodies import drain, read_inference_request
from api.http.request_context import Receive, RequestContext, Scope, Send, send_reply
from api.jobs.async_headers import POLL, wants_job
from api.jobs.async_mode import find_and_wait, poll, submit
from api.jobs.replies import content_reply, envelope_reply
from api.services import Services
from shared.surfaces.request_types import RequestType

PREFIX = "/v1/async"


class AsyncSubmit(AsgiEndpoint):
    """``POST /v1/async/<type>``; with ``x-bf-async-id`` it polls, as every inference route does."""

    administrable = "polls"

    def __init__(self, request_type: RequestType) -> None:
        super().__init__("async", request_type.name)
        self._request_type = request_type

    async def handle(
        self, services: Services, context: RequestContext, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Submit a job, or poll one."""
        request_type = self._request_type
        if POLL in context.headers:
            await drain(receive)
            await send_reply(send, envelope_reply(await poll(services, context, request_type, receive)))
            return
        wants_job(context)  # every request is a job here; the call only refuses an invalid x-bf-async
        job = await submit(services, context, await read_inference_request(request_type, scope, receive), receive)
        location = f"{PREFIX}/{request_type.path}/{job.id}".encode()
        await send_reply(send, envelope_reply(job, ((b"location", location),)))


class AsyncPoll(AsgiEndpoint):
    """``GET /v1/async/<type>/{id}``, and ``.../content`` for the bytes of the result."""

    administrable = "always"

    def __init__(self, request_type: RequestType, *, content: bool = False) -> None:
        super().__init__("async", request_type.name)
        self._request_type = request_type
        self._content = content

    async def handle(
        self, services: Services, context: RequestContext, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer with the job, after waiting for its outcome as long as the caller asks."""
        await drain(receive)
        job = await find_and_wait(services, context, scope["path_params"]["job_id"], self._request_type, receive)
        await send_reply(send, content_reply(job) if self._content else envelope_reply(job))
