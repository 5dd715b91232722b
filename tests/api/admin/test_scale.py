"""The number of workers that the queue needs: counted, rounded, bounded, cached; bad parameters are refused."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from api.admin.scale import desired_workers, slots_needed
from shared.jobs.capacity import CapacityReport
from tests.api.conftest import ADMIN_KEY, Gateway, Start

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
SCALE = "/api/queue/scale"
MANIFEST = Path(__file__).parents[3] / "deploy" / "kubernetes" / "base" / "autoscaling.yaml"


async def scale(gateway: Gateway, **params: Any) -> httpx.Response:
    return await gateway.http.get(SCALE, params=params, headers=ADMIN)


async def test_waiting_and_running_jobs_are_counted_once_a_second(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await start(jobs={"concurrency": 2})
    now = [0.0]
    monkeypatch.setattr(gateway.services.shared_answers, "_now", lambda: now[0])
    idle = (await scale(gateway)).json()
    assert idle == {
        "desired_workers": 0, "load": 0, "claimable": 0, "running": 0, "oldest_age_s": 0.0, "job_s": None, "workers": 0,
        "jobs_per_worker": 1.6, "target_wait_s": 5.0,
    }  # fmt: skip
    for _ in range(4):
        await gateway.submit()
    now[0] = 0.9
    assert (await scale(gateway)).json() == idle, "the statistics are shared for a second"
    assert len(await gateway.worker.claim()) == 1
    now[0] = 1.1
    busy = (await scale(gateway)).json()
    assert (busy["claimable"], busy["running"], busy["load"], busy["desired_workers"]) == (3, 1, 4, 3)
    assert busy["oldest_age_s"] >= 0
    for params, wanted in (
        ({"jobs_per_worker": 4}, 1), ({"jobs_per_worker": "0.5"}, 8), ({"min": 6}, 6), ({"max": 2}, 2),
        ({"min": 1, "max": 1}, 1),
    ):  # fmt: skip
        assert (await scale(gateway, **params)).json()["desired_workers"] == wanted, params


async def test_the_measured_duration_of_jobs_and_the_concurrency_of_workers_count(start: Start) -> None:
    gateway = await start(jobs={"concurrency": 1000})
    reports = [CapacityReport("w-1", 10), CapacityReport("w-2", 30)]
    for report in reports:
        for seconds in (0.5, 1.5):
            report.ran(seconds)
        await gateway.services.commands.execute_many(report.commands())
    for _ in range(100):
        await gateway.submit()
    found = (await scale(gateway, target_wait_s=1_000)).json()
    assert (found["workers"], found["jobs_per_worker"], found["job_s"]) == (2, 16.0, 1.0)
    assert (found["claimable"], found["target_wait_s"], found["desired_workers"]) == (100, 1_000, 1)
    assert (await scale(gateway, target_wait_s=0)).json()["desired_workers"] == 7


@pytest.mark.parametrize(
    ("claimable", "running", "age_s", "job_s", "slots"),
    [
        (0, 7, 0.0, 1.0, 7), (100, 0, 0.0, None, 100), (100, 0, 0.0, 1.0, 20), (100, 5, 3.0, 1.0, 55),
        (100, 0, 4.5, 1.0, 100), (100, 0, 5.0, 0.001, 100), (100, 0, 90.0, 0.001, 100), (100, 0, 0.0, 60.0, 100),
        (100, 0, 0.0, 0.0, 0), (100, 0, 5.0, 0.0, 100),
    ],
)  # fmt: skip
def test_short_jobs_share_slots_until_the_oldest_has_waited_too_long(
    claimable: int, running: int, age_s: float, job_s: float | None, slots: float
) -> None:
    assert slots_needed(claimable, running, age_s, job_s, 5.0) == slots


@pytest.mark.parametrize(
    ("slots", "each", "wanted"),
    [(0, 800.0, 0), (1, 800.0, 1), (800, 800.0, 1), (801, 800.0, 2), (12, 2.4, 5), (3, 0.3, 10), (1e-12, 9.0, 1)],
)  # fmt: skip
def test_part_of_a_worker_is_a_whole_one(slots: float, each: float, wanted: int) -> None:
    assert desired_workers(slots, each, least=0, most=100) == wanted


async def test_bad_parameters_are_refused(gateway: Gateway) -> None:
    for params, param in (
        ({"jobs_per_worker": "0"}, "jobs_per_worker"), ({"jobs_per_worker": "-1"}, "jobs_per_worker"),
        ({"jobs_per_worker": "nan"}, "jobs_per_worker"), ({"jobs_per_worker": "inf"}, "jobs_per_worker"),
        ({"jobs_per_worker": "1e-300"}, "jobs_per_worker"), ({"jobs_per_worker": "100001"}, "jobs_per_worker"),
        ({"jobs_per_worker": "many"}, "jobs_per_worker"), ({"jobs_per_worker": ""}, "jobs_per_worker"),
        ({"target_wait_s": "-1"}, "target_wait_s"), ({"target_wait_s": "nan"}, "target_wait_s"),
        ({"min": "-1"}, "min"), ({"min": "1.5"}, "min"), ({"max": "1000001"}, "max"), ({"max": "9" * 5000}, "max"),
        ({"min": 3, "max": 2}, "min"), ({"jobs": 3}, "jobs"),
    ):  # fmt: skip
        answer = await scale(gateway, **params)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), (params, answer.text)


async def test_only_administrators_read_it(tenants: Gateway) -> None:
    for headers in ({}, {"x-bf-vk": "sk-bf-team-a-0123456789"}):
        answer = await tenants.http.get(SCALE, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "admin_key_required")


async def test_the_kubernetes_trigger_reads_a_number_from_it(gateway: Gateway) -> None:
    scaled = next(doc for doc in yaml.safe_load_all(MANIFEST.read_text()) if doc["kind"] == "ScaledObject")
    metadata = scaled["spec"]["triggers"][0]["metadata"]
    assert metadata["authMode"] == "bearer"
    answer = await gateway.http.get(urlsplit(metadata["url"]).path, headers=ADMIN)
    assert answer.json()[metadata["valueLocation"]] == 0


async def test_it_is_described(gateway: Gateway) -> None:
    described = (await gateway.http.get("/openapi.json")).json()["paths"][SCALE]["get"]
    assert {each["name"] for each in described["parameters"]} >= {"jobs_per_worker", "min", "max"}
    schema = described["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(schema["required"]) == set((await scale(gateway)).json())


async def test_the_monitoring_token_reads_scale_and_metrics_and_nothing_else(start: Start) -> None:
    token = "monitoring-token-0123456789"
    gateway = await start(
        auth={"admin_key": ADMIN_KEY, "monitoring_token": token},
        server={"metrics_auth": True, "max_body_mb": 1, "shutdown_grace_s": 2},
    )
    headers = {"authorization": f"Bearer {token}"}
    assert (await gateway.http.get(SCALE, headers=headers)).status_code == 200
    assert "finops_up" in (await gateway.http.get("/metrics", headers=headers)).text
    for path in ("/api/queue", "/api/keys", "/api/alerts/rules", "/health?verbose"):
        assert (await gateway.http.get(path, headers=headers)).status_code == 401, path
    for wrong in ({}, {"authorization": f"Bearer {token}x"}, {"authorization": token}):
        assert (await gateway.http.get(SCALE, headers=wrong)).status_code == 401
        assert (await gateway.http.get("/metrics", headers=wrong)).status_code == 401
    assert (await scale(gateway)).status_code == 200
