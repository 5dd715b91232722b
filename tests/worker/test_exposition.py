import asyncio

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.telemetry.metrics import Metrics
from worker import exposition
from worker.exposition import serve_metrics


async def test_metrics_are_served_and_health_tells_whether_jobs_are_claimed() -> None:
    metrics = Metrics("worker")
    metrics.claimed(3, "high")
    ready = asyncio.Event()
    async with (
        serve_metrics(metrics, "127.0.0.1", 0, ready.is_set) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        scraped = await client.get("/metrics?name=all")
        assert scraped.headers["content-type"].startswith("text/plain; version=")
        samples = {
            (sample.name, sample.labels.get("priority")): sample.value
            for family in text_string_to_metric_families(scraped.text)
            for sample in family.samples
        }
        assert samples["finops_jobs_claimed_total", "high"] == 3
        assert (await client.get("/health/live")).text == "live\n"
        assert (await client.get("/health/ready")).status_code == 503
        ready.set()
        assert (await client.get("/health/ready")).status_code == 200


async def test_a_scraper_that_reads_openmetrics_is_sent_exemplars_where_calls_are_traced() -> None:
    traced = Metrics("worker", trace_id=lambda: "a" * 32)
    traced.attempt("sim", 200, 0.1)
    for metrics, accept, exemplars in (
        (traced, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5", 1),
        (traced, "text/plain", 0),
        (Metrics("worker"), "application/openmetrics-text", 0),
    ):
        async with (
            serve_metrics(metrics, "127.0.0.1", 0, lambda: True) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
        ):
            scraped = await client.get("/metrics", headers={"accept": accept})
        assert scraped.headers["content-type"].startswith("application/openmetrics-text" if exemplars else "text/plain")
        assert scraped.text.count("# {trace_id=") == exemplars


async def test_other_paths_and_methods_are_rejected() -> None:
    async with (
        serve_metrics(Metrics("worker"), "127.0.0.1", 0, lambda: True) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        assert (await client.get("/")).status_code == 404
        assert (await client.post("/metrics", content=b"x")).status_code == 405


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\n", b"x" * 20_000])
async def test_a_caller_that_sends_half_a_request_or_too_much_is_disconnected(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposition, "READ_TIMEOUT_S", 0.1)
    async with serve_metrics(Metrics("worker"), "127.0.0.1", 0, lambda: True) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        try:
            assert await asyncio.wait_for(reader.read(), 5) == b""
        except ConnectionResetError:
            pass
        finally:
            writer.close()


async def test_a_taken_port_is_an_error() -> None:
    async with serve_metrics(Metrics("worker"), "127.0.0.1", 0, lambda: True) as port:
        with pytest.raises(OSError, match="in use"):
            async with serve_metrics(Metrics("worker"), "127.0.0.1", port, lambda: True):
                pass
