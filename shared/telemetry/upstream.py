"""Interfaces for counting upstream requests and their cost."""

from typing import Protocol


class UpstreamWatch(Protocol):
    """Counts upstream attempts."""

    def attempt(self, provider: str, status: int, seconds: float) -> None:
        """One attempt ended: the HTTP status a caller would see for it, and how long it took."""
        ...

    def guardrail(self, name: str, stage: str, verdict: str, seconds: float) -> None:
        """A guardrail was asked.

        Args:
            name: Its name.
            stage: ``request`` or ``answer``.
            verdict: ``allow``, ``deny``, ``replace`` or ``error``.
            seconds: How long it took.
        """
        ...


class SpendWatch(Protocol):
    """Counts usage and cost of calls."""

    def spent(self, team: str, provider: str, model: str, micro_usd: int | None, tokens: tuple[int, int, int]) -> None:
        """A call was booked.

        Args:
            team: Of its key; empty: none.
            provider: The one that answered.
            model: As the provider calls it.
            micro_usd: What it cost; None: the price is unknown.
            tokens: Input, output, and how many of the input were cached.
        """
        ...


class CacheWatch(Protocol):
    """Counts the use of the cache."""

    def looked_up(self, result: str, kind: str, request_type: str, seconds: float) -> None:
        """A call was looked up.

        Args:
            result: ``hit``, ``miss`` or ``bypass``.
            kind: Of the match: ``exact``, ``near`` or ``semantic``.
            request_type: ``RequestType.name``.
            seconds: How long it took, with the call's admission.
        """
        ...

    def saved(self, team: str, provider: str, model: str, micro_usd: int) -> None:
        """A stored answer was served: what the call would have cost at list prices."""
        ...

    def collapsed(self) -> None:
        """A call was answered by an identical one in progress."""
        ...

    def audited(self, model: str, *, agreed: bool, wrong_upper_bound: float) -> None:
        """A semantic match was compared with the answer that came.

        Args:
            model: ``provider/model`` that answered.
            agreed: Whether both answers say the same.
            wrong_upper_bound: The 95 % upper bound of wrong answers since, 0 to 1.
        """
        ...

    def stored(self, result: str) -> None:
        """An answer was taken to be ``stored``, or ``dropped`` because it is too large or too many wait."""
        ...


class Unwatched:
    """Counts nothing."""

    def attempt(self, provider: str, status: int, seconds: float) -> None:
        """Let it pass."""

    def guardrail(self, name: str, stage: str, verdict: str, seconds: float) -> None:
        """Let it pass."""

    def spent(self, team: str, provider: str, model: str, micro_usd: int | None, tokens: tuple[int, int, int]) -> None:
        """Let it pass."""

    def looked_up(self, result: str, kind: str, request_type: str, seconds: float) -> None:
        """Let it pass."""

    def saved(self, team: str, provider: str, model: str, micro_usd: int) -> None:
        """Let it pass."""

    def collapsed(self) -> None:
        """Let it pass."""

    def audited(self, model: str, *, agreed: bool, wrong_upper_bound: float) -> None:
        """Let it pass."""

    def stored(self, result: str) -> None:
        """Let it pass."""


UNWATCHED = Unwatched()
