"""Figures of the hot path look to Prometheus like the client library's own."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from shared.telemetry.counters import SERIES_LIMIT, ExemplarHistogram, FastCounter, FastHistogram

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


def test_a_bucket_names_the_last_traced_value() -> None:
    registry, trace = CollectorRegistry(), ["a" * 32]
    histogram = ExemplarHistogram(lambda: trace[0], "seconds", "How long.", ["who"], BOUNDS, registry)
    histogram.observe(("me",), 0.25)
    trace[0] = "b" * 32
    histogram.observe(("me",), 0.5)
    trace[0] = ""
    histogram.observe(("me",), 0.4)
    histogram.observe(("me",), 99)
    [family] = list(text_string_to_metric_families(openmetrics.generate_latest(registry).decode()))
    found = {sample.labels["le"]: sample for sample in family.samples if sample.name == "seconds_bucket"}
    assert [bound for bound, sample in found.items() if sample.exemplar] == ["0.5"]
    assert (found["0.5"].exemplar.labels, found["0.5"].exemplar.value) == ({"trace_id": "b" * 32}, 0.5)
    assert (found["0.5"].value, found["+Inf"].value) == (3, 4)


def test_a_series_that_became_another_has_no_exemplar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.telemetry.counters.SERIES_LIMIT", 1)
    registry = CollectorRegistry()
    histogram = ExemplarHistogram(lambda: "a" * 32, "seconds", "How long.", ["who"], BOUNDS, registry)
    for who in ("me", "you", "they"):
        histogram.observe((who,), 0.25)
    assert openmetrics.generate_latest(registry).decode().count("# {") == 1


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
