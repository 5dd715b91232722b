"""Processes that share a folder are scraped together: counts are summed, also those of processes that are gone."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics import exposition as openmetrics

from shared.telemetry import snapshots
from shared.telemetry.metrics import MAX_MODELS, Metrics
from shared.telemetry.snapshots import SharedFolder, folder_of
from tests.telemetry.promql import Scrape, scrape_of
from tests.telemetry.test_metrics import PriorityDepth, Stats
from tests.waiting import wait_until


def value(scrape: Scrape, name: str, **labels: str) -> float | None:
    return scrape.get(name, {}).get(frozenset(labels.items()))


def process(folder: Path, tier: str) -> tuple[Metrics, SharedFolder]:
    metrics = Metrics(tier, CollectorRegistry())
    return metrics, SharedFolder(folder, metrics.registry)


def test_what_processes_count_is_summed(tmp_path: Path) -> None:
    (api, scraped), (one, first), (two, second) = (
        process(tmp_path / "new", tier) for tier in ("api", "worker", "worker")
    )
    for worker, jobs in ((one, 3), (two, 4)):
        worker.claimed(jobs, "high")
        worker.running(jobs)
        worker.waited(0.01, "high")
        worker.attempt("sim", 200, 0.5)
        worker.deliveries_stored(jobs, 0)
        worker.observe_queue(Stats({"high": PriorityDepth(99, 1.0)}))  # type: ignore[dict-item]
    api.attempt("sim", 500, 0.5)
    api.observe_queue(Stats({"high": PriorityDepth(7, 1.0)}))  # type: ignore[dict-item]
    for folder in (first, second):
        folder.write()
    found = scrape_of(scraped.render().decode())
    assert value(found, "finops_jobs_claimed_total", priority="high") == 7
    assert value(found, "finops_jobs_running") == 7
    assert value(found, "finops_job_wait_seconds_bucket", priority="high", le="0.01") == 2
    assert value(found, "finops_upstream_seconds_count", provider="sim") == 3
    assert value(found, "finops_up", tier="worker") == 2
    assert value(found, "finops_webhook_pending") == 4, "all workers see the same store"
    assert value(found, "finops_queue_depth", priority="high") == 7, "the scraped process has just read it"
    assert not any(name.endswith("_created") for name in found)
    assert [file.name for file in (tmp_path / "new").glob("*.new")] == []


def test_exemplars_are_those_of_the_process_that_is_scraped(tmp_path: Path) -> None:
    folders = []
    for name in "ab":
        metrics = Metrics("api", CollectorRegistry(), trace_id=lambda name=name: name * 32)
        metrics.attempt("sim", 200, 0.05)
        folders.append(SharedFolder(tmp_path, metrics.registry))
    folders[0].write()
    text = folders[1].render(openmetrics.generate_latest).decode()
    [line] = [line for line in text.splitlines() if " # {" in line]
    assert 'le="0.05"' in line
    assert '} 2.0 # {trace_id="' + "b" * 32 + '"} 0.05 ' in line
    assert "# {" not in folders[1].render().decode()


def test_counts_of_a_process_that_was_killed_stay_and_its_gauges_go(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from prometheus_client import CollectorRegistry\n"
        "from shared.telemetry.metrics import Metrics; from shared.telemetry.snapshots import SharedFolder\n"
        "metrics = Metrics('worker', CollectorRegistry()); metrics.claimed(5, 'high'); metrics.running(5)\n"
        "SharedFolder(Path(sys.argv[1]), metrics.registry).write()"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=Path(__file__).parents[2])
    api, scraped = process(tmp_path, "api")
    api.claimed(1, "high")
    for _ in range(2):
        found = scrape_of(scraped.render().decode())
        assert value(found, "finops_jobs_claimed_total", priority="high") == 6
        assert value(found, "finops_jobs_running") == 0
        assert value(found, "finops_up", tier="worker") is None
        assert [file.name for file in tmp_path.glob("*.json")] == ["ended.json"]


def test_a_broken_file_and_one_of_another_user_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / f"{os.getppid()}-broken.json").write_text("[")
    (tmp_path / "1-init.json").write_text('[["finops_extra", "Extra.", "counter", [["finops_extra_total", {}, 2]]]]')
    _, scraped = process(tmp_path, "api")
    assert value(scrape_of(scraped.render().decode()), "finops_extra_total") == 2


def test_a_process_of_another_user_is_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert snapshots._is_running(Path("12-x.json"))


async def test_a_process_writes_periodically_and_leaves_its_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(snapshots, "WRITE_EVERY_S", 0.01)
    monkeypatch.setattr(snapshots, "SHARE_OF_TIME", 1)
    worker = Metrics("worker", CollectorRegistry())
    worker.share(None)
    await worker.aclose()
    worker.share(tmp_path / "metrics")
    worker.claimed(1, "high")
    worker.running(1)

    async def seen() -> Scrape:
        _, scraped = process(tmp_path / "metrics", "api")
        return scrape_of((await asyncio.to_thread(scraped.render)).decode())

    async def runs() -> bool:
        return value(await seen(), "finops_jobs_running") == 1

    await wait_until(runs)
    await worker.aclose()
    await worker.aclose()
    assert value(await seen(), "finops_jobs_running") == 0
    assert value(await seen(), "finops_jobs_claimed_total", priority="high") == 1
    assert b"finops_jobs_claimed_total" in await asyncio.to_thread(worker.render)
    (tmp_path / "file").write_text("")
    worker.share(tmp_path / "file")
    await wait_until(lambda: "cannot be shared" in caplog.text)
    await worker.aclose()
    assert "the last metrics are lost" in caplog.text


def test_without_a_folder_a_process_is_scraped_for_itself() -> None:
    assert folder_of({}) is None
    assert folder_of({"FINOPS_METRICS_DIR": "/run/finops"}) == Path("/run/finops")


def test_models_that_callers_make_up_share_one_series() -> None:
    metrics = Metrics("api", CollectorRegistry())
    for number in range(MAX_MODELS + 300):
        metrics.spent("red", "sim", f"made-up-{number}", 1_000_000, (1, 0, 0))
    found = scrape_of(metrics.render().decode())
    assert len(found["finops_cost_usd_total"]) == MAX_MODELS + 1
    assert value(found, "finops_cost_usd_total", team="red", provider="sim", model="other") == 300
