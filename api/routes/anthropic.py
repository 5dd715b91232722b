"""Anthropic's Messages API in front of every provider: answered at once, as a stream, or as a job by header.

A request is translated to a chat completion and served as one. Model names without a prefix are Anthropic's.
Source: https://platform.claude.com/docs/en/api/messages
"""

from dataclasses import replace
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.endpoints.base import AsgiEndpoint
from api.endpoints.deps import CallerDep, ContextDep, ServicesDep, as_response
from api.endpoints.translated import Dialect, count, full_name, serve
from api.http.request_context import Receive, RequestContext, Scope, Send, json_reply, send_reply
from api.services import Services
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


class MessagesEndpoint(AsgiEndpoint):
    """``POST /v1/messages``."""

    administrable = "polls"

    def __init__(self) -> None:
        super().__init__(SURFACE, CHAT.name)

    async def handle(
        self,
        services: Services,
        context: RequestContext,
        scope: Scope,  # noqa: ARG002 - the path has no parameters
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer a message, as a whole, as a stream or as a job."""
        await serve(MESSAGES, services, context, receive, send)


class CountTokensEndpoint(AsgiEndpoint):
    """``POST /v1/messages/count_tokens``."""

    def __init__(self) -> None:
        super().__init__(SURFACE, CHAT.name)

    async def handle(
        self,
        services: Services,
        context: RequestContext,
        scope: Scope,  # noqa: ARG002 - the path has no parameters
        receive: Receive,
        send: Send,
    ) -> None:
        """Count the tokens of a message's input."""
        tokens = await count(COUNTED, services, context, receive)
        await send_reply(send, json_reply(counted(tokens), headers=COUNTED.id_lines(context)))


@router.get("/models", summary="List models, in Anthropic's format")
async def list_models(
    services: ServicesDep,
    context: ContextDep,
    caller: CallerDep,
    *,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    after_id: str | None = None,
    before_id: str | None = None,
) -> Response:
    """A page of the models that the caller may use; ids carry the provider's prefix."""
    context.surface, context.request_type = SURFACE, "models"
    models = await services.inference.catalogue.models(caller)
    return as_response(json_reply(models_page(models, limit=limit, after_id=after_id, before_id=before_id)))


@router.get("/models/{model:path}", summary="Get a model, in Anthropic's format")
async def get_model(model: str, services: ServicesDep, context: ContextDep, caller: CallerDep) -> Response:
    """A model by its id."""
    context.surface, context.request_type = SURFACE, "models"
    wanted = full_name(model, PROVIDER, services)
    for known in await services.inference.catalogue.models(caller):
        if known["id"] == wanted:
            return as_response(json_reply(model_of(known)))
    raise ModelNotFound(f"No configured provider lists the model {model[:256]!r}; GET /anthropic/v1/models lists them.")
