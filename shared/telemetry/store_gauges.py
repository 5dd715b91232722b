"""Gauges of what stands in the store - queue, alert rules, limits - which are read and set at each scrape."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Gauge

from shared.telemetry.counters import Series

MAX_CALLER_SERIES = 100


class PriorityMetrics(Protocol):
    """One priority's waiting jobs."""

    @property
    def depth(self) -> int:
        """Jobs."""

    @property
    def oldest_age_s(self) -> float | None:
        """Since the oldest became claimable."""


class QueueMetrics(Protocol):
    """The queue's state in the store."""

    @property
    def priorities(self) -> Mapping[Any, PriorityMetrics]:
        """By priority."""

    @property
    def deferred(self) -> int:
        """Jobs that wait for a time."""

    @property
    def running(self) -> int:
        """Jobs under a lease."""

    @property
    def dead(self) -> int:
        """Jobs in the dead-letter list."""

    @property
    def pauses(self) -> int:
        """Pauses in force."""

    @property
    def callers(self) -> Mapping[str, int]:
        """Waiting jobs by caller."""


class StoreGauges:
    """Part of ``Metrics``; of a process that is scraped."""

    registry: CollectorRegistry

    def _make_queue_metrics(self) -> None:
        registry = self.registry

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"finops_queue_{name}", text, labels, registry=registry)

        self._depth = Series(gauge("depth", "Waiting jobs.", "priority"))
        self._age = Series(gauge("oldest_age_seconds", "How long the oldest claimable job waits.", "priority"))
        self._caller_depth = Series(gauge("caller_depth", "Waiting jobs of the busiest callers.", "caller"))
        self._queue_deferred = gauge("deferred", "Jobs that wait for a time.")
        self._queue_running = gauge("running", "Jobs under a lease, of all workers.")
        self._queue_dead = gauge("dead", "Jobs in the dead-letter list.")
        self._queue_pauses = gauge("pauses", "Pauses of the queue in force.")
        self._queue_parked = Series(gauge("parked", "Jobs that wait for a limit's next window.", "limit"))
        self._rules_firing = Series(
            Gauge("finops_alert_firing", "1 while an alert rule fires, else 0.", ["rule"], registry=registry)
        )

        labels = ["kind", "scope", "window"]
        self._headroom = Series(
            Gauge("finops_limit_headroom_ratio", "What a limit has left: 1 all, 0 nothing.", labels, registry=registry)
        )
        texts = {
            "reservations": "Open reservations of calls, jobs and batches.",
            "runs": "Runs that were used in the last 30 days.",
            "provider_batches": "Batches and videos of providers that are followed until they are booked.",
            "bookings": "Changes by jobs of shards other than 0 that are not in limits and ledger yet.",
        }
        self._open = {name: Gauge(f"finops_limit_{name}", text, registry=registry) for name, text in texts.items()}

    def observe_queue(self, stats: QueueMetrics) -> None:
        """Set the queue's gauges, to be called at a scrape."""
        for priority, queue in stats.priorities.items():
            self._depth(str(priority)).set(queue.depth)
            self._age(str(priority)).set(queue.oldest_age_s or 0.0)
        self._queue_deferred.set(stats.deferred)
        self._queue_running.set(stats.running)
        self._queue_dead.set(stats.dead)
        self._queue_pauses.set(stats.pauses)
        self._caller_depth.forget()
        busiest = sorted(stats.callers.items(), key=lambda item: -item[1])[:MAX_CALLER_SERIES]
        for caller, depth in busiest:
            self._caller_depth(caller or "-").set(depth)

    def observe_parked(self, counts: Mapping[str, int]) -> None:
        """Set how many jobs wait for a limit's next window, by its kind; to be called at a scrape."""
        for kind, count in counts.items():
            self._queue_parked(kind).set(count)

    def observe_rules(self, firing: Mapping[str, bool]) -> None:
        """Set which alert rules fire, to be called at a scrape."""
        for rule, fires in firing.items():
            self._rules_firing(rule).set(int(fires))

    def observe_limits(self, headroom: Iterable[tuple[str, str, str, float]]) -> None:
        """Set what limits have left: kind, scope, window and a part from 0 to 1; to be called at a scrape."""
        self._headroom.forget()
        for kind, scope, window, left in headroom:
            self._headroom(kind, scope, window).set(left)

    def observe_open(self, counts: Mapping[str, int]) -> None:
        """Set the numbers of open reservations, runs, followed batches and bookings by name, at a scrape."""
        for name, count in counts.items():
            self._open[name].set(count)
