"""Responses over a wire that only chats: the request becomes a chat, the chat's answer a Response; pure."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from shared.providers.wires.base import (
    MalformedAnswer,
    ProviderRequest,
    StreamTranslation,
    Translated,
    UpstreamRequest,
    Wire,
)
from shared.surfaces.dialect import Dialect
from shared.surfaces.large_json import dump_object
from shared.surfaces.request_types import CHAT, RESPONSES
from shared.surfaces.responses.answer import chat_to_response
from shared.surfaces.responses.reply import MalformedChat
from shared.surfaces.responses.request import responses_to_chat
from shared.surfaces.responses.stream import ResponseEvents

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recalled:
    """The stored conversation that a request continues.

    Attributes:
        history: Items of the responses that ``previous_response_id`` leads back to, oldest first.
        references: Stored items by id, which the input refers to.
    """

    history: tuple[Item, ...] = ()
    references: Mapping[str, Item] = field(default_factory=dict)


class BridgedWire(Wire):
    """Another wire's chat, seen as the Responses API; made for one call.

    ``ProviderRequest.answer_id`` is the id of the response; translated bodies hold the whole Response, which
    ``response`` keeps once it is there.

    Args:
        wire: What the provider speaks.
        recalled: The conversation before.
        background: Whether the response is a job of its own.
    """

    request_types = frozenset({RESPONSES.name})

    def __init__(self, wire: Wire, recalled: Recalled, *, background: bool) -> None:
        self.name = wire.name
        self._wire = wire
        self._recalled = recalled
        self._background = background

    def request(self, request: ProviderRequest) -> UpstreamRequest:
        """The chat request.

        Raises:
            UnsupportedParameter: Chat, or the provider's format, cannot express a field.
            InvalidRequest: It is not a Responses request.
        """
        return self._wire.request(self._chat(request))

    def answer(self, request: ProviderRequest, body: bytes, content_type: str) -> Translated:
        """The chat's answer as a Response.

        Raises:
            MalformedAnswer: It is no chat completion.
        """
        translated = self._wire.answer(self._chat(request), body, content_type)
        try:
            completion = orjson.loads(translated.body)
            if not isinstance(completion, dict):
                raise MalformedChat("the answer is not an object")
            response = chat_to_response(
                completion,
                request.fields,
                response_id=request.answer_id,
                created_at=request.created,
                background=self._background,
                completed_at=int(time.time()),
            )
        except (MalformedChat, orjson.JSONDecodeError) as error:
            raise MalformedAnswer(str(error)) from error
        self.response = response
        return Translated(body=orjson.dumps(response), usage=translated.usage)

    def stream(self, request: ProviderRequest) -> "BridgedStream":
        """The chat's stream as events of a Response."""
        events = ResponseEvents(
            request.fields,
            response_id=request.answer_id,
            created_at=request.created,
            background=self._background,
            clock=lambda: int(time.time()),
        )
        return BridgedStream(self._wire.stream(self._chat(request)), events, self)

    def error(self, status: int, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """The provider's error, as its wire reads it."""
        return self._wire.error(status, body)

    def dialect(self, model: str) -> Dialect:
        """The dialect of the provider's format."""
        return self._wire.dialect(model)

    def _chat(self, request: ProviderRequest) -> ProviderRequest:
        recalled = self._recalled
        fields = responses_to_chat(
            request.fields,
            recalled.history,
            references=recalled.references,
            developer_role="system",  # which every chat knows
            reasoning=self._wire.reasoning,
        )
        fields["model"] = request.model
        return replace(request, request_type=CHAT, fields=fields, body=dump_object(fields, len(request.body)))


class BridgedStream(StreamTranslation):
    """A chat's stream being translated twice: from the provider's format to chat, and from chat to a Response's."""

    def __init__(self, chat: StreamTranslation, events: ResponseEvents, wire: BridgedWire) -> None:
        self._chat = chat
        self._events = events
        self._wire = wire
        self.usage: Mapping[str, Any] = {}
        self.complete = False
        self.error: Mapping[str, Any] | None = None

    def feed(self, data: bytes) -> bytes:
        """Take the provider's bytes; give the Response's events.

        Raises:
            MalformedAnswer: They are not of the provider's format, or hold content that a Response cannot.
        """
        return self._convert(self._chat.feed(data))

    def end(self) -> bytes:
        """Complete the Response if the chat's stream may end here."""
        return self._convert(self._chat.end())

    def _convert(self, chunks: bytes) -> bytes:
        try:
            events = self._events.feed(chunks)
            self.error = self._chat.error or self._events.error
            if self._chat.complete and self.error is None:
                events += self._events.finish()
        except MalformedChat as error:
            raise MalformedAnswer(str(error)) from error
        if self._events.complete:
            self.complete, self.usage = True, self._chat.usage or self._events.usage
            self._wire.response = self._events.response
        return events
