"""Anthropic's Messages API in front of every provider: answered at once, as a stream, or as a job by header.

A request becomes a chat completion and goes the way of all chats. Names without a prefix are Anthropic's models here.
Source: https://platform.claude.com/docs/en/api/messages
"""

from collections.abc import Mapping
from typing import Annotated

import orjson
from fastapi import APIRouter, Query
from starlette.responses import Response

from api.async_headers import POLL, wants_job
from api.async_mode import call_of, poll, submit
from api.deps import CallerDep, FactsDep, ServicesDep, as_response
from api.disconnect import Hangup
from api.errors import error_reply
from api.exchange import (
    JSON_TYPE,
    KEY,
    Facts,
    HeaderLine,
    Receive,
    Reply,
    Scope,
    Send,
    drain,
    header_lines,
    header_text,
    json_reply,
    send_reply,
)
from api.job_replies import WORDS, job_headers, with_headers
from api.routes.inference import read_plain_body
from api.services import Services, services_of
from api.streaming import send_message_stream
from shared.errors import JobCancelled, JobFailure, ModelNotFound, UpstreamFailure
from shared.inference.call import Call
from shared.jobs.model import Job, State
from shared.wire.anthropic import (
    chat_request,
    counted,
    estimate_tokens,
    message_of,
    model_of,
    models_page,
    pending_message,
)
from shared.wire.request_body import RequestBody, read_object, read_request
from shared.wire.request_types import CHAT

SURFACE = "anthropic"
PROVIDER = "anthropic"

router = APIRouter(tags=["anthropic"])


class MessagesEndpoint:
    """``POST /v1/messages``."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Raises:
            GatewayError: What the caller is told, unless the response has begun.
        """
        facts, services = await _enter(scope)
        if POLL in facts.headers:
            await drain(receive)
            await send_reply(send, _job_reply(await poll(services, facts, CHAT, receive), facts))
            return
        as_job = wants_job(facts)
        request = await _read(facts, receive)
        if as_job:
            await send_reply(send, _job_reply(await submit(services, facts, request, receive), facts))
            return
        call = call_of(facts, request)
        with Hangup(receive):
            if call.stream:
                await self._stream(services, facts, call, send)
                return
            answer = await services.inference.answer(call)
        facts.provider = answer.provider
        await send_reply(send, _message_reply(answer.body, facts, _lines(answer.headers)))

    async def _stream(self, services: Services, facts: Facts, call: Call, send: Send) -> None:
        stream = await services.inference.stream(call)
        facts.provider = stream.provider
        if stream.whole is not None:  # its provider does not stream this
            await stream.aclose()
            await send_reply(send, _message_reply(stream.whole, facts, _lines(stream.headers)))
            return
        services.metrics.stream_opened()
        try:
            await send_message_stream(send, facts, stream, _lines(stream.headers))
        finally:
            services.metrics.stream_closed()


class CountTokensEndpoint:
    """``POST /v1/messages/count_tokens``: counted by the provider where it can, else estimated here."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Raises:
            GatewayError: What the caller is told.
        """
        facts, services = await _enter(scope)
        request = await _read(facts, receive, counting=True)
        with Hangup(receive):
            tokens = await services.inference.count_tokens(call_of(facts, request))
        tokens = estimate_tokens(request.fields) if tokens is None else tokens
        await send_reply(send, json_reply(counted(tokens), headers=_id_line(facts)))


@router.get("/models", summary="List models, as Anthropic does")
async def list_models(
    services: ServicesDep,
    facts: FactsDep,
    caller: CallerDep,
    *,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    after_id: str | None = None,
    before_id: str | None = None,
) -> Response:
    """A page of what the caller may use; ids carry the provider's prefix."""
    facts.surface, facts.request_type = SURFACE, "models"
    models = await services.inference.models(caller)
    return as_response(json_reply(models_page(models, limit=limit, after_id=after_id, before_id=before_id)))


@router.get("/models/{model:path}", summary="One model, as Anthropic tells of it")
async def get_model(model: str, services: ServicesDep, facts: FactsDep, caller: CallerDep) -> Response:
    """A model by its id."""
    facts.surface, facts.request_type = SURFACE, "models"
    wanted = _prefixed(model)
    for known in await services.inference.models(caller):
        if known["id"] == wanted:
            return as_response(json_reply(model_of(known)))
    raise ModelNotFound(
        f"No provider here lists the model {model[:256]!r}; GET /anthropic/v1/models says what there is."
    )


async def _enter(scope: Scope) -> tuple[Facts, Services]:
    facts: Facts = scope[KEY]
    facts.surface, facts.request_type = SURFACE, CHAT.name
    services = services_of(scope)
    facts.caller = await services.governance.identify(facts.headers)
    return facts, services


async def _read(facts: Facts, receive: Receive, *, counting: bool = False) -> RequestBody:
    """Read a Messages request as the chat that means the same.

    Raises:
        InvalidRequest: It is none, or says what a chat cannot.
        ClientGone: The caller hung up before its end.
    """
    fields = read_object(await read_plain_body(facts, receive))
    fallbacks = fields.pop("fallbacks", None)
    chat = chat_request(fields, counting=counting)
    chat["model"] = _prefixed(chat["model"])
    if fallbacks is not None:
        chat["fallbacks"] = fallbacks
    request = read_request(CHAT, orjson.dumps(chat), "application/json")
    facts.model = request.model
    return request


def _prefixed(model: str) -> str:
    return model if "/" in model or not model else f"{PROVIDER}/{model}"


def _message_reply(completion: bytes, facts: Facts, headers: tuple[HeaderLine, ...] = ()) -> Reply:
    """A chat completion's body as a Message.

    Raises:
        UpstreamFailure: It is none.
    """
    try:
        fields = orjson.loads(completion)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, Mapping):
        raise UpstreamFailure("The provider's answer is not a chat completion.")
    return Reply(200, orjson.dumps(message_of(fields)), (JSON_TYPE, *_id_line(facts), *headers))


def _job_reply(job: Job, facts: Facts) -> Reply:
    """A job as a Message: without content while it is open; the HTTP error of its failure."""
    lines = job_headers(job)
    if job.state is State.COMPLETED:
        return _message_reply(job.result, facts, lines)
    if job.state is State.FAILED:
        return with_headers(error_reply(JobFailure(job.status_code, job.error or {}), SURFACE, facts.request_id), lines)
    if job.state is State.CANCELLED:
        return with_headers(error_reply(JobCancelled(job.id), SURFACE, facts.request_id), lines)
    body = orjson.dumps(pending_message(job.id, job.model, WORDS[job.state]))
    return Reply(200, body, (JSON_TYPE, *_id_line(facts), *lines))


def _lines(said: Mapping[str, str]) -> tuple[HeaderLine, ...]:
    """What of an answer's headers is not OpenAI's own: cost and limits."""
    return header_lines(said, "x-bf-", "x-ratelimit-")


def _id_line(facts: Facts) -> tuple[HeaderLine, ...]:
    """The header that Anthropic's SDKs show as the request's id."""
    return ((b"request-id", header_text(facts.request_id)),)
