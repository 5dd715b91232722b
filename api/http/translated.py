"""Surfaces in another format than OpenAI's: answered at once, as a stream, or as a job by header.

A request becomes a chat (or embeddings) and goes the way of all; the answer is told in the caller's format.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from api.http.disconnect import Hangup
from api.http.errors import error_reply
from api.http.request_context import (
    JSON_TYPE,
    HeaderLine,
    Receive,
    Reply,
    RequestContext,
    Send,
    drain,
    header_lines,
    header_text,
    send_reply,
)
from api.http.streaming import EVENT_STREAM, TranslatedEvents, send_translated_stream
from api.jobs.async_headers import POLL, wants_job
from api.jobs.async_mode import call_of, poll, submit
from api.jobs.replies import WORDS, job_headers, with_headers
from api.routes.inference import read_plain_body
from api.services import Services
from shared.errors import JobCancelled, JobFailure, UpstreamFailure
from shared.inference.call import Call
from shared.jobs.model import Job, State
from shared.surfaces.chat_chunks import as_stream
from shared.surfaces.fields import MISSHAPEN
from shared.surfaces.pending_forms import OpenStatus
from shared.surfaces.request_body import RequestBody, read_object, read_request
from shared.surfaces.request_types import RequestType
from shared.surfaces.token_estimate import estimate_tokens

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One method of a surface: how its requests and answers are said in OpenAI's format.

    Attributes:
        surface: As ``RequestContext.surface``; errors are told in its envelope.
        provider: Whose models are meant by names without a prefix.
        request_type: What a request becomes.
        read: The caller's fields as OpenAI's.
        answer: OpenAI's answer as the caller's.
        pending: The answer while a job is open, of its id, model and status.
        events: Makes the translation of one stream, for a request's id; only where ``request_type`` streams.
        stream_type: The content type of streams.
        id_header: The header in which the SDKs look for the request's id; empty: ours alone.
    """

    surface: str
    provider: str
    request_type: RequestType
    read: Callable[[Fields], Fields]
    answer: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    pending: Callable[[str, str, OpenStatus], Mapping[str, Any]]
    events: Callable[[str], TranslatedEvents] | None = None
    stream_type: HeaderLine = EVENT_STREAM
    id_header: bytes = b""

    def id_lines(self, context: RequestContext) -> tuple[HeaderLine, ...]:
        """The request's id where the SDKs look for it."""
        return ((self.id_header, header_text(context.request_id)),) if self.id_header else ()


async def enter(services: Services, context: RequestContext, surface: str, request_type: str) -> None:
    """Say through which door a request came, and find out whose it is.

    Raises:
        GatewayError: Its key is not known, or none was shown where one must be.
    """
    context.surface, context.request_type = surface, request_type
    context.caller = await services.governance.identify(context.headers)


async def serve(dialect: Dialect, services: Services, context: RequestContext, receive: Receive, send: Send) -> None:
    """Answer an inference request, whose caller is known.

    Raises:
        GatewayError: What the caller is told, unless the response has begun.
    """
    if POLL in context.headers:
        await drain(receive)
        job = await poll(services, context, dialect.request_type, receive)
        await send_reply(send, _job_reply(dialect, job, context))
        return
    as_job = wants_job(context)
    request = await read(dialect, services, context, receive)
    if as_job:
        await send_reply(send, _job_reply(dialect, await submit(services, context, request, receive), context))
        return
    call = call_of(context, request)
    with Hangup(receive):
        if call.stream:
            await _stream(dialect, services, context, call, send)
            return
        answer = await services.inference.answer(call)
    context.provider = answer.provider
    await send_reply(send, _answer_reply(dialect, answer.body, context, _lines(answer.headers)))


async def count(dialect: Dialect, services: Services, context: RequestContext, receive: Receive) -> int:
    """How many tokens a chat has: counted by the provider where it can, else estimated here.

    Raises:
        GatewayError: What the caller is told.
    """
    request = await read(dialect, services, context, receive)
    with Hangup(receive):
        tokens = await services.inference.count_tokens(call_of(context, request))
    return estimate_tokens(request.fields) if tokens is None else tokens


async def read(dialect: Dialect, services: Services, context: RequestContext, receive: Receive) -> RequestBody:
    """Read a request as the one in OpenAI's format that means the same; ``fallbacks`` is the gateway's own field.

    Raises:
        InvalidRequest: It is none, or says what cannot be said there.
        ClientGone: The caller hung up before its end.
    """
    fields = read_object(await read_plain_body(context, receive))
    fallbacks = fields.pop("fallbacks", None)
    asked = dialect.read(fields)
    asked["model"] = full_name(asked["model"], dialect.provider, services)
    if fallbacks is not None:
        asked["fallbacks"] = fallbacks
    request = read_request(dialect.request_type, orjson.dumps(asked), "application/json")
    context.model = request.model
    return request


def full_name(model: str, provider: str, services: Services) -> str:
    """The model with its provider's prefix, unless it has one, or is a name of the configuration's."""
    plain = "/" in model or not model or services.inference.catalogue.is_configured(model)
    return model if plain else f"{provider}/{model}"


async def _stream(dialect: Dialect, services: Services, context: RequestContext, call: Call, send: Send) -> None:
    assert dialect.events is not None  # noqa: S101 - requests of its type do not ask for streams otherwise
    stream = await services.inference.stream(call)
    context.provider = stream.provider
    services.metrics.stream_opened()
    try:
        chunks = aiter(stream) if stream.whole is None else _whole(stream.whole)
        lines = [dialect.stream_type, *dialect.id_lines(context), *_lines(stream.headers)]
        await send_translated_stream(send, context, chunks, dialect.events(context.request_id), lines)
    finally:
        await stream.aclose()
        services.metrics.stream_closed()


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    """The stream of a provider that answered with the whole: its caller reads events all the same."""
    yield as_stream(orjson.loads(body))


def _answer_reply(dialect: Dialect, body: bytes, context: RequestContext, headers: tuple[HeaderLine, ...]) -> Reply:
    """A provider's answer, which may be passed on unread to here, in the caller's format.

    Raises:
        UpstreamFailure: It is not what it should be.
    """
    try:
        told = orjson.dumps(dialect.answer(orjson.loads(body)))
    except MISSHAPEN as error:
        raise UpstreamFailure("The provider's answer is not of its format.") from error
    return Reply(200, told, (JSON_TYPE, *dialect.id_lines(context), *headers))


def _job_reply(dialect: Dialect, job: Job, context: RequestContext) -> Reply:
    """A job in the caller's format: without content while it is open; the HTTP error of its failure."""
    lines = job_headers(job)
    if job.state is State.COMPLETED:
        return _answer_reply(dialect, job.result, context, lines)
    if job.state in (State.FAILED, State.CANCELLED):
        failed = job.state is State.FAILED
        error = JobFailure(job.status_code, job.error or {}) if failed else JobCancelled(job.id)
        return with_headers(error_reply(error, dialect.surface, context.request_id), lines)
    body = orjson.dumps(dialect.pending(job.id, job.model, WORDS[job.state]))
    return Reply(200, body, (JSON_TYPE, *dialect.id_lines(context), *lines))


def _lines(headers: Mapping[str, str]) -> tuple[HeaderLine, ...]:
    """What of an answer's headers is not OpenAI's own: cost and limits."""
    return header_lines(headers, "x-bf-", "x-ratelimit-")
