"""One trace from a caller's request to the webhook, received by a collector over HTTP."""

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pydantic import ValidationError

from shared.errors import BudgetExceeded
from shared.jobs.model import Deferral
from shared.providers.references import InvalidReference, check_references
from shared.providers.registry import configured_providers
from shared.settings.load import effective
from shared.settings.model import Settings
from shared.settings.telemetry import TelemetrySettings
from shared.telemetry import tracing as module
from shared.telemetry.tracing import ROOT, Tracing, traces_url
from tests.api.conftest import CHAT, KEY_A, Gateway, Start
from tests.tracing.collector import Collector, Span
from tests.tracing.conftest import Traced
from tests.waiting import wait_until
from tests.webhooks.lane import SECRET, claim_one
from tests.webhooks.lane import event as delivery_event
from tests.worker.test_webhooks import Receiver, receiver  # noqa: F401 - a fixture
from worker.handle import RunHandle
from worker.traced import TracedDelivery, traced_delivery, traced_run

WorkOff = Callable[[Gateway], Awaitable[int]]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "tracestate": "vendor=1"}
CLIENT, SERVER, PRODUCER, CONSUMER = 3, 2, 4, 5


async def seen(gateway: Gateway, collector: Collector) -> Collector:
    return await collector.flushed(gateway.services.tracing)


async def test_one_trace_leads_from_the_caller_through_submit_run_and_fallback_to_the_webhook(
    traced: Traced,
    collector: Collector,
    work_off: WorkOff,
    receiver: Receiver,  # noqa: F811
) -> None:
    gateway = await traced(
        virtual_keys={"team-a": {"value": KEY_A, "fallbacks": ["sim/gpt-4o"]}},
        server={"allow_private_network": True, "max_body_mb": 1, "shutdown_grace_s": 2},
        webhooks={"orders": {"url": receiver.url, "secret": SECRET}},
    )
    body = {**CHAT, "model": "openai/gpt-4o@status=503"}
    job_id = await gateway.submit(body, **CALLER, **{"x-bf-vk": KEY_A, "x-request-id": "req-1"})
    assert await work_off(gateway) == 1
    services = gateway.services
    assert services.tracing
    delivery = TracedDelivery(services.settings, services.commands, services.tracing)
    await delivery.store.add(delivery_event(job_id))
    assert (await delivery.attempt(await claim_one(delivery.store))).verdict == "delivered"
    await delivery.aclose()
    found = await seen(gateway, collector)
    assert {span.trace_id for span in found.spans} == {TRACE}
    request, submit, run = (
        found.one("POST chat.completions"),
        found.one("submit chat.completions"),
        found.one("run chat.completions"),
    )
    assert (request.kind, request.parent, submit.kind, run.kind) == (SERVER, "00f067aa0ba902b7", PRODUCER, CONSUMER)
    assert submit.parent == request.id
    assert found.one("admission").parent == submit.id
    wait, webhook = found.one("queue wait"), found.one("webhook")
    for span in (wait, run, webhook):
        assert span.parent == submit.id
        assert span.attributes["finops.job.id"] == job_id
    assert run.links == webhook.links == (submit.id,)
    assert wait.start_ns <= wait.end_ns
    failed, answered = found.one("chat gpt-4o@status=503"), found.one("chat gpt-4o")
    assert (failed.parent, failed.failed, failed.attributes["error.type"]) == (run.id, True, "503")
    assert (answered.parent, answered.failed, answered.kind) == (run.id, False, CLIENT)
    assert (run.attributes["finops.job.state"], run.failed) == ("completed", False)
    assert request.attributes["finops.request.id"] == run.attributes["finops.request.id"] == "req-1"
    assert request.attributes["finops.key.id"] == "team-a"
    assert webhook.attributes["http.response.status_code"] == 200
    assert {span.resource["service.name"] for span in found.spans} == {"finops"}
    assert {span.resource["finops.tier"] for span in found.spans} == {"api", "worker"}
    assert {path for path, _ in found.requests} == {"/v1/traces"}


def genai(span: Span) -> dict[str, Any]:
    return {name: value for name, value in span.attributes.items() if name.startswith("gen_ai.")}


async def test_a_synchronous_call_has_spans_of_admission_and_attempt_without_content(
    traced: Traced, collector: Collector, sim: Any
) -> None:
    gateway = await traced()
    body = (await gateway.post("/openai/chat/completions", {**CHAT, "temperature": 0.5, "max_tokens": 9})).json()
    usage, provider = body["usage"], urlsplit(sim.base_url)
    found = await seen(gateway, collector)
    request, attempt = found.one("POST chat.completions"), found.one("chat gpt-4o")
    assert request.parent == ""
    assert found.one("admission").parent == attempt.parent == request.id
    assert genai(attempt) == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "sim", "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.stream": False, "gen_ai.request.temperature": 0.5, "gen_ai.request.max_tokens": 9,
        "gen_ai.response.model": "gpt-4o", "gen_ai.response.id": body["id"],
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.usage.input_tokens": usage["prompt_tokens"], "gen_ai.usage.output_tokens": usage["completion_tokens"],
    }  # fmt: skip
    assert [attempt.attributes[f"server.{name}"] for name in ("address", "port")] == [provider.hostname, provider.port]
    assert "hello" not in json.dumps([span.attributes for span in found.spans])
    assert (attempt.attributes["http.response.status_code"], request.attributes["http.response.status_code"]) == (
        200,
        200,
    )


async def test_durations_name_the_trace_of_a_call(traced: Traced, collector: Collector) -> None:
    gateway = await traced()
    assert (await gateway.post("/openai/chat/completions", CHAT)).status_code == 200
    scraped = await gateway.http.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    families = {family.name: family for family in text_string_to_metric_families(scraped.text)}
    named = {
        sample.exemplar.labels["trace_id"]
        for name in ("finops_request_seconds", "finops_upstream_seconds")
        for sample in families[name].samples
        if sample.exemplar
    }
    assert named == {span.trace_id for span in (await seen(gateway, collector)).spans}
    assert "# {" not in (await gateway.http.get("/metrics")).text


async def test_a_stream_has_a_span_until_its_end(traced: Traced, collector: Collector) -> None:
    gateway = await traced()
    body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    async with gateway.http.stream("POST", "/openai/chat/completions", json=body) as answer:
        assert b"[DONE]" in await answer.aread()
    found = await seen(gateway, collector)
    stream = found.one("stream")
    assert (stream.parent, stream.failed) == (found.one("chat gpt-4o").id, False)
    assert stream.attributes["gen_ai.usage.output_tokens"] > 0
    assert stream.attributes["gen_ai.response.time_to_first_chunk"] >= 0
    assert stream.end_ns >= found.one("chat gpt-4o").end_ns


async def test_a_stream_that_is_cut_fails(traced: Traced, collector: Collector) -> None:
    gateway = await traced()
    body = {**CHAT, "model": "sim/gpt-4o@cut=2", "stream": True}
    async with gateway.http.stream("POST", "/openai/chat/completions", json=body) as answer:
        await answer.aread()
    found = await seen(gateway, collector)
    assert found.one("stream").failed


async def test_content_is_recorded_where_it_is_logged_and_redacted(traced: Traced, collector: Collector) -> None:
    gateway = await traced(log={"content": True, "redact": ["secret-[0-9]+"]})
    parts = [{"type": "text", "text": "my secret-42"}, {"type": "image_url", "image_url": {"url": "http://x"}}]
    await gateway.post("/openai/chat/completions", {**CHAT, "messages": [{"role": "user", "content": parts}]})
    await gateway.post("/openai/embeddings", {"model": "sim/embed", "input": "hello"})
    found = await seen(gateway, collector)
    attempt = found.one("chat gpt-4o")
    assert json.loads(attempt.attributes["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "my [redacted]"}]}
    ]
    [output] = json.loads(attempt.attributes["gen_ai.output.messages"])
    assert (output["role"], output["parts"][0]["type"], output["finish_reason"]) == ("assistant", "text", "stop")
    assert "gen_ai.input.messages" not in found.one("embeddings embed").attributes


async def test_a_refused_request_fails_by_its_code(traced: Traced, collector: Collector) -> None:
    gateway = await traced(
        virtual_keys={"team-a": {"value": KEY_A, "budget": {"limit_usd": 0}}},
        prices={"sim/gpt-4o": {"input": 1, "output": 1}},
    )
    assert (await gateway.post("/openai/chat/completions", CHAT, headers={"x-bf-vk": KEY_A})).status_code == 402
    assert (
        await gateway.post("/openai/chat/completions", {**CHAT, "model": "sim/gpt-4o@status=500"})
    ).status_code == 500
    await gateway.http.get("/health/live")
    found = await seen(gateway, collector)
    admission = found.named("admission")[0]
    assert (admission.failed, admission.attributes["error.type"]) == (True, BudgetExceeded.code)
    statuses = {
        span.attributes["http.response.status_code"]: span.failed for span in found.spans if span.kind == SERVER
    }
    assert statuses == {402: False, 500: True}


async def test_only_allowed_providers_are_sent_the_trace(traced: Traced, collector: Collector, sim: Any) -> None:
    gateway = await traced(telemetry={"propagate_to": ["openai"]})
    for provider in ("openai", "sim"):
        await gateway.post("/openai/chat/completions", {**CHAT, "model": f"{provider}/gpt-4o"}, headers=CALLER)
    log = (await gateway.http.get(f"{sim.base_url.removesuffix('/v1')}/sim/log")).json()
    sent = [request["headers"].get("traceparent") for request in log["entries"]]
    found = await seen(gateway, collector)
    attempt = next(span for span in found.named("chat gpt-4o") if span.attributes["finops.provider"] == "openai")
    assert sorted(filter(None, sent)) == [f"00-{TRACE}-{attempt.id}-01"]


async def test_nothing_is_made_of_a_request_that_is_not_sampled(
    traced: Traced, collector: Collector, work_off: WorkOff
) -> None:
    gateway = await traced(telemetry={"sample_ratio": 0.0, "propagate_to": ["*"]})
    for headers in ({}, CALLER):
        assert (await gateway.post("/openai/chat/completions", CHAT, headers=headers)).status_code == 200
    job_id = await gateway.submit(**CALLER)
    async with gateway.http.stream("POST", "/openai/chat/completions", json={**CHAT, "stream": True}) as answer:
        await answer.aread()
    assert await work_off(gateway) == 1
    services = gateway.services
    assert services.tracing
    job = await services.store.get(job_id)
    assert job
    assert "traceparent" not in job.context
    assert (await seen(gateway, collector)).spans == []


async def test_a_run_that_is_put_off_or_fails_says_so(traced: Traced, collector: Collector, work_off: WorkOff) -> None:
    gateway = await traced()
    services = gateway.services
    await gateway.submit({**CHAT, "model": "sim/gpt-4o@status=418"})
    assert await work_off(gateway) == 1
    later = await gateway.submit()
    [claim] = await gateway.worker.claim()

    async def put_off(claim: Any, handle: Any) -> Deferral:
        return Deferral(delay_s=60.0, reason="retry_after")

    await traced_run(put_off, services.tracing)(claim, RunHandle(claim, 0.0, 0.0, lambda handle: None))
    found = await seen(gateway, collector)
    states = {run.attributes["finops.job.state"]: run for run in found.named("run chat.completions")}
    assert set(states) == {"failed", "deferred"}
    assert states["failed"].failed
    deferred = states["deferred"].attributes
    assert (deferred["finops.job.id"], deferred["finops.job.reason"]) == (later, "retry_after")


async def test_a_delivery_that_fails_says_so_and_one_of_no_traced_job_has_no_span(
    traced: Traced,
    collector: Collector,
    receiver: Receiver,  # noqa: F811
) -> None:
    gateway = await traced(
        server={"allow_private_network": True, "max_body_mb": 1, "shutdown_grace_s": 2},
        webhooks={
            "orders": {"url": receiver.url, "secret": SECRET},
            "gone": {"url": "https://127.0.0.1:9", "secret": SECRET},
        },
    )
    services = gateway.services
    assert services.tracing
    delivery = traced_delivery(services.settings, services.commands, services.tracing)
    job_id = await gateway.submit()
    receiver.status = 500
    for about in ({"job_id": job_id}, {"job_id": job_id, "state": "failed", "webhook": "gone"}, {"job_id": "unknown"}):
        await delivery.store.add(delivery_event(**about))
        await delivery.attempt(await claim_one(delivery.store))
    await delivery.aclose()
    found = await seen(gateway, collector)
    assert [span.attributes.get("http.response.status_code") for span in found.named("webhook")] == [500, None]
    assert all(span.failed for span in found.named("webhook"))


async def test_a_stream_that_its_caller_left_is_read_on_within_its_span(traced: Traced, collector: Collector) -> None:
    gateway = await traced(
        virtual_keys={"team-a": {"value": KEY_A, "budget": {"limit_usd": 9}}},
        prices={"sim/gpt-4o@tokens=20,tps=20": {"input": 1, "output": 1}},
    )
    body = {**CHAT, "model": "sim/gpt-4o@tokens=20,tps=20", "stream": True}
    async with gateway.http.stream("POST", "/openai/chat/completions", json=body, headers={"x-bf-vk": KEY_A}) as answer:
        async for _ in answer.aiter_bytes():
            break
    await wait_until(lambda: ended(gateway, collector))
    assert collector.one("stream").attributes["finops.stream.caller_left"] is True


async def ended(gateway: Gateway, collector: Collector) -> bool:
    return bool((await seen(gateway, collector)).named("stream"))


# ---------------------------------------------------------------------- decisions


@pytest.fixture(scope="module")
def half() -> Any:
    tracing = Tracing(TelemetrySettings(otlp_endpoint="http://127.0.0.1:9", sample_ratio=0.5), "api", "1")
    yield tracing
    tracing.close()


@pytest.mark.parametrize(
    ("header", "decision"),
    [
        (f"00-{'0' * 16}1{'0' * 15}-00f067aa0ba902b7-01", True),
        (f"00-{'0' * 16}f{'0' * 15}-00f067aa0ba902b7-01", False),
        (f"00-{'0' * 16}1{'0' * 15}-00f067aa0ba902b7-00", False),
        (f"cc-{'0' * 16}1{'0' * 15}-00f067aa0ba902b7-01-more", True),
    ],
)
def test_a_callers_trace_is_sampled_by_its_id_and_its_flag(half: Tracing, header: str, decision: bool) -> None:
    found = half.incoming({b"traceparent": header.encode(), b"tracestate": b"x" * 9000})
    assert (found is not None) is decision
    assert found is not ROOT


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        "\xff",
    ],
)
def test_a_malformed_header_is_as_none(half: Tracing, header: str) -> None:
    assert {half.incoming({b"traceparent": header.encode("latin-1")}) for _ in range(64)} == {ROOT, None}
    assert half.remote(header) is None


def test_without_tracing_the_plain_parts_are_used() -> None:
    async def run(claim: Any, handle: Any) -> Any: ...

    assert traced_run(run, None) is run


def test_without_a_trace_nothing_is_propagated(half: Tracing) -> None:
    assert (half.active, half.current_traceparent(), half.propagates_to("sim")) == (False, "", False)
    assert half.remote(None) is None


def test_a_base_url_and_a_whole_url_lead_to_the_same_place() -> None:
    for url in ("http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"):
        assert traces_url(url) == "http://c:4318/v1/traces"


def test_a_configuration_that_cannot_work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="must start with http"):
        Settings.model_validate({"telemetry": {"otlp_endpoint": "collector:4318"}})
    telemetry = {"otlp_endpoint": "http://c", "otlp_headers": {"api-key": "k" * 20}, "propagate_to": ["nobody"]}
    settings = Settings.model_validate({"telemetry": telemetry})
    assert effective(settings)["telemetry"]["otlp_headers"] == {"api-key": "****kkkk"}
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidReference) as refused:
        check_references(settings, configured_providers(settings, {}))
    assert "pip install 'finops-gateway[otel]'" in str(refused.value)
    assert "telemetry.propagate_to: " in str(refused.value)


async def test_without_an_endpoint_a_call_reaches_no_code_of_traces(start: Start) -> None:
    gateway = await start()
    await gateway.post("/openai/chat/completions", CHAT)
    called: set[str] = set()
    sys.setprofile(lambda frame, event, argument: called.add(frame.f_code.co_filename))
    try:
        answer = await gateway.post("/openai/chat/completions", CHAT, headers=CALLER)
    finally:
        sys.setprofile(None)
    assert answer.status_code == 200
    assert any(name.endswith("inference/inference.py") for name in called)
    assert not [name for name in called if name.endswith(("tracing.py", "traced.py", "genai_attributes.py"))]


@pytest.mark.process
def test_without_an_endpoint_the_extra_is_not_imported() -> None:
    code = (
        "import sys, api.app, worker.main\n"
        "from shared.settings.model import Settings\n"
        "api.app.create_app(Settings(), environ={})\n"
        "extra = ('opentelemetry.sdk', 'opentelemetry.exporter')\n"
        "print(sorted(name for name in sys.modules if name.startswith(extra)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert ended.stdout == "[]\n"
