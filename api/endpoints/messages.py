"""Anthropic's Messages API in front of every provider: answered at once, as a stream, or as a job by header.

A request is translated to a chat completion and served as one. Model names without a prefix are Anthropic's.
Source: https://platform.claude.com/docs/en/api/messages
"""

from dataclasses import replace
from functools import partial

from api.endpoints.base import AsgiEndpoint
from api.endpoints.translated import Dialect, count, serve
from api.http.request_context import Receive, RequestContext, Scope, Send, json_reply, send_reply
from api.services import Services
from shared.surfaces.anthropic import MessageEvents, chat_request, counted, message_of, pending_message
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
