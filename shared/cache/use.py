"""How one call uses the cache, and what its answer's headers say of it.

Source: https://www.rfc-editor.org/rfc/rfc9211 (``Cache-Status``), RFC 9111 5.1 (``Age``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.cache.entry import CacheEntry
from shared.cache.policy import CachePolicy
from shared.cache.store import Slot


@dataclass(slots=True, kw_only=True)
class CacheUse:
    """How one call uses the cache; filled in on its way.

    Attributes:
        policy: What the request asks for.
        scope: Hash of whose answers may be served.
        slot: Where its answer is stored; None: it does not use the cache.
        bypass: Why it does not, as a token; empty: it does.
        started: When it was sent, Unix seconds.
        entry: The stored answer that is served; None: none is.
        stale: Whether an answer was found that is too old.
        stored: Whether its answer is stored.
    """

    policy: CachePolicy
    scope: str
    slot: Slot | None = None
    bypass: str = ""
    started: float = 0.0
    entry: CacheEntry | None = None
    stale: bool = False
    stored: bool = False

    @property
    def result(self) -> str:
        """``hit``, ``miss`` or ``bypass``, for metrics."""
        return "hit" if self.entry is not None else "bypass" if self.bypass else "miss"

    def headers(self, now: float) -> dict[str, str]:
        """Return the headers of the answer."""
        lines = {"cache-status": f"finops; {self._status(now)}"}
        if self.slot is not None:
            lines["x-bf-cache-id"] = self.slot.id
        if self.entry is not None:
            lines["age"] = str(int(self.entry.age_s(now)))
            lines["x-bf-cache-hit-type"] = "direct"
        return lines

    def _status(self, now: float) -> str:
        if self.entry is not None:
            return f"hit; ttl={int(self.entry.left_s(now))}; detail=exact"
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
                "hit_type": "direct",
                "provider_used": self.entry.provider,
                "model_used": self.entry.model,
                "input_tokens": _input_tokens(self.entry.usage),
            }
        return found

    def to_json(self) -> dict[str, Any]:
        """Return what a job's record keeps."""
        return {"scope": self.scope, **self.policy.to_json()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "CacheUse":
        """Read what ``to_json`` returned."""
        return cls(policy=CachePolicy.from_json(fields), scope=str(fields["scope"]))


def _input_tokens(usage: Mapping[str, Any]) -> int:
    count = usage.get("prompt_tokens", usage.get("input_tokens", 0))
    return count if isinstance(count, int) else 0
