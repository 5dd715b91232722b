"""Health, figures, administration, forwarded resources, and a store that goes away (contract 3, 4.5)."""

import json
import logging
import re
import time

import httpx
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.store.embedded import EmbeddedStore
from tests.api.conftest import CHAT, KEY_A, KEY_B, Gateway
from tests.waiting import wait_until

ADMIN = {"authorization": "Bearer test-admin-key-0123456789"}
JOB = {"x-bf-async": "true"}


async def test_health(gateway: Gateway):
    assert (await gateway.http.get("/health/live")).json() == {"status": "ok"}
    assert (await gateway.http.get("/health/ready")).status_code == 200


async def test_metrics_count_requests_jobs_and_the_queue(gateway: Gateway):
    await gateway.post("/v1/chat/completions", CHAT)
    await gateway.submit(**{"x-bf-async-priority": "high"})
    answer = await gateway.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["finops_requests_total", "2xx", "chat.completions", "openai", "sim"] == 1
    assert samples["finops_jobs_submitted_total", "chat.completions", "new"] == 1
    assert samples["finops_queue_depth", "high"] == 1


async def test_one_log_line_per_request_without_bodies_or_secrets(gateway: Gateway, caplog: pytest.LogCaptureFixture):
    secret = "sk-very-secret-0123456789"
    with caplog.at_level(logging.INFO, "finops.requests"):
        await gateway.post("/v1/chat/completions?key=hidden", CHAT, headers={"authorization": f"Bearer {secret}"})
        await gateway.http.get("/health/live")
    (record,) = [record for record in caplog.records if record.name == "finops.requests"]
    assert (record.path, record.status, record.model, record.provider) == (
        "/v1/chat/completions", 200, "sim/gpt-4o", "sim",
    )  # fmt: skip
    line = str(vars(record))
    assert secret not in line
    assert "hidden" not in line
    assert "hello" not in line


@pytest.mark.parametrize("path", ["/api/jobs", "/api/jobs/dead", "/api/queue", "/api/jobs/x", "/api/webhooks/secret"])
async def test_administration_asks_for_the_admin_key(tenants: Gateway, path: str):
    for headers in ({}, {"authorization": "Bearer wrong"}, {"x-bf-vk": KEY_A}):
        answer = await tenants.http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "admin_key_required")


async def test_administrators_see_cancel_and_retry_everybodys_jobs(tenants: Gateway):
    first = await tenants.submit(**{"x-bf-vk": KEY_A})
    second = await tenants.submit({**CHAT, "model": "openai/x@status=500"}, **{"x-bf-vk": KEY_B})
    listed = (await tenants.http.get("/api/jobs", headers=ADMIN)).json()
    assert [job["id"] for job in listed["data"]] == [second, first]
    cancelled = await tenants.post(f"/api/jobs/{first}/cancel", headers=ADMIN)
    assert cancelled.json()["status"] == "cancelled"
    await tenants.worker.work_off()
    assert (await tenants.http.get(f"/api/jobs/{second}", headers=ADMIN)).json()["status"] == "failed"
    assert (await tenants.post(f"/api/jobs/{second}/retry", headers=ADMIN)).json()["status"] == "pending"
    assert (await tenants.http.get("/api/jobs/unknown", headers=ADMIN)).status_code == 404
    assert (await tenants.http.get("/api/jobs/dead", headers=ADMIN)).json()["data"] == []
    assert (await tenants.http.get("/api/jobs/dead?after=x", headers=ADMIN)).status_code == 400


async def test_the_queue_says_what_to_scale_by(gateway: Gateway):
    await gateway.submit(**{"x-bf-async-priority": "low"})
    queue = (await gateway.http.get("/api/queue", headers=ADMIN)).json()
    assert (queue["depth"], queue["priorities"]["low"]["depth"], queue["running"]) == (1, 1, 0)
    assert queue["oldest_age_s"] >= 0
    assert queue["workers"] == []


async def test_answers_are_described_as_they_are(gateway: Gateway):
    paths = (await gateway.http.get("/openapi.json")).json()["paths"]

    def refusal(path: str) -> str:
        return paths[path]["get"]["responses"]["400"]["content"]["application/json"]["schema"]["$ref"]

    assert refusal("/v1/async/jobs").endswith("/ErrorEnvelope")
    assert refusal("/anthropic/v1/models/{model}").endswith("/AnthropicError")
    operations = [operation for path in paths.values() for operation in path.values()]
    assert not [operation for operation in operations if "422" in operation["responses"]]
    result = paths["/v1/async/audio/transcriptions/{job_id}/content"]["get"]["responses"]["200"]["content"]
    assert set(result) == {"application/json", "*/*"}
    for speech in ("/v1/audio/speech", "/openai/deployments/{deployment}/audio/speech"):
        assert "*/*" in paths[speech]["post"]["responses"]["200"]["content"]


async def test_every_route_is_described(gateway: Gateway):
    described = (await gateway.http.get("/openapi.json")).json()
    chat = described["paths"]["/openai/chat/completions"]["post"]
    named = {parameter["name"] for parameter in chat["parameters"]}
    assert {"x-bf-async", "x-bf-async-id", "x-bf-async-wait", "x-bf-vk", "Idempotency-Key"} <= named
    body = chat["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["model", "messages"]
    for path in (
        "/v1/embeddings", "/openai/v1/responses", "/v1/async/audio/speech/{job_id}/content", "/v1/async/jobs/{job_id}",
        "/api/queue", "/health/ready", "/metrics", "/openai/models/{model}", "/v1/responses/{response_id}/cancel",
        "/anthropic/v1/messages", "/anthropic/v1/messages/count_tokens", "/anthropic/v1/models", "/genai/v1/models",
        "/genai/v1beta/models/{model}:generateContent", "/genai/v1/models/{model}:batchEmbedContents",
        "/genai/v1beta1/projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:countTokens",
        "/openai/deployments/{deployment}/chat/completions", "/openai/deployments/{deployment}/audio/transcriptions",
    ):  # fmt: skip
        assert path in described["paths"]
    for path, operations in described["paths"].items():
        named = {each["name"] for operation in operations.values() for each in operation.get("parameters", ())}
        assert {name.split("}")[0] for name in path.split("{")[1:]} <= named, path
    assert "multipart/form-data" in str(described["paths"]["/openai/deployments/{deployment}/audio/transcriptions"])
    schemas = described["components"]["schemas"]
    referred = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(described)))
    assert referred <= schemas.keys()
    ids = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    assert (await gateway.http.get("/docs")).status_code == 200


async def test_a_providers_files_are_forwarded_untouched_both_ways(gateway: Gateway, sim):
    client = gateway.sdk(default_headers={"x-bf-vk": ""})
    content = b'{"a": 1}\n\x00\xff'
    made = await client.files.create(file=("data.jsonl", content), purpose="user_data")
    assert (await client.files.content(made.id)).content == content
    assert (await client.files.list()).data[0].id == made.id
    assert (await client.files.delete(made.id)).deleted
    for entry in sim.requests:
        names = {name.lower() for name in entry.headers}
        assert not {name for name in names if name.startswith(("x-bf-", "x-stainless-"))}
        assert "sk-any" not in str(entry.headers)


async def test_the_provider_of_a_forwarded_request_can_be_named(gateway: Gateway, sim):
    assert (await gateway.http.get("/v1/files?provider=sim&limit=5")).status_code == 200
    assert "provider" not in str(sim.requests[-1].query)
    assert (await gateway.http.get("/v1/files", headers={"x-bf-provider": "nowhere"})).status_code == 400
    assert (await gateway.http.get("/v1/files", headers={"x-bf-provider": "a b/../c"})).status_code == 400


async def test_a_providers_own_error_is_passed_on(gateway: Gateway):
    answer = await gateway.http.get("/v1/files/file-unknown")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path", ["/v1/files/%2e%2e/models", "/openai/files/../../sim/log", "/v1/unknown", "/v1/files//x"]
)
async def test_what_cannot_be_forwarded_is_not(gateway: Gateway, sim, path: str):
    request = httpx.Request("GET", gateway.url)
    request.url = httpx.URL(gateway.url).copy_with(raw_path=path.encode())
    answer = await gateway.http.send(request)
    assert answer.status_code == 404
    assert sim.requests == []


@pytest.fixture
def own_store(tmp_path):
    store = EmbeddedStore(tmp_path / "own")
    yield store
    store.stop()


async def test_without_the_store_calls_are_answered_jobs_refused_and_all_is_well_when_it_comes(start, own_store):
    import asyncio

    await asyncio.to_thread(own_store.start)
    url = own_store.url
    gateway = await start(redis_url=url)
    job_id = await gateway.submit()
    await asyncio.to_thread(own_store.stop)

    before = time.monotonic()
    for answer in (
        await gateway.post("/v1/chat/completions", CHAT, headers=JOB),
        await gateway.poll(job_id),
        await gateway.http.get(f"/v1/async/jobs/{job_id}"),
        await gateway.http.get(f"/v1/async/jobs/{job_id}/events"),
        await gateway.http.get("/api/queue", headers=ADMIN),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert "sock" not in answer.text
    assert time.monotonic() - before < 10
    ready = await gateway.http.get("/health/ready")
    assert (ready.status_code, list(ready.json()["missing"])) == (503, ["redis"])
    assert (await gateway.http.get("/metrics")).status_code == 200
    assert (await gateway.post("/v1/chat/completions", CHAT)).status_code == 200

    await asyncio.to_thread(own_store.start)
    await wait_until(lambda: _is_ready(gateway))
    assert (await gateway.poll(job_id)).json()["status"] == "queued"


async def test_a_gateway_may_start_before_its_store(start, own_store):
    import asyncio

    await asyncio.to_thread(own_store.start)
    url = own_store.url
    await asyncio.to_thread(own_store.stop)
    gateway = await start(redis_url=url)
    assert (await gateway.http.get("/health/ready")).status_code == 503
    await asyncio.to_thread(own_store.start)
    await wait_until(lambda: _is_ready(gateway))
    assert await gateway.submit()


async def _is_ready(gateway: Gateway) -> bool:
    return (await gateway.http.get("/health/ready")).status_code == 200


async def test_no_header_of_ours_can_be_split(gateway: Gateway):
    job_id = await gateway.submit()
    (claim,) = await gateway.worker.claim()
    meta = {"headers": {"openai-version": "1\r\nx-evil: 1", "set-cookie": "a=b"}}
    await gateway.worker.complete(claim, b"{}", result_type="application/json\r\nx-evil: 2", meta=meta)
    answer = await gateway.poll(job_id)
    assert answer.status_code == 200
    assert "x-evil" not in answer.headers
    assert "set-cookie" not in answer.headers


async def test_an_unforeseen_error_is_a_500_without_details(gateway: Gateway, caplog: pytest.LogCaptureFixture):
    object.__setattr__(gateway.services, "governance", None)
    answer = await gateway.post("/v1/chat/completions", CHAT, headers={"x-request-id": "trace-me"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (500, "internal_error")
    assert "NoneType" not in answer.text
    assert "trace-me" in error["message"]
    assert any(getattr(record, "request_id", "") == "trace-me" and record.exc_info for record in caplog.records)


async def test_bodies_are_what_the_provider_said_byte_for_byte(gateway: Gateway):
    job_id = await gateway.submit()
    (claim,) = await gateway.worker.claim()
    strange = orjson.dumps({"z": 1, "a": [1.0, "é"]}) + b"\n "
    await gateway.worker.complete(claim, strange)
    assert (await gateway.poll(job_id)).content == strange


async def test_accepted_means_on_disk_where_that_is_asked_for(start, redis_url: str):
    gateway = await start(jobs={"durability": "fsync"})
    assert await gateway.submit()


async def test_a_store_that_cannot_promise_the_disk_is_refused_at_start(start, sim, tmp_path):
    import asyncio

    from api.app import create_app
    from shared.jobs.durability import DurabilityRefused
    from tests.api.conftest import settings_for

    store = EmbeddedStore(tmp_path / "plain")
    await asyncio.to_thread(store.start)
    try:
        await _without_append_only_file(store.url)
        app = create_app(settings_for(store.url, sim.base_url, jobs={"durability": "fsync"}), environ={})
        with pytest.raises(DurabilityRefused):
            async with app.router.lifespan_context(app):
                pass
    finally:
        await asyncio.to_thread(store.stop)


async def _without_append_only_file(url: str) -> None:
    from shared.store.connection import connect

    client = connect(url)
    await client.config_set("appendonly", "no")
    await client.aclose()


async def test_the_secret_of_unnamed_callbacks_is_made_once(tenants: Gateway):
    first = (await tenants.http.get("/api/webhooks/secret", headers=ADMIN)).json()["secret"]
    assert first.startswith("whsec_")
    assert (await tenants.http.get("/api/webhooks/secret", headers=ADMIN)).json()["secret"] == first
