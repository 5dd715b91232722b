"""The kept events of a background stream: what a caller who comes back may ask of them.

Source: https://platform.openai.com/docs/guides/background#streaming-a-background-response
"""

from collections.abc import Iterable, Iterator

import orjson

from shared.errors import InvalidRequest
from shared.surfaces.sse import event_data

TERMINAL_EVENTS = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})


def check_resumable(*, background: bool, streamed: bool) -> None:
    """Refuse to stream a response that has no event log.

    Raises:
        InvalidRequest: It was not created with both ``background`` and ``stream``.
    """
    if not (background and streamed):
        raise InvalidRequest(
            "Only a response created with background=true and stream=true can be streamed again.", param="stream"
        )


def read_starting_after(value: str | None) -> int:
    """The sequence number after which to begin; -1 when absent: from the first event.

    Raises:
        InvalidRequest: It is no whole number.
    """
    if value is None:
        return -1
    # Digits alone: int() would also read signs, spaces and underscores.
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise InvalidRequest("starting_after must be a whole number, 0 or above.", param="starting_after")
    return int(value)


def events_after(events: Iterable[bytes], starting_after: int) -> Iterator[bytes]:
    """The events with a higher sequence number, in their order; none where the caller has seen the last."""
    return (event for event in events if _number(event) > starting_after)


def is_terminal(event: bytes) -> bool:
    """Whether nothing follows this event."""
    return _field(event, "type") in TERMINAL_EVENTS


def _number(event: bytes) -> int:
    number = _field(event, "sequence_number")
    return number if isinstance(number, int) else -1


def _field(event: bytes, name: str) -> object:
    data = event_data(event)
    fields = orjson.loads(data) if data else {}
    return fields.get(name) if isinstance(fields, dict) else None
