"""The inference endpoints: one ASGI class for every request type, on every prefix of the OpenAI API.

They are the hot path, so they are spoken to in plain ASGI: no request object, no dependency injection, no models.
"""

from collections.abc import Mapping

from api.http.disconnect import Hangup
from api.http.request_context import (
    SCOPE_KEY,
    HeaderLine,
    Receive,
    Reply,
    RequestContext,
    Scope,
    Send,
    drain,
    header_text,
    read_body,
    send_reply,
)
from api.http.streaming import send_answer_stream
from api.jobs.async_headers import POLL, wants_job
from api.jobs.async_mode import call_of, poll, submit
from api.jobs.background import asks_for_background
from api.jobs.background_stream import send_response_stream
from api.jobs.replies import native_reply, sdk_reply
from api.services import Services, services_of
from shared.errors import InvalidRequest
from shared.inference.call import Call
from shared.surfaces.request_body import RequestBody, read_request
from shared.surfaces.request_types import RequestType

PREFIXES = ("/openai", "/openai/v1", "/v1")


class InferenceEndpoint:
    """Answers one request type: at once, as a stream, or as a job where a header says so.

    Args:
        request_type: Which.
    """

    def __init__(self, request_type: RequestType) -> None:
        self.request_type = request_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Raises:
            GatewayError: What the caller is told, unless the response has begun.
        """
        context: RequestContext = scope[SCOPE_KEY]
        context.surface, context.request_type = "openai", self.request_type.name
        services = services_of(scope)
        context.caller = await services.governance.identify(context.headers)
        if POLL in context.headers:
            await drain(receive)
            job = await poll(services, context, self.request_type, receive)
            await send_reply(send, sdk_reply(job))
            return
        if wants_job(context):
            job = await submit(services, context, await self.read(scope, receive), receive)
            await send_reply(send, sdk_reply(job))
            return
        request = await self.read(scope, receive)
        if asks_for_background(request):
            job = await submit(services, context, request, receive, native=True)
            if request.stream:
                with Hangup(receive):
                    await send_response_stream(send, services, job)
            else:
                await send_reply(send, native_reply(job))
        else:
            await self._answer(services, context, call_of(context, request), receive, send)

    async def read(self, scope: Scope, receive: Receive) -> RequestBody:
        """Read the request's body and check it.

        Raises:
            InvalidRequest: It is not one of this type.
            ClientGone: The caller hung up before its end.
        """
        return await read_inference_request(self.request_type, scope[SCOPE_KEY], receive)

    async def _answer(
        self, services: Services, context: RequestContext, call: Call, receive: Receive, send: Send
    ) -> None:
        if call.stream:
            with Hangup(receive):
                stream = await services.inference.stream(call)
                context.provider = stream.provider
                if stream.whole is not None:  # its provider does not stream this
                    await send_reply(
                        send, Reply(stream.status, stream.whole, _lines(stream.content_type, stream.headers))
                    )
                    return
                services.metrics.stream_opened()
                try:
                    await send_answer_stream(send, context, self.request_type, stream)
                finally:
                    services.metrics.stream_closed()
            return
        with Hangup(receive):
            answer = await services.inference.answer(call)
        context.provider = answer.provider
        await send_reply(send, Reply(answer.status, answer.body, _lines(answer.content_type, answer.headers)))


async def read_inference_request(request_type: RequestType, context: RequestContext, receive: Receive) -> RequestBody:
    """Read a request's body and check it.

    Raises:
        InvalidRequest: It is not one of this type.
        ClientGone: The caller hung up before its end.
    """
    body = await read_plain_body(context, receive)
    request = read_request(request_type, body, context.headers.get(b"content-type", b"").decode("latin-1"))
    context.model = request.model
    return request


async def read_plain_body(context: RequestContext, receive: Receive) -> bytes:
    """The whole body, which must be sent as it is.

    Raises:
        InvalidRequest: It is compressed.
        ClientGone: The caller hung up before its end.
    """
    encoding = context.headers.get(b"content-encoding")
    if encoding and encoding != b"identity":
        raise InvalidRequest(
            "Compressed request bodies are not understood; send it as it is.", param="content-encoding"
        )
    return await read_body(receive)


def _lines(content_type: str, passed: Mapping[str, str]) -> tuple[HeaderLine, ...]:
    lines: list[HeaderLine] = [(b"content-type", header_text(content_type))]
    lines += [(header_text(name), header_text(value)) for name, value in passed.items()]
    return tuple(lines)
