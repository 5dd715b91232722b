"""Prometheus metrics of one process: made once at the composition root, passed on explicitly.

The worker's metrics have the shape that the engine calls (``claimed``, ``waited``, ...); the API's are ``request``,
``attempt``, ``stream_opened`` and ``submitted``. Both tiers have all of them, so dashboards need not distinguish them.
Queue metrics describe Redis, not a process: ``observe_queue`` sets them just before ``render``.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from shared.telemetry.blob_metrics import BlobMetrics
from shared.telemetry.cache_metrics import CacheMetrics
from shared.telemetry.counters import FastCounter, FastHistogram, Series
from shared.telemetry.snapshots import SharedFolder

CONTENT_TYPE = CONTENT_TYPE_LATEST
REQUEST_BUCKETS_S = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
WAIT_BUCKETS_S = (0.002, 0.005, 0.01, 0.05, 0.25, 1, 5, 15, 60, 300, 1800, 7200)
RUN_BUCKETS_S = (0.01, 0.05, 0.25, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
MAX_CALLER_SERIES = 100
MAX_MODELS = 200


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


class Metrics:
    """Every metric of a process, in a registry of its own.

    Args:
        tier: ``api`` or ``worker``, a label of the build line; the metrics themselves need none.
        registry: Where to register; default: a new one, with this process's CPU, memory and garbage collection.

    Attributes:
        cache: Those of the cache.
    """

    def __init__(self, tier: str, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or _process_registry()
        Gauge("finops_up", "This process serves.", ["tier"], registry=self.registry).labels(tier).set(1)
        self._make_request_metrics()
        self._make_spend_metrics()
        self.cache = CacheMetrics(self.registry)
        self._make_job_metrics()
        self._make_queue_metrics()
        self._make_delivery_metrics()
        self.blobs = BlobMetrics(self.registry)
        self._models: set[str] = set()
        self._shared: SharedFolder | None = None

    def _make_request_metrics(self) -> None:
        registry = self.registry
        labels = ["surface", "request_type", "status", "provider"]
        self._requests = FastCounter("finops_requests", "Answered requests.", labels, registry)
        self._request_seconds = FastHistogram(
            "finops_request_seconds",
            "From a request's first byte to its answer's last.",
            ["surface", "request_type"],
            REQUEST_BUCKETS_S,
            registry,
        )
        self._attempts = FastCounter("finops_upstream_attempts", "Requests to providers.", ["provider"], registry)
        self._errors = FastCounter("finops_upstream_errors", "Failed ones.", ["provider", "status"], registry)
        self._attempt_seconds = FastHistogram(
            "finops_upstream_seconds",
            "How long a request to a provider took.",
            ["provider"],
            REQUEST_BUCKETS_S,
            registry,
        )
        self._streams = Gauge("finops_streams_open", "Event streams being sent.", registry=registry)
        self._refused = Series(
            Counter(
                "finops_http_refused",
                "Requests and connections refused before they were requests.",
                ["reason"],
                registry=registry,
            )
        )

    def _make_spend_metrics(self) -> None:
        registry = self.registry
        labels = ["team", "provider", "model"]
        self._cost = FastCounter("finops_cost_usd", "What calls cost, as priced here.", labels, registry)
        self._tokens = FastCounter(
            "finops_tokens", "Tokens; cached ones are part of the input.", [*labels, "kind"], registry
        )
        self._unpriced = FastCounter(
            "finops_unpriced_calls", "Calls of models without a known price.", ["provider", "model"], registry
        )

    def _make_job_metrics(self) -> None:
        registry = self.registry

        def counter(name: str, text: str, *labels: str) -> Series[Counter]:
            return Series(Counter(f"finops_{name}", text, labels, registry=registry))

        self._submitted = counter("jobs_submitted", "Accepted submits; created: new, found.", "request_type", "created")
        self._overflowed = counter("jobs_overflowed", "Calls that became jobs for want of room.", "reason")
        self._claimed = counter("jobs_claimed", "Claims: starts of an attempt.", "priority")
        self._finished = counter("jobs_finished", "Runs that ended.", "request_type", "outcome")
        self._reruns = counter("jobs_rerun", "Claims of jobs whose worker was lost.", "priority")
        self._deferred = counter("jobs_deferred", "Runs put off to a later time.", "reason")
        self._schedules_fired = counter("schedules_fired", "Firings of schedules that became jobs.")
        self._schedules_skipped = counter(
            "schedules_skipped", "Firings that did not; reason: missed, active, refused, failed.", "reason"
        )
        self._operations_ended = counter("operations_ended", "Bulk operations that ended.", "action", "status")
        self._alerts = counter("alerts", "Alerts passed on: budgets spent in part, unusual spending.", "type")
        self._released = Counter("finops_jobs_released", "Jobs handed back unfinished.", registry=registry)
        self._renewals = Counter("finops_lease_renewals", "Leases renewed.", registry=registry)
        self._lost = Counter("finops_leases_lost", "Leases that turned out not to be ours.", registry=registry)
        self._running = Gauge("finops_jobs_running", "Jobs that this worker runs.", registry=registry)
        self._wait_seconds = FastHistogram(
            "finops_job_wait_seconds", "From claimable to claimed.", ["priority"], WAIT_BUCKETS_S, registry
        )
        self._run_seconds = Series(
            Histogram(
                "finops_job_run_seconds",
                "From claim to end of the run.",
                ["request_type", "outcome"],
                buckets=RUN_BUCKETS_S,
                registry=registry,
            )
        )

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
        self._rules_firing = Series(
            Gauge("finops_alert_firing", "1 while an alert rule fires, else 0.", ["rule"], registry=registry)
        )

        labels = ["kind", "scope", "window"]
        self._headroom = Series(
            Gauge("finops_limit_headroom_ratio", "What a limit has left: 1 all, 0 nothing.", labels, registry=registry)
        )

    def _make_delivery_metrics(self) -> None:
        registry = self.registry
        self._deliveries = Series(
            Counter(
                "finops_webhook_attempts",
                "Attempts to deliver events; result: delivered, failed (for good), pending (retried), lost.",
                ["result"],
                registry=registry,
            )
        )
        self._delivery_seconds = Histogram(
            "finops_webhook_attempt_seconds",
            "How long an attempt to deliver an event took.",
            buckets=REQUEST_BUCKETS_S,
            registry=registry,
        )
        self._deliveries_pending = Gauge(
            "finops_webhook_pending", "Events that are still to be delivered, of all workers.", registry=registry
        )
        self._endpoints_disabled = Gauge(
            "finops_webhook_endpoints_disabled", "Endpoints that failed for a day.", registry=registry
        )

    # ------------------------------------------------------------------ requests

    def request(self, surface: str, request_type: str, status: int, provider: str, seconds: float) -> None:
        """Count an answered request; ``provider`` is a configured name or empty, never what a caller wrote."""
        self._requests.add((surface, request_type, _STATUS_CLASSES.get(status // 100, "other"), provider))
        self._request_seconds.observe((surface, request_type), seconds)

    def attempt(self, provider: str, status: int, seconds: float) -> None:
        """Count one request to a provider, with the status that a caller would see for it (``UpstreamWatch``)."""
        self._attempts.add((provider,))
        self._attempt_seconds.observe((provider,), seconds)
        if status >= 400:
            self._errors.add((provider, str(status)))

    def spent(self, team: str, provider: str, model: str, micro_usd: int | None, tokens: tuple[int, int, int]) -> None:
        """Count what a call used (``SpendWatch``); models beyond ``MAX_MODELS`` are counted as ``other``.

        Callers choose models, and some providers answer to any name.
        """
        if model not in self._models:
            if len(self._models) >= MAX_MODELS:
                model = "other"
            self._models.add(model)
        if micro_usd is None:
            self._unpriced.add((provider, model))
        else:
            self._cost.add((team, provider, model), micro_usd / 1_000_000)
        for kind, count in zip(("input", "output", "cached"), tokens, strict=True):
            if count:
                self._tokens.add((team, provider, model, kind), count)

    def stream_opened(self) -> None:
        """An event stream begins."""
        self._streams.inc()

    def stream_closed(self) -> None:
        """It is over, however."""
        self._streams.dec()

    def refused(self, reason: str) -> None:
        """A request was refused by the HTTP server: malformed, too large, too slow, or too many."""
        self._refused(reason).inc()

    def submitted(self, request_type: str, *, created: bool) -> None:
        """A submit was accepted: a new job, or one that was already made of the same request."""
        self._submitted(request_type, "new" if created else "found").inc()

    def overflowed(self, reason: str) -> None:
        """A call became a job, because its provider had no room."""
        self._overflowed(reason).inc()

    # ------------------------------------------------------------------ the engine's calls (worker/metrics.py)

    def claimed(self, jobs: int, priority: str) -> None:
        """Jobs were claimed."""
        self._claimed(priority).inc(jobs)

    def waited(self, seconds: float, priority: str) -> None:
        """A job waited that long for its claim."""
        self._wait_seconds.observe((priority,), max(seconds, 0.0))

    def ran(self, seconds: float, state: str, request_type: str) -> None:
        """A run ended in that state."""
        self._finished(request_type, state).inc()
        self._run_seconds(request_type, state).observe(max(seconds, 0.0))

    def renewed(self, leases: int) -> None:
        """Leases were prolonged."""
        self._renewals.inc(leases)

    def lost(self, leases: int) -> None:
        """Leases turned out to be no longer ours."""
        self._lost.inc(leases)

    def rerun(self, priority: str) -> None:
        """A job was claimed again after its worker was lost."""
        self._reruns(priority).inc()

    def deferred(self, reason: str) -> None:
        """A run gave its slot back."""
        self._deferred(reason).inc()

    def released(self, jobs: int) -> None:
        """Jobs were handed back at shutdown."""
        self._released.inc(jobs)

    def running(self, jobs: int) -> None:
        """Set the number of jobs that run here."""
        self._running.set(jobs)

    def schedule_fired(self, result: str, firings: int) -> None:
        """Firings became jobs (``fired``), or did not, for the reason that ``result`` is."""
        if result == "fired":
            self._schedules_fired().inc(firings)
        else:
            self._schedules_skipped(result).inc(firings)

    def operation_ended(self, action: str, status: str) -> None:
        """A bulk operation ended."""
        self._operations_ended(action, status).inc()

    def alerted(self, kind: str) -> None:
        """An alert was passed on to those who want to know."""
        self._alerts(kind).inc()

    # ------------------------------------------------------------------ deliveries

    def delivery_attempted(self, seconds: float, result: str) -> None:
        """Record an attempt to deliver an event."""
        self._deliveries(result).inc()
        self._delivery_seconds.observe(seconds)

    def deliveries_stored(self, pending: int, disabled: int) -> None:
        """Set how many deliveries are pending and how many endpoints disabled."""
        self._deliveries_pending.set(pending)
        self._endpoints_disabled.set(disabled)

    # ------------------------------------------------------------------ scrape

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

    def observe_rules(self, firing: Mapping[str, bool]) -> None:
        """Set which alert rules fire, to be called at a scrape."""
        for rule, fires in firing.items():
            self._rules_firing(rule).set(int(fires))

    def observe_limits(self, headroom: Iterable[tuple[str, str, str, float]]) -> None:
        """Set what limits have left: kind, scope, window and a part from 0 to 1; to be called at a scrape."""
        self._headroom.forget()
        for kind, scope, window, left in headroom:
            self._headroom(kind, scope, window).set(left)

    def figures(self) -> dict[str, int]:
        """Return what alert rules sum over all processes: counts since the process began.

        ``calls:<provider>``; ``failed:<provider>``: refused for want of room (429) or failed (5xx);
        ``wait:<priority>:<bucket>``: by the number of the bucket, the last one without a bound.
        """
        found = {f"calls:{provider}": int(count) for (provider,), count in self._attempts.sums.items()}
        for (provider, status), count in self._errors.sums.items():
            if status == "429" or status >= "500":
                found[f"failed:{provider}"] = found.get(f"failed:{provider}", 0) + int(count)
        for (priority,), (_, *counts) in self._wait_seconds.cells.items():
            found.update({f"wait:{priority}:{at}": int(count) for at, count in enumerate(counts) if count})
        return found

    def render(self) -> bytes:
        """The exposition, to be sent as ``CONTENT_TYPE``; of all processes of the machine that share a folder."""
        return generate_latest(self.registry) if self._shared is None else self._shared.render()

    def share(self, folder: Path | None) -> None:
        """Exchange metrics with the processes that share a folder; None: with none. Needs a running event loop."""
        if folder is not None:
            self._shared = SharedFolder(folder, self.registry)
            self._shared.start()

    async def aclose(self) -> None:
        """Leave the last counts to the other processes."""
        if self._shared is not None:
            await self._shared.aclose()


_STATUS_CLASSES = {number: f"{number}xx" for number in (2, 3, 4, 5)}


def _process_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
