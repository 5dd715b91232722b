"""Counters and histograms of the hot path: plain additions when something happens, Prometheus' forms when asked.

The client library's own cost 1 us an addition (a lock, checks, a label look-up), and a call makes nine. These are for
metrics that one event loop counts. Source of the form: https://prometheus.io/docs/instrumenting/writing_clientlibs/
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

# Callers cannot create label values; should a bug let them, the number of series stays bounded.
SERIES_LIMIT = 2_000

Labels = tuple[str, ...]
Bucket = tuple[str, float] | tuple[str, float, Exemplar]
Child = TypeVar("Child", bound=MetricWrapperBase)


class FastCounter(Collector):
    """A labelled counter.

    Args:
        name: Without ``_total``.
        text: Help text.
        labels: Their names.
        registry: Where to register.
    """

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._sums: dict[Labels, float] = {}
        registry.register(self)

    def add(self, labels: Labels, amount: float = 1.0) -> None:
        """Count something, under the values of all labels."""
        sums = self._sums
        if labels in sums:
            sums[labels] += amount
        elif len(sums) < SERIES_LIMIT:
            sums[labels] = amount
        else:
            other = ("other",) * len(labels)
            sums[other] = sums.get(other, 0.0) + amount

    @property
    def sums(self) -> Mapping[Labels, float]:
        """The sum by the values of all labels."""
        return self._sums

    def describe(self) -> Iterator[Metric]:
        """Its name, for the registry."""
        yield CounterMetricFamily(self._name, self._text, labels=self._labels)

    def collect(self) -> Iterator[Metric]:
        """All series as they stand."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for labels, total in list(self._sums.items()):  # in one step: it is called in a thread
            family.add_metric(labels, total)
        yield family


class FastHistogram(Collector):
    """A labelled histogram.

    Args:
        name: As exposed.
        text: Help text.
        labels: Their names.
        bounds: Upper bounds of the buckets, ascending; the last bucket is without.
        registry: Where to register.
    """

    def __init__(
        self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._bounds = tuple(bounds)
        self._cells: dict[Labels, list[float]] = {}  # each: the sum, then a count for each bucket
        registry.register(self)

    def observe(self, labels: Labels, value: float) -> None:
        """Count a value, under the values of all labels."""
        cells = self._cells.get(labels)
        if cells is None:
            cells = self._open(labels)
        cells[0] += value
        cells[1 + bisect_left(self._bounds, value)] += 1

    @property
    def cells(self) -> Mapping[Labels, Sequence[float]]:
        """By the values of all labels: the sum of all values, then the number of them in each bucket."""
        return self._cells

    def describe(self) -> Iterator[Metric]:
        """Its name, for the registry."""
        yield HistogramMetricFamily(self._name, self._text, labels=self._labels)

    def collect(self) -> Iterator[Metric]:
        """All series as they stand."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        bounds = [*(_bound_text(bound) for bound in self._bounds), "+Inf"]
        for labels, (total, *counts) in list(self._cells.items()):
            seen = 0.0
            buckets: list[Bucket] = []
            for at, (bound, count) in enumerate(zip(bounds, counts, strict=True)):
                seen += count
                buckets.append(self._bucket(labels, at, bound, seen))
            family.add_metric(labels, buckets, total)
        yield family

    def _bucket(self, labels: Labels, at: int, bound: str, count: float) -> Bucket:  # noqa: ARG002 - for subclasses
        return bound, count

    def _open(self, labels: Labels) -> list[float]:
        if len(self._cells) >= SERIES_LIMIT:
            labels = ("other",) * len(labels)
        return self._cells.setdefault(labels, [0.0] * (len(self._bounds) + 2))


class ExemplarHistogram(FastHistogram):
    """A histogram whose buckets name the last traced value that fell into them.

    Args:
        trace_id: Returns the current trace's id; empty: the call is not traced. Further arguments: the plain class's.
    """

    def __init__(self, trace_id: Callable[[], str], *arguments: Any) -> None:  # noqa: ANN401 - those of the plain class
        super().__init__(*arguments)
        self._trace_id = trace_id
        self._exemplars: dict[tuple[Labels, int], Exemplar] = {}  # as many as buckets, which are bounded

    def observe(self, labels: Labels, value: float) -> None:
        """Count a value, and note its trace."""
        super().observe(labels, value)
        trace_id = self._trace_id()
        if trace_id and labels in self._cells:
            place = labels, bisect_left(self._bounds, value)
            self._exemplars[place] = Exemplar({"trace_id": trace_id}, value, time.time())

    def _bucket(self, labels: Labels, at: int, bound: str, count: float) -> Bucket:
        exemplar = self._exemplars.get((labels, at))
        return (bound, count) if exemplar is None else (bound, count, exemplar)


class Series(Generic[Child]):
    """The labelled series of one metric, each found by one dictionary look-up."""

    def __init__(self, metric: Child) -> None:
        self._metric = metric
        self._known: dict[tuple[str, ...], Child] = {}

    def __call__(self, *labels: str) -> Child:
        """Return the series with these values of the labels."""
        child = self._known.get(labels)
        return self._make(labels) if child is None else child

    def _make(self, labels: tuple[str, ...]) -> Child:
        if len(self._known) >= SERIES_LIMIT:
            return self._metric.labels(*("other" for _ in labels))
        child = self._known[labels] = self._metric.labels(*labels) if labels else self._metric
        return child

    def forget(self) -> None:
        """Drop every series: for gauges that are set anew at each scrape."""
        self._metric.clear()
        self._known.clear()


def _bound_text(bound: float) -> str:
    text: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
    return text
