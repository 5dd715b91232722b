"""``/v1/async/<type>``: any inference request as a job over plain HTTP, told of by envelopes."""

from api.http.request_context import SCOPE_KEY, Receive, Reply, RequestContext, Scope, Send, drain, send_reply
from api.jobs.async_headers import POLL, wants_job
from api.jobs.async_mode import find_and_wait, poll, submit
from api.jobs.replies import content_reply, envelope_reply
from api.routes.inference import read_inference_request
from api.services import services_of
from shared.surfaces.request_types import RequestType

PREFIX = "/v1/async"


class AsyncSubmit:
    """``POST /v1/async/<type>``; with ``x-bf-async-id`` it polls, as every inference route does."""

    def __init__(self, request_type: RequestType) -> None:
        self._request_type = request_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        request_type = self._request_type
        context: RequestContext = scope[SCOPE_KEY]
        context.surface, context.request_type = "async", request_type.name
        services = services_of(scope)
        context.caller = await services.governance.identify(context.headers)
        if POLL in context.headers:
            await drain(receive)
            job = await poll(services, context, request_type, receive)
            await send_reply(send, envelope_reply(job))
            return
        wants_job(context)  # on this surface everything is a job; a value that is none of the allowed ones is refused
        job = await submit(services, context, await read_inference_request(request_type, context, receive), receive)
        location = f"{PREFIX}/{request_type.path}/{job.id}".encode()
        await send_reply(send, envelope_reply(job, ((b"location", location),)))


class AsyncPoll:
    """``GET /v1/async/<type>/{id}``, and ``…/content`` for the bytes of the result."""

    def __init__(self, request_type: RequestType, *, content: bool = False) -> None:
        self._request_type = request_type
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        context: RequestContext = scope[SCOPE_KEY]
        context.surface, context.request_type = "async", self._request_type.name
        services = services_of(scope)
        context.caller = await services.governance.identify(context.headers)
        await drain(receive)
        job = await find_and_wait(services, context, scope["path_params"]["job_id"], self._request_type, receive)
        reply: Reply = content_reply(job) if self._content else envelope_reply(job)
        await send_reply(send, reply)
