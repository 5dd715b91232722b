"""A stored answer as a stream."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any


class ReplayStream:
    """An ``AnswerStream`` of a stored answer.

    Args:
        events: Server-sent events, in pieces.
        headers: Of the response.
        ledger: Its ledger entry.
    """

    def __init__(
        self,
        events: Sequence[bytes],
        *,
        provider: str,
        model: str,
        usage: Mapping[str, Any],
        headers: Mapping[str, str],
        ledger: bytes = b"",
    ) -> None:
        self.events = events
        self.status = 200
        self.content_type = "text/event-stream"
        self.headers = headers
        self.provider = provider
        self.model = model
        self.usage = usage
        self.attempts = 0
        self.whole: bytes | None = None
        self.ledger = ledger

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for events in self.events:
            yield events

    async def aclose(self) -> None:
        """Do nothing: nothing is open."""
