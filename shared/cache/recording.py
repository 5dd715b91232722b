"""Records a stream on its way to its caller, as the answer to store."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from shared.cache.eligibility import may_store
from shared.surfaces.chat_assembly import ChatAssembly
from shared.surfaces.fields import MISSHAPEN
from shared.surfaces.request_types import CHAT, RESPONSES, RequestType
from shared.surfaces.sse import EventSplitter, event_data

# Events repeat their head with every few characters of text.
EVENTS_PER_ANSWER = 16
_NOT_OF_BODY = frozenset({"service_tier"})

Store = Callable[[bytes, Mapping[str, Any]], object]
"""Takes the body to store, and its usage."""


class StreamRecording:
    """Collects a stream's events; a stream that ends well is given to ``store``.

    A chat's becomes the whole answer, which serves streams and plain calls alike; others are kept as they came.

    Args:
        most_bytes: The largest answer that is stored.
        store: Takes what is to be stored.
        closed: Called when nothing more comes.

    Attributes:
        close: To be called when nothing more comes.
    """

    def __init__(
        self, request_type: RequestType, most_bytes: int, store: Store, closed: Callable[[], None] = lambda: None
    ) -> None:
        self.close = closed
        self._request_type = request_type
        self._most_bytes = most_bytes * (EVENTS_PER_ANSWER if request_type is CHAT else 1)
        self._store = store
        self._events: list[bytes] = []
        self._bytes = 0

    def add(self, events: bytes) -> None:
        """Take the next events; past the limit they are dropped."""
        self._bytes += len(events)
        if self._bytes <= self._most_bytes:
            self._events.append(events)
        else:
            self._events.clear()

    def complete(self, usage: Mapping[str, Any]) -> None:
        """Note that the answer is complete; further calls do nothing.

        Args:
            usage: As the provider reported it; without one a chat is not stored.
        """
        events, self._events = b"".join(self._events), []
        if not events:
            return
        try:
            body = self._chat(events, usage) if self._request_type is CHAT else self._response(events)
        except (*MISSHAPEN, ValueError):
            return
        if body:
            self._store(body, usage)

    def _chat(self, events: bytes, usage: Mapping[str, Any]) -> bytes:
        assembly = ChatAssembly()
        for event in EventSplitter().feed(events):
            assembly.add(event)
        whole = orjson.loads(assembly.completion())
        if not whole.get("usage"):
            if not usage:
                return b""
            whole["usage"] = {name: value for name, value in usage.items() if name not in _NOT_OF_BODY}
        body = orjson.dumps(whole)
        return body if may_store(CHAT, body) else b""

    def _response(self, events: bytes) -> bytes:
        """Return the events if the last one with a response carries a complete one."""
        for event in reversed(EventSplitter().feed(events)):
            data = event_data(event)
            response = orjson.loads(data).get("response") if data else None
            if response is not None:
                return events if may_store(RESPONSES, orjson.dumps(response)) else b""
        return b""
