"""Moving average of models' first-byte times; it ages, so that a slow model is tried again. Pure."""

SMOOTHING = 0.3
STALE_S = 60.0
MAX_MODELS = 1024


class Latencies:
    """First-byte times of one provider's models.

    Attributes:
        wanted: Whether anything uses the times; until then nothing is measured.
    """

    __slots__ = ("_known", "_tried", "wanted")

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float]] = {}
        self._tried: dict[str, float] = {}
        self.wanted = False

    def add(self, model: str, seconds: float, now: float) -> None:
        """Add a measurement."""
        if len(self._known) >= MAX_MODELS and model not in self._known:
            self._known.clear()
        known = self._known.get(model)
        fresh = known is not None and now - known[1] < STALE_S
        average = known[0] + SMOOTHING * (seconds - known[0]) if known and fresh else seconds
        self._known[model] = (average, now)

    def expected_s(self, model: str, now: float) -> float:
        """Expected first-byte time of a model: its average, or 0 if it was not tried within a minute.

        A model is expected to be quick once, by whoever asks first; until it has answered, it is expected to be slow,
        so that it is tried by one call and not by all.
        """
        known = self._known.get(model)
        if known is not None and now - known[1] < STALE_S:
            return known[0]
        tried = self._tried.get(model)
        if tried is not None and now - tried < STALE_S:
            return known[0] if known else float("inf")
        return 0.0

    def chosen(self, model: str, now: float) -> None:
        """Note that a call is sent to the model now."""
        if len(self._tried) >= MAX_MODELS and model not in self._tried:
            self._tried.clear()
        self._tried[model] = now
