"""Prometheus metrics of one process: made once at the composition root, passed on explicitly.

The worker's metrics have the shape that the engine calls (``claimed``, ``waited``, ...); the API's are ``request``,
``attempt``, ``stream_opened`` and ``submitted``. Both tiers have all of them, so dashboards need not distinguish them.
Queue metrics describe Redis, not a process: ``observe_queue`` sets them just before ``render``.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from shared.telemetry.blob_metrics import BlobMetrics
from shared.telemetry.cache_metrics import CacheMetrics
from shared.telemetry.counters import ExemplarHistogram, FastCounter, FastHistogram, Series
from shared.telemetry.snapshots import Encoder, SharedFolder
from shared.telemetry.store_gauges import StoreGauges

CONTENT_TYPE = CONTENT_TYPE_LATEST
REQUEST_BUCKETS_S = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
WAIT_BUCKETS_S = (0.002, 0.005, 0.01, 0.05, 0.25, 1, 5, 15, 60, 300, 1800, 7200)
RUN_BUCKETS_S = (0.01, 0.05, 0.25, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
MAX_MODELS = 200


class Metrics(StoreGauges):
    """Every metric of a process, in a registry of its own.

    Args:
        tier: ``api`` or ``worker``, a label of the build line; the metrics themselves need none.
        registry: Where to register; default: a new one, with this process's CPU, memory and garbage collection.
        trace_id: Returns the current trace's id, or nothing: durations of requests and attempts have exemplars.

    Attributes:
        cache: Those of the cache.
    """

    def __init__(
        self, tier: str, registry: CollectorRegistry | None = None, *, trace_id: Callable[[], str] | None = None
    ) -> None:
        self.registry = registry or _process_registry()
        Gauge("finops_up", "This process serves.", ["tier"], registry=self.registry).labels(tier).set(1)
        self._exemplars = trace_id is not None
        self._make_request_metrics(FastHistogram if trace_id is None else partial(ExemplarHistogram, trace_id))
        self._make_spend_metrics()
        self.cache = CacheMetrics(self.registry)
        self._make_job_metrics()
        self._make_queue_metrics()
        self._make_delivery_metrics()
        self.blobs = BlobMetrics(self.registry)
        self._models: set[str] = set()
        self._shared: SharedFolder | None = None

    def _make_request_metrics(self, histogram: Callable[..., FastHistogram]) -> None:
        registry = self.registry
        labels = ["surface", "request_type", "status", "provider"]
        self._requests = FastCounter("finops_requests", "Answered requests.", labels, registry)
        self._request_seconds = histogram(
            "finops_request_seconds",
            "From a request's first byte to its answer's last.",
            ["surface", "request_type"],
            REQUEST_BUCKETS_S,
            registry,
        )
        self._attempts = FastCounter("finops_upstream_attempts", "Requests to providers.", ["provider"], registry)
        self._errors = FastCounter("finops_upstream_errors", "Failed ones.", ["provider", "status"], registry)
        self._attempt_seconds = histogram(
            "finops_upstream_seconds",
            "How long a request to a provider took.",
            ["provider"],
            REQUEST_BUCKETS_S,
            registry,
        )
        self._verdicts = FastCounter(
            "finops_guardrail_checks",
            "Verdicts of guardrails: allow, deny, replace, error.",
            ["guardrail", "stage", "verdict"],
            registry,
        )
        self._verdict_seconds = FastHistogram(
            "finops_guardrail_seconds",
            "How long a guardrail took.",
            ["guardrail", "stage"],
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
        self._claimed = FastCounter("finops_jobs_claimed", "Claims: starts of an attempt.", ["priority"], registry)
        self._finished = FastCounter("finops_jobs_finished", "Runs that ended.", ["request_type", "outcome"], registry)
        self._reruns = counter("jobs_rerun", "Claims of jobs whose worker was lost.", "priority")
        self._deferred = counter("jobs_deferred", "Runs put off to a later time.", "reason")
        self._schedules_fired = counter("schedules_fired", "Firings of schedules that became jobs.")
        self._schedules_skipped = counter(
            "schedules_skipped", "Firings that did not; reason: missed, active, refused, failed.", "reason"
        )
        self._lanes_tried = counter(
            "job_lanes",
            "Jobs that can wait and tried a cheaper lane; result: answered, refused, late.",
            "lane",
            "result",
        )
        self._patience_ended = counter(
            "patient_jobs",
            "Jobs with patience that ended; on_time: true, or false if late or failed.",
            "lane",
            "on_time",
        )
        self._patience_cost = counter(
            "patient_jobs_cost_usd", "Cost of jobs with patience; price: paid, list.", "lane", "price"
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
        self._run_seconds = FastHistogram(
            "finops_job_run_seconds",
            "From claim to end of the run.",
            ["request_type", "outcome"],
            RUN_BUCKETS_S,
            registry,
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

    def guardrail(self, name: str, stage: str, verdict: str, seconds: float) -> None:
        """Count a verdict of a guardrail."""
        self._verdicts.add((name, stage, verdict))
        self._verdict_seconds.observe((name, stage), seconds)

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
        self._claimed.add((priority,), jobs)

    def waited(self, seconds: float, priority: str) -> None:
        """A job waited that long for its claim."""
        self._wait_seconds.observe((priority,), max(seconds, 0.0))

    def ran(self, seconds: float, state: str, request_type: str) -> None:
        """A run ended in that state."""
        self._finished.add((request_type, state))
        self._run_seconds.observe((request_type, state), max(seconds, 0.0))

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

    def lane_tried(self, lane: str, result: str, jobs: int = 1) -> None:
        """Jobs that can wait were answered on their lane, or promoted."""
        self._lanes_tried(lane, result).inc(jobs)

    def patience_ended(self, lane: str, on_time: bool, cost: int, listed: int) -> None:
        """A job with patience ended; what it cost and would have cost at list prices, in micro-USD."""
        self._patience_ended(lane, "true" if on_time else "false").inc()
        for price, micro_usd in (("paid", cost), ("list", listed)):
            self._patience_cost(lane, price).inc(max(0, micro_usd) / 1_000_000)

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

    def render(self, encode: Encoder = generate_latest) -> bytes:
        """The exposition, to be sent as ``CONTENT_TYPE``; of all processes of the machine that share a folder."""
        return encode(self.registry) if self._shared is None else self._shared.render(encode)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return the exposition and its type: as OpenMetrics if there are exemplars and the scraper reads it."""
        if self._exemplars and "application/openmetrics-text" in accept.lower():
            return self.render(openmetrics.generate_latest), openmetrics.CONTENT_TYPE_LATEST
        return self.render(), CONTENT_TYPE

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
