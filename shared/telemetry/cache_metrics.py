"""Prometheus metrics of the cache."""

from prometheus_client import CollectorRegistry, Gauge

from shared.telemetry.counters import FastCounter, FastHistogram

LOOKUP_BUCKETS_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.25, 1)


class CacheMetrics:
    """Counts look-ups, savings and stored answers (``CacheWatch``)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["result", "kind", "request_type"]
        self._lookups = FastCounter(
            "finops_cache_lookups", "Calls looked up in the cache; result: hit, miss, bypass.", labels, registry
        )
        self._seconds = FastHistogram(
            "finops_cache_lookup_seconds",
            "From a call's routing to its look-up's end; its admission runs at the same time.",
            ["result"],
            LOOKUP_BUCKETS_S,
            registry,
        )
        self._saved = FastCounter(
            "finops_cache_saved_usd",
            "What served answers would have cost at list prices.",
            ["team", "provider", "model"],
            registry,
        )
        self._collapsed = FastCounter(
            "finops_cache_collapsed", "Calls answered by an identical call in progress.", [], registry
        )
        self._stored = FastCounter(
            "finops_cache_stored", "Answers stored, or dropped: too large, or too many waiting.", ["result"], registry
        )

        self._audited = FastCounter(
            "finops_cache_audited", "Semantic matches compared with the answer that came.", ["agreed"], registry
        )
        self._wrong = Gauge(
            "finops_cache_wrong_upper_bound",
            "95 % upper bound of wrong answers among semantic matches, of the scope that was compared last.",
            ["model"],
            registry=registry,
        )

    def looked_up(self, result: str, kind: str, request_type: str, seconds: float) -> None:
        """Count a look-up."""
        self._lookups.add((result, kind, request_type))
        self._seconds.observe((result,), seconds)

    def saved(self, team: str, provider: str, model: str, micro_usd: int) -> None:
        """Count what a stored answer saved."""
        self._saved.add((team, provider, model), micro_usd / 1_000_000)

    def collapsed(self) -> None:
        """Count a call that shared another one's answer."""
        self._collapsed.add(())

    def audited(self, model: str, *, agreed: bool, wrong_upper_bound: float) -> None:
        """Count a semantic match that was compared."""
        self._audited.add(("true" if agreed else "false",))
        self._wrong.labels(model).set(wrong_upper_bound)

    def stored(self, result: str) -> None:
        """Count an answer that was stored or dropped."""
        self._stored.add((result,))
