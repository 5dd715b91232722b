"""A chat stream as the events of a Responses stream.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from shared.surfaces.responses.answer import note_ending
from shared.surfaces.responses.open_items import Event, OpenCall, OpenItem, OpenMessage, OpenReasoning
from shared.surfaces.responses.output import Ending, Item, ended, item_status
from shared.surfaces.responses.reply import (
    MalformedChat,
    ParsedMessage,
    first_choice,
    objects,
    read_function,
    read_logprobs,
    read_message,
)
from shared.surfaces.responses.skeleton import response_error, response_skeleton
from shared.surfaces.sse import EventSplitter, EventTooLong, encode_event, event_data


def encode(event: Mapping[str, Any]) -> bytes:
    """One event as it goes over the wire."""
    return encode_event(orjson.dumps(event), name=event["type"])


def opening_events(skeleton: Mapping[str, Any]) -> list[Event]:
    """The events before any output: created, queued for a job, in progress.

    They follow from the request alone: who accepts a job and who runs it may both make them.

    Args:
        skeleton: ``response_skeleton`` of the request.
    """
    running = {**skeleton, "status": "in_progress"}
    if not skeleton["background"]:
        stages = [("created", running), ("in_progress", running)]
    else:
        waiting = {**skeleton, "status": "queued"}
        stages = [("created", waiting), ("queued", waiting), ("in_progress", running)]
    return [
        {"type": f"response.{stage}", "sequence_number": number, "response": response}
        for number, (stage, response) in enumerate(stages)
    ]


class ResponseEvents:
    """One stream: chat chunks go in, Responses events come out. It is a ``StreamTranslation``.

    Items come in the order in which the model begins them. A message and calls stay open to the end, since chat may
    go back to them; reasoning ends when something else begins, and begins anew if more of it comes.

    Args:
        request_fields: The Responses request.
        response_id: ``resp_…``, or the job's UUID.
        created_at: Unix seconds.
        background: Whether it is a job.
        clock: Unix seconds, for ``completed_at``; ``created_at`` when not given.
        announced: How many of the opening events are already with the caller.

    Attributes:
        usage: Token counts in Responses' names, once the end is reached.
        complete: Whether the terminal event is out.
        error: The provider's error in the stream, once seen; ``fail`` makes the event of it.
        response: The final Response, once the end is reached.
    """

    def __init__(
        self,
        request_fields: Mapping[str, Any],
        *,
        response_id: str,
        created_at: int,
        background: bool = False,
        clock: Callable[[], int] | None = None,
        announced: int = 0,
    ) -> None:
        self.usage: Mapping[str, Any] = {}
        self.complete = False
        self.error: Mapping[str, Any] | None = None
        self.response: dict[str, Any] | None = None
        self._id = response_id
        self._skeleton = response_skeleton(
            request_fields, response_id=response_id, created_at=created_at, background=background
        )
        self._clock = clock or (lambda: created_at)
        self._announced = announced
        self._sequence = 0
        self._splitter = EventSplitter()
        self._items: list[OpenItem] = []
        self._ending = Ending()
        self._early_logprobs: list[dict[str, Any]] = []
        self._out: list[bytes] = []

    def start(self) -> bytes:
        """The opening events; empty if they are out. ``feed`` gives them too, before the first chunk's."""
        self._open()
        return self._given()

    def feed(self, data: bytes) -> bytes:
        """Take a chat stream's bytes as they came, however cut; give complete events, maybe none.

        Nothing follows the terminal event, nor a provider's error.

        Raises:
            MalformedChat: The bytes are no chat stream.
        """
        try:
            for event in self._splitter.feed(data):
                if self.complete or self.error is not None:
                    break
                self._take(event_data(event))
        except EventTooLong as error:
            raise MalformedChat(str(error)) from error
        return self._given()

    def finish(self) -> bytes:
        """The end of the output and the terminal event, for a stream that ended well without ``[DONE]``."""
        if not self.complete:
            self._end()
        return self._given()

    def fail(self, error: Mapping[str, Any]) -> bytes:
        """The terminal event of a stream that cannot go on, and what ``feed`` owed when it raised.

        Before the first event that is an ``error`` event, in the form that the SDKs raise; after it
        ``response.failed``, with a failed Response. After a terminal event it is nothing.

        Args:
            error: OpenAI's error object.
        """
        if self.complete:
            return self._given()
        self.complete = True
        if self._sequence or self._announced:
            self._open()
            self.response = {**self._skeleton, "status": "failed", "error": response_error(error)}
            self._emit([{"type": "response.failed", "response": self.response}])
        else:
            self._emit([error_event(error)])
        return self._given()

    def _given(self) -> bytes:
        given = b"".join(self._out)
        self._out.clear()
        return given

    def _emit(self, events: list[Event]) -> None:
        for event in events:
            self._out.append(encode({**event, "sequence_number": self._sequence}))
            self._sequence += 1

    def _open(self) -> None:
        if self._sequence == 0:
            events = opening_events(self._skeleton)
            self._sequence = self._announced
            self._emit(events[self._announced :])

    def _end(self) -> None:
        self._open()
        if not self._items:
            # Who asked for an answer and got an empty one has an empty message, not none.
            self._emit(self._write_text(ParsedMessage(), []))
        output: list[Item] = []
        for item in self._items:
            status = item_status(self._ending, last=item is self._items[-1])
            self._emit(item.close(status))
            output.append(item.item(status))
        self.response = ended(self._skeleton, output, self._ending, self._clock())
        self.usage = self.response["usage"] or {}
        self.complete = True
        self._emit([{"type": f"response.{self.response['status']}", "response": self.response}])

    def _take(self, data: bytes) -> None:
        if data == b"[DONE]":
            self._end()
            return
        if not data:
            return
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError as fault:
            raise MalformedChat("an event of the chat stream is not JSON") from fault
        if not isinstance(chunk, dict):
            raise MalformedChat("an event of the chat stream is no object")
        error = chunk.get("error")
        if error:
            self.error = error if isinstance(error, dict) else {"message": str(error)}
            return
        self._open()
        self._emit(self._read(chunk))

    def _read(self, chunk: Mapping[str, Any]) -> list[Event]:
        choice = first_choice(chunk)
        note_ending(self._ending, chunk, choice)
        delta = choice.get("delta") if choice else None
        if choice is None or delta is None:
            return []
        if not isinstance(delta, dict):
            raise MalformedChat("a delta of the chat stream is no object")
        parsed = read_message(delta)
        events: list[Event] = []
        if parsed.reasoning or parsed.carried:
            events += self._write_reasoning(parsed)
        self._early_logprobs += read_logprobs(choice)
        more = self._early_logprobs and self._message() is not None
        if parsed.text or parsed.refusal or parsed.annotations or more:
            logprobs, self._early_logprobs = self._early_logprobs, []
            events += self._write_text(parsed, logprobs)
        for piece in objects(delta, "tool_calls"):
            events += self._call(piece)
        return events

    def _write_reasoning(self, parsed: ParsedMessage) -> list[Event]:
        item = self._items[-1] if self._items else None
        if isinstance(item, OpenReasoning) and not item.closed:
            return item.write_reasoning(parsed)
        ordinal = sum(isinstance(each, OpenReasoning) for each in self._items)
        item = OpenReasoning(self._id, len(self._items), ordinal)
        return self._begin(item) + item.write_reasoning(parsed)

    def _write_text(self, parsed: ParsedMessage, logprobs: list[dict[str, Any]]) -> list[Event]:
        item = self._message()
        if item is not None:
            return item.write(parsed, logprobs)
        item = OpenMessage(self._id, len(self._items))
        return self._begin(item) + item.write(parsed, logprobs)

    def _message(self) -> OpenMessage | None:
        return next((each for each in self._items if isinstance(each, OpenMessage)), None)

    def _call(self, piece: Mapping[str, Any]) -> list[Event]:
        calls = [each for each in self._items if isinstance(each, OpenCall)]
        call = next((each for each in reversed(calls) if each.continues(piece)), None)
        if call is not None:
            return call.write(read_function(piece).get("arguments"), piece)
        call = OpenCall(self._id, len(self._items), len(calls), piece)
        return self._begin(call) + call.write(read_function(piece).get("arguments"), {})

    def _begin(self, item: OpenItem) -> list[Event]:
        """A new item; reasoning before it is over."""
        events: list[Event] = []
        if self._items and isinstance(self._items[-1], OpenReasoning):
            events = self._items[-1].close("completed")
        self._items.append(item)
        return events + item.open()


def error_event(error: Mapping[str, Any]) -> Event:
    """The event of a failure before any other: OpenAI's flat form, and the nested one that the SDKs raise."""
    message = str(error.get("message") or "The model's provider could not answer.")
    texts = {key: error[key] if isinstance(error.get(key), str) else None for key in ("code", "param")}
    kind = error.get("type") if isinstance(error.get("type"), str) else "server_error"
    return {
        "type": "error",
        "message": message,
        **texts,
        "error": {"type": kind, "message": message, **texts},
    }
