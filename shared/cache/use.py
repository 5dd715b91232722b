"""How one call uses the cache, and what its answer's headers say of it.

Source: https://www.rfc-editor.org/rfc/rfc9211 (``Cache-Status``), RFC 9111 5.1 (``Age``).
"""

from collections.abc import Callable, Mapping
from typing import Any

from shared.cache.entry import CacheEntry
from shared.cache.flights import EXACT, Flight, Match
from shared.cache.near import NearQuestion
from shared.cache.policy import CachePolicy
from shared.cache.store import Slot


class CacheUse:
    """How one call uses the cache; filled in on its way.

    Args:
        policy: What the request asks for.
        scope: Hash of whose answers may be served.

    Attributes:
        policy: As given.
        scope: As given.
        slot: Where its answer is stored; None: it does not use the cache.
        bypass: Why it does not, as a token; empty: it does.
        started: When it was sent, Unix seconds.
        entry: The stored answer that is served; None: none is.
        question: The question by which a near request's answer may be found; None: only an equal one's may be served.
        kind: Of the match: ``exact``, ``near`` or ``semantic``.
        similarity: How similar the near or semantic request is, 0 to 1.
        threshold: How similar it must be.
        stale: Whether an answer was found that is too old.
        refreshed: Whether the entry is past its time to live, and a fresh answer is fetched.
        spare: An answer past its time to live that is served if no provider answers; None: there is none.
        flight: The upstream call that it leads, while others may wait for its answer; None: none.
        collapsed: Whether the entry is the answer of an identical call that was in progress.
        stored: Whether its answer is stored.
        observer: Takes the answer that is stored, to compare it with one that might have been served; None: none.
    """

    slot: Slot | None = None
    bypass = ""
    started = 0.0
    entry: CacheEntry | None = None
    question: NearQuestion | None = None
    kind = "exact"
    similarity = 1.0
    threshold = 0.0
    stale = False
    refreshed = False
    spare: CacheEntry | None = None
    flight: Flight | None = None
    collapsed = False
    stored = False
    observer: Callable[[CacheEntry], None] | None = None

    def __init__(self, policy: CachePolicy, scope: str) -> None:
        # The others are the class's until they are set, as most calls set five of them.
        self.policy = policy
        self.scope = scope

    @property
    def is_hit(self) -> bool:
        """Whether a stored answer is served."""
        return self.entry is not None

    @property
    def result(self) -> str:
        """``hit``, ``miss`` or ``bypass``, for metrics."""
        return "hit" if self.entry is not None else "bypass" if self.bypass else "miss"

    def end(self, entry: CacheEntry | None = None) -> None:
        """Give those that wait for the call its answer; None: it has none that may be shared."""
        if self.flight is not None:
            flight, self.flight = self.flight, None
            exact = self.kind == "exact"
            flight.end(entry, EXACT if exact else Match(self.kind, self.similarity, self.threshold))

    def go_on(self, stop: Callable[[], None]) -> bool:
        """Let the call go on though its caller has left, while others wait for its answer.

        Args:
            stop: Called when nobody waits any more.

        Returns:
            False if nobody can: it leads no upstream call.
        """
        if self.flight is None:
            return False
        self.flight.go_on(stop)
        return True

    def headers(self, now: float) -> dict[str, str]:
        """Return the headers of the answer."""
        lines = {"cache-status": f"finops; {self._status(now)}"}
        if self.slot is not None:
            lines["x-bf-cache-id"] = self.slot.id
        if self.entry is not None:
            lines["age"] = str(int(self.entry.age_s(now)))
            if not self.collapsed:
                lines["x-bf-cache-hit-type"] = self._hit_type
            if self.kind != "exact":
                lines["x-bf-cache-similarity"] = f"{self.similarity:.4f}"
                lines["x-bf-cache-threshold"] = f"{self.threshold:.4f}"
        return lines

    def _status(self, now: float) -> str:
        if self.collapsed:
            return "fwd=miss; collapsed"
        if self.entry is not None:
            left_s = self.entry.left_s(now)
            return f"hit; ttl={int(left_s)}; detail={self.kind if left_s > 0 else 'stale'}"
        if self.bypass:
            return f"fwd=bypass; detail={self.bypass}"
        reason = "request" if self.policy.reload else "stale" if self.stale else "miss"
        return f"fwd={reason}; stored" if self.stored else f"fwd={reason}"

    def to_debug(self) -> dict[str, Any]:
        """Return what ``x-bf-cache-debug`` adds to an answer's body."""
        found: dict[str, Any] = {"cache_hit": self.entry is not None}
        if self.slot is not None:
            found["cache_id"] = self.slot.id
        if self.entry is not None:
            found |= {
                "hit_type": self._hit_type,
                "provider_used": self.entry.provider,
                "model_used": self.entry.model,
                "input_tokens": _input_tokens(self.entry.usage),
            }
        if self.kind != "exact":
            found |= {"similarity": round(self.similarity, 4), "threshold": self.threshold}
        return found

    @property
    def _hit_type(self) -> str:
        """The kind of the match in Bifrost's word."""
        return "direct" if self.kind == "exact" else self.kind

    def to_json(self) -> dict[str, Any]:
        """Return what a job's record keeps."""
        return {"scope": self.scope, **self.policy.to_json()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "CacheUse":
        """Read what ``to_json`` returned."""
        return cls(CachePolicy.from_json(fields), str(fields["scope"]))


def _input_tokens(usage: Mapping[str, Any]) -> int:
    count = usage.get("prompt_tokens", usage.get("input_tokens", 0))
    return count if isinstance(count, int) else 0
