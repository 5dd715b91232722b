"""Server-sent events, both ways; pure framing.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from collections.abc import Iterator

DONE = b"data: [DONE]\n\n"
MAX_EVENT_BYTES = 16 * 1024 * 1024


class EventTooLong(ValueError):
    """One event is longer than ``MAX_EVENT_BYTES``: no provider means that."""


class EventSplitter:
    """Cuts a stream of bytes, however it arrives, into complete events.

    An event ends with an empty line; lines end with LF, CRLF or CR LF mixed. The bytes of an event are not changed.

    Attributes:
        rest: Bytes of an event that has not ended.
    """

    __slots__ = ("rest",)

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that ``data`` completes, each with its terminator."""
        if not self.rest and data.find(b"\n\n") == len(data) - 2 >= 0 and data.find(b"\n\r\n") < 0:
            return [data]  # one whole event, as providers send them
        data = self.rest + data if self.rest else data
        events: list[bytes] = []
        start = 0
        while (end := _event_end(data, start)) > 0:
            events.append(data[start:end])
            start = end
        self.rest = data[start:]
        if len(self.rest) > MAX_EVENT_BYTES:
            raise EventTooLong(f"an event of more than {MAX_EVENT_BYTES} bytes")
        return events


def _event_end(data: bytes, start: int) -> int:
    """Where the event that begins at ``start`` ends, past its empty line; 0: it does not end yet."""
    lf = data.find(b"\n\n", start)
    crlf = data.find(b"\n\r\n", start, lf + 2 if lf >= 0 else len(data))
    if crlf >= 0:
        return crlf + 3
    return lf + 2 if lf >= 0 else 0


def only_event(data: bytes) -> bytes | None:
    """The data of bytes that are one event of one line, as providers send them; None: they have to be cut."""
    end = len(data) - 2
    if data[end:] == b"\n\n" and data.find(b"\n") == end and data.startswith(b"data: ") and data.find(b"\r") < 0:
        return data[6:end]
    return None


def event_data(event: bytes) -> bytes:
    """The joined ``data:`` lines of an event; empty for comments."""
    if event.startswith(b"data: ") and event.count(b"\n") == 2 and event.find(b"\r") < 0:
        return event[6:-2]
    return b"\n".join(_values(event, b"data"))


def event_name(event: bytes) -> bytes:
    """The ``event:`` line's value; empty where there is none."""
    return next(_values(event, b"event"), b"")


def _values(event: bytes, field: bytes) -> Iterator[bytes]:
    for line in event.splitlines():
        name, _, value = line.partition(b":")
        if name == field:
            yield value.removeprefix(b" ")


def encode_event(data: bytes, *, name: str = "", event_id: str = "") -> bytes:
    """One event; ``data`` must hold no line break (JSON of orjson's never does)."""
    head = (f"id: {event_id}\n" if event_id else "") + (f"event: {name}\n" if name else "")
    return head.encode() + b"data: " + data + b"\n\n"
