"""Sample data of `finops serve --demo`: every page of the console has something to show."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.demo.sample import fill
from shared.store.datadir import running_store_url
from tests.served import served
from tests.waiting import wait_until_sync

PAGES = (
    "/api/keys", "/api/limits", "/api/jobs?status=completed", "/api/jobs?status=failed", "/api/jobs?status=cancelled",
    "/api/jobs?status=pending", "/api/jobs?status=processing", "/api/queue/pauses", "/api/schedules", "/api/batches",
    "/api/runs", "/api/logs", "/api/alerts", "/api/alerts/rules", "/api/webhooks/deliveries", "/api/audit",
    "/api/usage/forecast",
)  # fmt: skip


@pytest.mark.process
def test_a_demo_fills_every_page_after_it_serves_and_once_only(tmp_path: Path) -> None:
    with served(tmp_path / "data", "--demo", "--sample-data") as gateway:
        wait_until_sync(lambda: "sample data are in place" in gateway.log, 120)
        headers = {"authorization": f"Bearer {gateway.admin_key}"}
        with httpx.Client(base_url=gateway.url, headers=headers, timeout=30, trust_env=False) as client:

            def get(path: str) -> Any:
                return client.get(path).raise_for_status().json()

            for path in PAGES:
                wait_until_sync(lambda path=path: get(path)["data"], 60)
            usage = get("/api/usage?per=day&group_by=team")
            assert len({row["period"] for row in usage["data"]}) >= 29
            assert len({row["team"] for row in usage["data"]}) == 4
            assert wait_until_sync(lambda: get("/api/cache")["lookups"]["hit"], 60) > 0
            without_a_key = client.get("/v1/models", headers={"authorization": ""})
            assert without_a_key.status_code == 200
        assert not asyncio.run(fill(gateway.url, str(running_store_url(gateway.data_dir)), gateway.admin_key))
        assert gateway.log.index("serving on") < gateway.log.index("sample data are in place")


async def test_sample_data_that_cannot_be_made_are_an_error() -> None:
    with pytest.raises(httpx.ConnectError):
        await fill("http://127.0.0.1:1", "redis://127.0.0.1:1", "key")
