"""Output items while a stream brings them: each takes pieces, gives events, and is at last an item.

Events lack their ``sequence_number``; the stream counts.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from shared.surfaces.responses.encrypted_content import Carried, merge_blocks
from shared.surfaces.responses.items import item_id
from shared.surfaces.responses.output import (
    Call,
    Item,
    call_item,
    message_item,
    reasoning_item,
    refusal_part,
    summary_part,
    text_part,
)
from shared.surfaces.responses.reply import MalformedChat, ParsedMessage, read_function

Event = dict[str, Any]


class OpenItem(ABC):
    """What all items have in common.

    Attributes:
        closed: Whether its last event is out.
    """

    kind = ""

    def __init__(self, response_id: str, index: int, ordinal: int) -> None:
        self.closed = False
        self._response_id = response_id
        self._ordinal = ordinal
        self._place = {"output_index": index}
        self._at = {"item_id": item_id(self.kind, response_id, ordinal), "output_index": index}

    @abstractmethod
    def item(self, status: str) -> Item:
        """The item as it stands."""

    def open(self) -> list[Event]:
        """The item begins, before its first piece."""
        return [{"type": "response.output_item.added", **self._place, "item": self.item("in_progress")}]

    def close(self, status: str) -> list[Event]:
        """The item is complete; nothing if it was so before."""
        if self.closed:
            return []
        self.closed = True
        done = {"type": "response.output_item.done", **self._place, "item": self.item(status)}
        return [*self._finished(), done]

    @abstractmethod
    def _finished(self) -> list[Event]:
        """Return the events of the item's parts before it is done."""


class OpenReasoning(OpenItem):
    """Reasoning: one part of summary, and blocks to carry."""

    kind = "reasoning"

    def __init__(self, response_id: str, index: int, ordinal: int) -> None:
        super().__init__(response_id, index, ordinal)
        self._text = ""
        self._carried: Carried = {}

    def item(self, status: str) -> Item:
        """See ``OpenItem``."""
        return reasoning_item(self._response_id, self._ordinal, self._text, self._carried, status)

    def write_reasoning(self, message: ParsedMessage) -> list[Event]:
        """More of it."""
        for name, blocks in message.carried.items():
            merge_blocks(self._carried.setdefault(name, []), blocks)
        if not message.reasoning:
            return []
        events = [] if self._text else [self._event("part.added", part=summary_part(""))]
        self._text += message.reasoning
        return [*events, self._event("text.delta", delta=message.reasoning)]

    def _finished(self) -> list[Event]:
        if not self._text:
            return []
        return [
            self._event("text.done", text=self._text),
            self._event("part.done", part=summary_part(self._text)),
        ]

    def _event(self, name: str, **facts: object) -> Event:
        return {"type": f"response.reasoning_summary_{name}", **self._at, "summary_index": 0, **facts}


class OpenMessage(OpenItem):
    """A message: text, or a refusal, or one after the other."""

    kind = "message"

    def __init__(self, response_id: str, index: int) -> None:
        super().__init__(response_id, index, 0)
        self._parts: list[Item] = []

    def item(self, status: str) -> Item:
        """See ``OpenItem``."""
        return message_item(self._response_id, self._parts, status)

    def write(self, message: ParsedMessage, logprobs: list[dict[str, Any]]) -> list[Event]:
        """More of it; an empty piece of text begins the text if nothing has."""
        events: list[Event] = []
        if message.text or message.annotations or logprobs or not (message.refusal or self._parts):
            events += self._write(message.text, logprobs)
            events += [self._cite(annotation) for annotation in message.annotations]
        if message.refusal:
            index, events_before = self._part(refusal_part(""))
            self._parts[index]["refusal"] += message.refusal
            delta = self._event("refusal.delta", index, delta=message.refusal)
            events += [*events_before, delta]
        return events

    def _write(self, text: str, logprobs: list[dict[str, Any]]) -> list[Event]:
        index, events = self._part(text_part(""))
        self._parts[index]["text"] += text
        self._parts[index]["logprobs"].extend(logprobs)
        if text:
            events.append(self._event("output_text.delta", index, delta=text, logprobs=logprobs))
        return events

    def _cite(self, annotation: Item) -> Event:
        index, _ = self._part(text_part(""))
        annotations = self._parts[index]["annotations"]
        annotations.append(annotation)
        return self._event(
            "output_text.annotation.added",
            index,
            annotation_index=len(annotations) - 1,
            annotation=annotation,
        )

    def _part(self, empty: Item) -> tuple[int, list[Event]]:
        """The place of the part of that type, and the event of its beginning if it is new."""
        for index, part in enumerate(self._parts):
            if part["type"] == empty["type"]:
                return index, []
        self._parts.append(empty)
        index = len(self._parts) - 1
        # What is sent must not grow with the part.
        return index, [self._event("content_part.added", index, part=dict(empty))]

    def _finished(self) -> list[Event]:
        events = []
        for index, part in enumerate(self._parts):
            if part["type"] == "refusal":
                events.append(self._event("refusal.done", index, refusal=part["refusal"]))
            else:
                facts = {"text": part["text"], "logprobs": part["logprobs"]}
                events.append(self._event("output_text.done", index, **facts))
            events.append(self._event("content_part.done", index, part=part))
        return events

    def _event(self, name: str, content_index: int, **facts: object) -> Event:
        return {"type": f"response.{name}", **self._at, "content_index": content_index, **facts}


class OpenCall(OpenItem):
    """A function call.

    Args:
        piece: The delta that begins it; it must name the function.

    Raises:
        MalformedChat: It does not.
    """

    kind = "function_call"

    def __init__(self, response_id: str, index: int, ordinal: int, piece: Mapping[str, Any]) -> None:
        super().__init__(response_id, index, ordinal)
        name = read_function(piece).get("name")
        if not isinstance(name, str) or not name:
            raise MalformedChat("a tool call of the chat stream begins without a name")
        self._chat_index = piece.get("index")
        self._call = Call(str(piece.get("id") or ""), name, "", dict(piece.get("extra_content") or {}))

    def continues(self, piece: Mapping[str, Any]) -> bool:
        """Whether a delta is more of this call: by its index, and by its id where all have the same index."""
        given = piece.get("id")
        if given and self._call.call_id and given != self._call.call_id:
            return False
        index = piece.get("index")
        if index is None:
            return not read_function(piece).get("name") or given == self._call.call_id
        return bool(index == self._chat_index)

    def item(self, status: str) -> Item:
        """See ``OpenItem``."""
        return call_item(self._response_id, self._ordinal, self._call, status)

    def write(self, arguments: object, piece: Mapping[str, Any]) -> list[Event]:
        """More of its arguments, or of what stands beside it."""
        self._call.extra.update(piece.get("extra_content") or {})
        if not isinstance(arguments, str | None):
            raise MalformedChat("arguments of a tool call are no text")
        if not arguments:
            return []
        self._call.arguments += arguments
        return [self._event("delta", delta=arguments)]

    def _finished(self) -> list[Event]:
        return [self._event("done", name=self._call.name, arguments=self._call.arguments)]

    def _event(self, stage: str, **facts: object) -> Event:
        return {"type": f"response.function_call_arguments.{stage}", **self._at, **facts}
