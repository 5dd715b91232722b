"""The inference endpoints: one ASGI class for every request type, on every prefix of the OpenAI API."""

from collections.abc import Awaitable, Callable, Mapping

from api.endpoints.base import AsgiEndpoint
from api.http.bodies import drain, read_inference_request
from api.http.disconnect import Hangup
from api.http.request_context import (
    HeaderLine,
    Receive,
    Reply,
    RequestContext,
    Scope,
    Send,
    header_lines,
    header_text,
    send_reply,
)
from api.http.streaming import send_answer_stream
from api.jobs.async_headers import POLL, wants_job, wants_overflow
from api.jobs.async_mode import call_of, poll, submit
from api.jobs.background import asks_for_background
from api.jobs.background_stream import send_response_stream
from api.jobs.cached_submit import submit_unless_cached
from api.jobs.overflow import answer_or_submit
from api.jobs.replies import native_reply, sdk_reply
from api.services import Services
from shared.inference.call import Answer, Call
from shared.jobs.model import Job
from shared.surfaces.request_body import RequestBody
from shared.surfaces.request_types import RequestType

PREFIXES = ("/openai", "/openai/v1", "/v1")

ReadRequest = Callable[[RequestType, Scope, Receive], Awaitable[RequestBody]]


class InferenceEndpoint(AsgiEndpoint):
    """Answers one request type: at once, as a stream, or as a job where a header asks for one.

    Args:
        request_type: The request type.
        read: Reads and checks its requests.
    """

    administrable = "polls"

    def __init__(self, request_type: RequestType, read: ReadRequest = read_inference_request) -> None:
        super().__init__("openai", request_type.name)
        self._request_type = request_type
        self._read = read

    async def handle(
        self, services: Services, context: RequestContext, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a request.

        Raises:
            GatewayError: The request is refused; not after the response has begun.
        """
        request_type = self._request_type
        if POLL in context.headers:
            await drain(receive)
            await send_reply(send, sdk_reply(await poll(services, context, request_type, receive)))
            return
        if wants_job(context):
            request = await self._read(request_type, scope, receive)
            await _send_result(send, await submit_unless_cached(services, context, request, receive))
            return
        request = await self._read(request_type, scope, receive)
        if wants_overflow(context) and not asks_for_background(request):
            await _send_result(send, await answer_or_submit(services, context, request, receive))
        elif asks_for_background(request):
            job = await submit(services, context, request, receive, native=True)
            if request.stream:
                with Hangup(receive):
                    await send_response_stream(send, services, job)
            else:
                await send_reply(send, native_reply(job))
        else:
            with services.call_slots.hold(context.caller):
                call = call_of(context, request, services.inference.cache)
                await self._answer(services, context, call, receive, send)

    async def _answer(
        self, services: Services, context: RequestContext, call: Call, receive: Receive, send: Send
    ) -> None:
        if call.stream:
            with Hangup(receive, call):
                stream = await services.inference.stream(call)
                context.provider = stream.provider
                if stream.whole is not None:  # its provider does not stream this
                    await send_reply(
                        send, Reply(stream.status, stream.whole, _lines(stream.content_type, stream.headers))
                    )
                    return
                services.metrics.stream_opened()
                try:
                    await send_answer_stream(send, context, self._request_type, stream)
                finally:
                    services.metrics.stream_closed()
            return
        with Hangup(receive, call):
            answer = await services.inference.answer(call)
        context.provider = answer.provider
        await send_reply(send, _reply(answer))


async def _send_result(send: Send, result: Answer | Job) -> None:
    await send_reply(send, sdk_reply(result) if isinstance(result, Job) else _reply(result))


def _reply(answer: Answer) -> Reply:
    return Reply(answer.status, answer.body, _lines(answer.content_type, answer.headers))


def _lines(content_type: str, passed: Mapping[str, str]) -> tuple[HeaderLine, ...]:
    return (b"content-type", header_text(content_type)), *header_lines(passed)
