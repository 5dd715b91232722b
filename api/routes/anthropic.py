"""Anthropic's Messages API in front of every provider: answered at once, as a stream, or as a job by header.

A request becomes a chat completion and goes the way of all chats. Names without a prefix are Anthropic's models here.
Source: https://platform.claude.com/docs/en/api/messages
"""

from dataclasses import replace
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.http.deps import CallerDep, ContextDep, ServicesDep, as_response
from api.http.request_context import SCOPE_KEY, Receive, RequestContext, Scope, Send, json_reply, send_reply
from api.http.translated import Dialect, count, enter, full_name, serve
from api.services import services_of
from shared.errors import ModelNotFound
from shared.surfaces.anthropic import (
    MessageEvents,
    chat_request,
    counted,
    message_of,
    model_of,
    models_page,
    pending_message,
)
from shared.surfaces.request_types import CHAT

SURFACE = "anthropic"
PROVIDER = "anthropic"

MESSAGES = Dialect(
    surface=SURFACE,
    provider=PROVIDER,
    request_type=CHAT,
    read=chat_request,
    answer=message_of,
    pending=pending_message,
    events=lambda request_id: MessageEvents(request_id=request_id),
    id_header=b"request-id",
)
COUNTED = replace(MESSAGES, read=partial(chat_request, counting=True))

router = APIRouter(tags=["anthropic"])


class MessagesEndpoint:
    """``POST /v1/messages``."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Raises:
            GatewayError: What the caller is told, unless the response has begun.
        """
        context: RequestContext = scope[SCOPE_KEY]
        services = services_of(scope)
        await enter(services, context, SURFACE, CHAT.name)
        await serve(MESSAGES, services, context, receive, send)


class CountTokensEndpoint:
    """``POST /v1/messages/count_tokens``."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Raises:
            GatewayError: What the caller is told.
        """
        context: RequestContext = scope[SCOPE_KEY]
        services = services_of(scope)
        await enter(services, context, SURFACE, CHAT.name)
        tokens = await count(COUNTED, services, context, receive)
        await send_reply(send, json_reply(counted(tokens), headers=COUNTED.id_lines(context)))


@router.get("/models", summary="List models, as Anthropic does")
async def list_models(
    services: ServicesDep,
    context: ContextDep,
    caller: CallerDep,
    *,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    after_id: str | None = None,
    before_id: str | None = None,
) -> Response:
    """A page of what the caller may use; ids carry the provider's prefix."""
    context.surface, context.request_type = SURFACE, "models"
    models = await services.inference.catalogue.models(caller)
    return as_response(json_reply(models_page(models, limit=limit, after_id=after_id, before_id=before_id)))


@router.get("/models/{model:path}", summary="One model, as Anthropic tells of it")
async def get_model(model: str, services: ServicesDep, context: ContextDep, caller: CallerDep) -> Response:
    """A model by its id."""
    context.surface, context.request_type = SURFACE, "models"
    wanted = full_name(model, PROVIDER, services)
    for known in await services.inference.catalogue.models(caller):
        if known["id"] == wanted:
            return as_response(json_reply(model_of(known)))
    raise ModelNotFound(
        f"No provider here lists the model {model[:256]!r}; GET /anthropic/v1/models says what there is."
    )
