"""Figures of the hot path look to Prometheus like the client library's own."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest

from shared.telemetry.counters import SERIES_LIMIT, FastCounter, FastHistogram

BOUNDS = (0.005, 0.5, 1, 10)


def exposition(registry: CollectorRegistry) -> list[str]:
    """The exposition, without the times at which series began, which ours leave out."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_exposition_matches_the_client_library() -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    their_calls = Counter("calls", "Calls.", ["who", "how"], registry=theirs)
    their_seconds = Histogram("seconds", "How long.", ["who"], buckets=BOUNDS, registry=theirs)
    calls = FastCounter("calls", "Calls.", ["who", "how"], ours)
    seconds = FastHistogram("seconds", "How long.", ["who"], BOUNDS, ours)
    for who, how, took_s in (("a", "x", 0.005), ("a", "y", 0.5000001), ("b", "x", 99.0), ("a", "x", 0.0)):
        their_calls.labels(who, how).inc(took_s)
        calls.add((who, how), took_s)
        their_seconds.labels(who).observe(took_s)
        seconds.observe((who,), took_s)
    calls.add(("b", "x"))
    their_calls.labels("b", "x").inc()
    assert exposition(ours) == exposition(theirs)


def test_series_beyond_the_limit_share_one() -> None:
    registry = CollectorRegistry()
    calls = FastCounter("calls", "Calls.", ["who", "how"], registry)
    seconds = FastHistogram("seconds", "How long.", ["who"], BOUNDS, registry)
    for at in range(SERIES_LIMIT + 3):
        calls.add((str(at), "x"))
        seconds.observe((str(at),), 1.0)
    calls.add(("0", "x"))
    assert registry.get_sample_value("calls_total", {"who": "other", "how": "other"}) == 3
    assert registry.get_sample_value("calls_total", {"who": "0", "how": "x"}) == 2
    assert registry.get_sample_value("seconds_count", {"who": "other"}) == 3


def test_a_name_can_be_registered_once() -> None:
    registry = CollectorRegistry()
    FastCounter("calls", "Calls.", ["who"], registry)
    FastHistogram("seconds", "How long.", ["who"], BOUNDS, registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Counter("calls", "Again.", registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Histogram("seconds", "Again.", registry=registry)
