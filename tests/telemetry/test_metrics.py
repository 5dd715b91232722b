from dataclasses import dataclass, field
from enum import StrEnum

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.telemetry import counters, store_gauges
from shared.telemetry.metrics import Metrics


class Priority(StrEnum):
    HIGH = "high"
    NORMAL = "normal"


@dataclass(frozen=True)
class PriorityDepth:
    depth: int
    oldest_age_s: float | None


@dataclass(frozen=True)
class Stats:
    priorities: dict[Priority, PriorityDepth]
    deferred: int = 0
    running: int = 0
    dead: int = 0
    callers: dict[str, int] = field(default_factory=dict)
    pauses: int = 0


def scraped(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return scraped(metrics).get((name, tuple(sorted(labels.items()))))


def test_requests_are_counted_by_surface_type_status_class_and_provider_and_timed() -> None:
    metrics = Metrics("api")
    for status in (200, 201, 404, 777):
        metrics.request("openai", "embeddings", status, "sim", 0.03)
    labels = {"surface": "openai", "request_type": "embeddings"}
    assert value(metrics, "finops_requests_total", **labels, provider="sim", status="2xx") == 2
    assert value(metrics, "finops_requests_total", **labels, provider="sim", status="4xx") == 1
    assert value(metrics, "finops_requests_total", **labels, provider="sim", status="other") == 1
    assert value(metrics, "finops_request_seconds_count", **labels) == 4
    assert value(metrics, "finops_request_seconds_bucket", **labels, le="0.02") == 0
    assert value(metrics, "finops_request_seconds_bucket", **labels, le="0.05") == 4


def test_upstream_attempts_and_failures_are_counted_by_provider() -> None:
    metrics = Metrics("worker")
    metrics.attempt("openai", 200, 0.5)
    metrics.attempt("openai", 429, 0.25)
    assert value(metrics, "finops_upstream_attempts_total", provider="openai") == 2
    assert value(metrics, "finops_upstream_errors_total", provider="openai", status="429") == 1
    assert value(metrics, "finops_upstream_seconds_sum", provider="openai") == 0.75


def test_open_streams_go_up_and_down() -> None:
    metrics = Metrics("api")
    metrics.stream_opened()
    metrics.stream_opened()
    metrics.stream_closed()
    assert value(metrics, "finops_streams_open") == 1


def test_submits_distinguish_new_jobs_from_found_ones() -> None:
    metrics = Metrics("api")
    metrics.submitted("responses", created=True)
    metrics.submitted("responses", created=False)
    metrics.submitted("responses", created=False)
    assert value(metrics, "finops_jobs_submitted_total", request_type="responses", created="new") == 1
    assert value(metrics, "finops_jobs_submitted_total", request_type="responses", created="found") == 2


def test_job_metrics_follow_the_engines_reports() -> None:
    metrics = Metrics("worker")
    metrics.claimed(3, "high")
    metrics.waited(-0.001, "high")
    metrics.ran(1.2, "completed", "responses")
    metrics.renewed(10)
    metrics.lost(2)
    metrics.rerun("high")
    metrics.deferred("retry_after")
    metrics.released(4)
    metrics.alerted("budget.threshold")
    metrics.running(7)
    assert value(metrics, "finops_jobs_claimed_total", priority="high") == 3
    assert value(metrics, "finops_job_wait_seconds_sum", priority="high") == 0
    assert value(metrics, "finops_jobs_finished_total", request_type="responses", outcome="completed") == 1
    assert value(metrics, "finops_job_run_seconds_sum", request_type="responses", outcome="completed") == 1.2
    assert value(metrics, "finops_lease_renewals_total") == 10
    assert value(metrics, "finops_leases_lost_total") == 2
    assert value(metrics, "finops_jobs_rerun_total", priority="high") == 1
    assert value(metrics, "finops_jobs_deferred_total", reason="retry_after") == 1
    assert value(metrics, "finops_jobs_released_total") == 4
    assert value(metrics, "finops_alerts_total", type="budget.threshold") == 1
    assert value(metrics, "finops_jobs_running") == 7


def test_queue_gauges_show_the_last_observed_state() -> None:
    metrics = Metrics("api")
    metrics.observe_queue(Stats({Priority.HIGH: PriorityDepth(3, 1.5)}, deferred=1, callers={"gone": 2}))
    priorities = {Priority.HIGH: PriorityDepth(0, None), Priority.NORMAL: PriorityDepth(9, 4.0)}
    metrics.observe_queue(Stats(priorities, deferred=2, running=5, dead=1, callers={"team-a": 8, "": 1}))
    assert value(metrics, "finops_queue_depth", priority="high") == 0
    assert value(metrics, "finops_queue_oldest_age_seconds", priority="high") == 0
    assert value(metrics, "finops_queue_depth", priority="normal") == 9
    assert value(metrics, "finops_queue_oldest_age_seconds", priority="normal") == 4
    assert value(metrics, "finops_queue_deferred") == 2
    assert value(metrics, "finops_queue_running") == 5
    assert value(metrics, "finops_queue_dead") == 1
    assert value(metrics, "finops_queue_caller_depth", caller="team-a") == 8
    assert value(metrics, "finops_queue_caller_depth", caller="-") == 1
    assert value(metrics, "finops_queue_caller_depth", caller="gone") is None


def test_only_the_busiest_callers_have_a_series() -> None:
    metrics = Metrics("api")
    metrics.observe_queue(Stats({}, callers={f"caller-{number}": number for number in range(500)}))
    document = [key for key in scraped(metrics) if key[0] == "finops_queue_caller_depth"]
    assert len(document) == store_gauges.MAX_CALLER_SERIES
    assert value(metrics, "finops_queue_caller_depth", caller="caller-499") == 499


def test_a_flood_of_label_values_ends_in_one_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "SERIES_LIMIT", 20)  # 2,000 take seconds to read back
    metrics = Metrics("api")
    for number in range(20 + 50):
        metrics.attempt(f"provider-{number}", 200, 0)
    assert value(metrics, "finops_upstream_attempts_total", provider="other") == 50


def test_processes_have_separate_metrics_labelled_by_tier() -> None:
    one, other = Metrics("api"), Metrics("worker")
    one.renewed(1)
    assert value(other, "finops_lease_renewals_total") == 0
    assert value(one, "finops_up", tier="api") == 1
    assert value(other, "finops_up", tier="worker") == 1
    assert value(one, "process_resident_memory_bytes") is not None


def test_limits_that_are_no_longer_read_have_no_series() -> None:
    metrics = Metrics("api")
    metrics.observe_limits([("budget", "team:red", "1d", 0.25), ("tokens", "key:a", "1m", 1.0)])
    metrics.observe_limits([("budget", "team:red", "1d", 0.125)])
    found = {key: value for key, value in scraped(metrics).items() if key[0] == "finops_limit_headroom_ratio"}
    labels = (("kind", "budget"), ("scope", "team:red"), ("window", "1d"))
    assert found == {("finops_limit_headroom_ratio", labels): 0.125}


def test_figures_for_alert_rules_are_whole_counts() -> None:
    metrics = Metrics("api")
    metrics.attempt("sim", 200, 0.1)
    metrics.attempt("sim", 400, 0.1)
    metrics.attempt("sim", 503, 0.1)
    metrics.waited(0.001, "high")
    metrics.observe_rules({"old-jobs": True})
    assert metrics.figures() == {"calls:sim": 3, "failed:sim": 1, "wait:high:0": 1}
    assert value(metrics, "finops_alert_firing", rule="old-jobs") == 1
