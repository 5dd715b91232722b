"""What is counted of upstream requests."""

from typing import Protocol


class UpstreamWatch(Protocol):
    """Told of every upstream attempt."""

    def attempt(self, provider: str, status: int, seconds: float) -> None:
        """One attempt ended: the HTTP status a caller would see for it, and how long it took."""
        ...


class Unwatched:
    """Counts nothing."""

    def attempt(self, provider: str, status: int, seconds: float) -> None:
        """Let it pass."""


UNWATCHED = Unwatched()
