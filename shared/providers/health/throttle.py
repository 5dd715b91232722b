"""Lower the concurrency of a provider that answers 429: additive increase, multiplicative decrease (AIMD)."""

from shared.providers.health.gate import Gate

# Calls in progress when the limit fell were begun before; their refusals say nothing new.
SPACING_S = 1.0
# Without any refusal for so long the provider counts as recovered, however little it was asked.
RECOVERED_S = 60.0


class Throttle:
    """Control a gate's limit: refusals lower it, answers raise it again.

    Args:
        gate: Its slots are the limit while there are no refusals.
    """

    __slots__ = ("_gate", "_limit", "_lowered_at", "_step", "active")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._limit = float(gate.slots)
        self._step = max(1, gate.slots // 100)
        self._lowered_at = float("-inf")
        self.active = False

    @property
    def limit(self) -> int:
        """Maximum concurrent calls, now."""
        return self._gate.limit

    def refused(self, now: float, *, share: float = 1.0) -> bool:
        """Note a 429 of the provider.

        Args:
            now: Seconds of a clock that only goes forward.
            share: The part of the provider's capacity that refused: one of two keys is a half.

        Returns:
            Whether the limit fell; it does once in a second at most.
        """
        if now - self._lowered_at < SPACING_S:
            return False
        self.lower_to(int(min(self._limit, self._gate.inside + 1) * (1 - share / 2)), now)
        return True

    def heard(self, limit: int, now: float) -> None:
        """Adopt the limit of another process, unless this one has far more calls in progress."""
        if now - self._lowered_at >= SPACING_S:
            self.lower_to(max(limit, self._gate.inside // 2), now)

    def lower_to(self, limit: int, now: float) -> None:
        """Let at most so many calls in, and never fewer than a hundredth of what is configured."""
        self._limit = min(self._limit, float(max(limit, self._step)))
        self._lowered_at = now
        self.active = True
        self._gate.set_limit(int(self._limit))

    def answered(self, now: float) -> None:
        """A call was answered while the limit is low: after as many answers as it lets in, it rises by a step."""
        self._limit += self._step / self._limit
        if self._limit >= self._gate.slots or now - self._lowered_at >= RECOVERED_S:
            self._limit = float(self._gate.slots)
            self.active = False
        self._gate.set_limit(int(self._limit))
