"""Surfaces in other formats than OpenAI's: answered at once, as a stream, or as a job by header.

A request is translated to a chat (or embeddings) and served as one; the answer is translated to the caller's format.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from api.http.bodies import drain, measured, parse_object, read_plain_body
from api.http.disconnect import Hangup
from api.http.errors import error_reply
from api.http.request_context import (
    JSON_TYPE,
    HeaderLine,
    Receive,
    Reply,
    RequestContext,
    Send,
    header_lines,
    header_text,
    send_reply,
)
from api.http.streaming import EVENT_STREAM, TranslatedEvents, send_translated_stream
from api.jobs.async_headers import POLL, wants_job, wants_overflow
from api.jobs.async_mode import call_of, poll
from api.jobs.cached_submit import submit_unless_cached
from api.jobs.overflow import answer_or_submit
from api.jobs.replies import STATUSES, job_headers, with_headers
from api.services import Services
from shared.background import LARGE_BYTES, beside_loop
from shared.errors import JobCancelled, JobFailure, UpstreamFailure
from shared.inference.call import Call
from shared.jobs.model import Job, State
from shared.surfaces.chat_chunks import as_stream
from shared.surfaces.fields import MISSHAPEN
from shared.surfaces.large_json import dump_object
from shared.surfaces.pending_forms import OpenStatus
from shared.surfaces.request_body import NativeBody, RequestBody, read_request
from shared.surfaces.request_types import CHAT, RequestType
from shared.surfaces.token_estimate import estimate_tokens

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One method of a surface: the translation of its requests and answers to and from OpenAI's format.

    Attributes:
        surface: As ``RequestContext.surface``; errors are rendered in its envelope.
        provider: The provider of models whose names have no prefix.
        request_type: The type that its requests are translated to.
        read: Translates the caller's fields to OpenAI's.
        answer: Translates OpenAI's answer to the caller's format.
        pending: Makes the answer of an open job from its id, model and status.
        events: Makes the translator of one stream, from the request's id; only where ``request_type`` streams.
        stream_type: The content type of streams.
        id_header: The response header in which the SDKs look for the request's id; empty: none beside ours.
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
        """The request's id in the header that the SDKs read."""
        return ((self.id_header, header_text(context.request_id)),) if self.id_header else ()


async def serve(dialect: Dialect, services: Services, context: RequestContext, receive: Receive, send: Send) -> None:
    """Answer an inference request of an authenticated caller.

    Raises:
        GatewayError: The request is refused; not after the response has begun.
    """
    if POLL in context.headers:
        await drain(receive)
        job = await poll(services, context, dialect.request_type, receive)
        await send_reply(send, _job_reply(dialect, job, context))
        return
    as_job = wants_job(context)
    request = await read(dialect, services, context, receive)
    if as_job or wants_overflow(context):
        accept = submit_unless_cached if as_job else answer_or_submit
        result = await accept(services, context, request, receive)
        reply = (
            _job_reply(dialect, result, context)
            if isinstance(result, Job)
            else _answer_reply(dialect, result.body, context, _lines(result.headers))
        )
        await send_reply(send, reply)
        return
    call = call_of(context, request, services.inference.cache)
    with services.call_slots.hold(context.caller), Hangup(receive, call):
        if call.stream:
            await _stream(dialect, services, context, call, send)
            return
        answer = await services.inference.answer(call)
    context.provider = answer.provider
    await send_reply(send, _answer_reply(dialect, answer.body, context, _lines(answer.headers)))


async def count(dialect: Dialect, services: Services, context: RequestContext, receive: Receive) -> int:
    """Count the tokens of a chat: by the provider where it can, else estimated here.

    Raises:
        GatewayError: The request is refused.
    """
    request = await read(dialect, services, context, receive, counting=True)
    with Hangup(receive):
        tokens = await services.inference.count_tokens(call_of(context, request))
    return estimate_tokens(request.fields) if tokens is None else tokens


async def read(
    dialect: Dialect, services: Services, context: RequestContext, receive: Receive, *, counting: bool = False
) -> RequestBody:
    """Read a request and translate it to OpenAI's format; ``fallbacks`` is the gateway's own field.

    The caller's own bytes stay beside the translation, unless they are of a request to count tokens.

    Raises:
        InvalidRequest: It is invalid, or cannot be expressed in OpenAI's format.
        ClientGone: The caller hung up before the end of the body.
    """
    most = services.settings.server.max_json_values
    body = await read_plain_body(context, receive)
    fields = await parse_object(body, most)
    fallbacks = fields.pop("fallbacks", None)
    chat = await beside_loop(body, dialect.read, fields)
    chat["model"] = full_name(chat["model"], dialect.provider, services)
    if fallbacks is not None:
        chat["fallbacks"] = fallbacks
    raw = await beside_loop(body, dump_object, chat, len(body))
    request = read_request(dialect.request_type, raw, "application/json", chat)
    if dialect.request_type is CHAT and not counting:
        request = replace(request, native=NativeBody(dialect.surface, body, fields))
    context.model = request.model
    return await measured(request) if len(body) > LARGE_BYTES else request


def full_name(model: str, provider: str, services: Services) -> str:
    """Add the provider's prefix to a model's name, unless it has one, or is an alias or route of the configuration."""
    complete = "/" in model or not model or services.inference.catalogue.is_configured(model)
    return model if complete else f"{provider}/{model}"


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
    """Turn the complete answer of a provider that does not stream into chunks, as the caller expects events."""
    yield as_stream(orjson.loads(body))


def _answer_reply(dialect: Dialect, body: bytes, context: RequestContext, headers: tuple[HeaderLine, ...]) -> Reply:
    """Translate a provider's answer, which nothing has parsed before, to the caller's format.

    Raises:
        UpstreamFailure: The answer is malformed.
    """
    try:
        translated = orjson.dumps(dialect.answer(orjson.loads(body)))
    except MISSHAPEN as error:
        raise UpstreamFailure("The provider sent a malformed answer.") from error
    return Reply(200, translated, (JSON_TYPE, *dialect.id_lines(context), *headers))


def _job_reply(dialect: Dialect, job: Job, context: RequestContext) -> Reply:
    """Render a job in the caller's format: without content while it is open, as an HTTP error if it failed."""
    lines = job_headers(job)
    if job.state is State.COMPLETED:
        job.check_result()
        return _answer_reply(dialect, job.result, context, lines)
    if job.state in (State.FAILED, State.CANCELLED):
        failed = job.state is State.FAILED
        error = JobFailure(job.status_code, job.error or {}) if failed else JobCancelled(job.id)
        return with_headers(error_reply(error, dialect.surface, context.request_id), lines)
    body = orjson.dumps(dialect.pending(job.id, job.model, STATUSES[job.state]))
    return Reply(200, body, (JSON_TYPE, *dialect.id_lines(context), *lines))


def _lines(headers: Mapping[str, str]) -> tuple[HeaderLine, ...]:
    """The answer's headers that are not OpenAI's own: cost, limits and cache."""
    return header_lines(headers, "x-bf-", "x-ratelimit-", "cache-status", "age")
