"""Guardrails: what they deny is not sent or not seen, what they replace is, and nothing gets past them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import orjson
import pytest

from shared.checks.guardrails import check_guardrails
from shared.errors import GuardrailDenied
from shared.inference.assembly import _inference_class, build_inference
from shared.inference.call import Call
from shared.inference.guarded import TracedGuardedInference
from shared.jobs.model import Deferral
from shared.settings.model import Settings
from shared.surfaces.request_types import CHAT as CHAT_TYPE
from shared.telemetry.upstream import UNWATCHED
from simulator.serve import RunningSimulator
from tests.api.conftest import ADMIN_KEY, CHAT, KEY_A, KEY_B, Gateway, Start
from tests.serving import serving
from tests.waiting import wait_until
from worker.handle import RunHandle

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
PRICES = {"sim/*": {"input": 1, "output": 10}}
SURFACES = {
    "/openai/chat/completions": CHAT,
    "/v1/responses": {"model": "sim/gpt-4o", "input": "hello"},
    "/openai/completions": {"model": "sim/gpt-3.5-turbo-instruct", "prompt": "hello"},
    "/openai/embeddings": {"model": "sim/text-embedding-3-small", "input": "hello"},
    "/anthropic/v1/messages": {**CHAT, "max_tokens": 20},
    "/genai/v1beta/models/sim%2Fgpt-4o:generateContent": {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]},
}
Reply = Callable[[dict[str, Any]], Any]


def allow(_payload: dict[str, Any]) -> Any:
    return {"verdict": "allow"}


def deny(_payload: dict[str, Any]) -> Any:
    return {"verdict": "deny", "reason": "names\nof people"}


class Guard:
    """The operator's endpoint; records what it is asked."""

    def __init__(self) -> None:
        self.status = 200
        self.reply: Reply = allow
        self.headers: list[dict[str, str]] = []
        self.asked: list[dict[str, Any]] = []
        self.url = ""
        self.hold: asyncio.Event | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        self.asked.append(orjson.loads(body))
        if self.hold is not None:
            await self.hold.wait()
        reply = self.reply(self.asked[-1])
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": reply if isinstance(reply, bytes) else orjson.dumps(reply)})

    def table(self, *checks: str, **more: Any) -> dict[str, Any]:
        return {"guard": {"url": self.url, "checks": checks or ("request",), "timeout_s": 20, **more}}


@pytest.fixture
async def guard() -> AsyncIterator[Guard]:
    guard = Guard()
    async with serving(guard) as origin:
        guard.url = f"{origin}/check?tenant=a"
        yield guard


async def ledger(gateway: Gateway) -> list[dict[str, Any]]:
    billing = gateway.services.inference._billing
    assert billing
    await billing.ledger.flush()
    calls = await gateway.http.get("/api/logs", headers=ADMIN)
    return list(calls.json()["data"])


def completions(sim: RunningSimulator) -> list[Any]:
    return [entry for entry in sim.requests if entry.method == "POST"]


@pytest.mark.parametrize("path", sorted(SURFACES))
async def test_a_denied_request_is_refused_on_every_surface_and_neither_sent_nor_charged(
    start: Start, guard: Guard, sim: RunningSimulator, path: str
) -> None:
    gateway, guard.reply = await start(guardrails=guard.table(), prices=PRICES), deny
    refused = await gateway.post(path, SURFACES[path])
    assert refused.status_code == 400
    assert "The guardrail 'guard' denied the request: names of people" in refused.text
    if not path.startswith(("/anthropic", "/genai")):
        assert refused.json()["error"]["code"] == "guardrail_denied"
    assert refused.headers["x-should-retry"] == "false"
    assert not completions(sim)
    [entry] = await ledger(gateway)
    assert (entry["status"], entry["code"], entry["guardrail"]) == (400, "guardrail_denied", "guard")
    assert not entry["cost_usd"]


async def test_a_guardrail_reads_the_request_and_nothing_that_is_secret(start: Start, guard: Guard) -> None:
    keys = {"team-a": {"value": KEY_A, "team": "red"}}
    headers = {"authorization": "env.GUARD"}
    gateway = await start(guardrails=guard.table("request", "answer", headers=headers), virtual_keys=keys)
    answer = await gateway.post("/openai/chat/completions", CHAT, headers={"x-bf-vk": KEY_A, "cookie": "a=b"})
    assert answer.status_code == 200
    asked, answered = guard.asked
    assert (asked["guardrail"], asked["stage"], asked["request_type"]) == ("guard", "request", "chat.completions")
    assert (asked["model"], asked["request"], asked["job_id"]) == (CHAT["model"], CHAT, "")
    assert asked["request_id"] == answer.headers["x-request-id"]
    assert (asked["virtual_key"]["name"], asked["virtual_key"]["team"]) == ("team-a", "red")
    assert (answered["stage"], answered["answer"]) == ("answer", answer.json())
    names = {"host", "content-type", "accept", "authorization", "content-length", "accept-encoding"}
    assert set(guard.headers[0]) == names
    assert guard.headers[0]["authorization"] == "env.GUARD"
    assert KEY_A not in orjson.dumps(guard.asked).decode()


async def test_a_replaced_request_is_what_the_provider_gets(start: Start, guard: Guard, sim: RunningSimulator) -> None:
    gateway = await start(guardrails=guard.table())
    masked = [{"role": "user", "content": "[name] is here"}]
    guard.reply = lambda payload: {
        "verdict": "replace",
        "request": {**payload["request"], "messages": masked, "model": "sim/other", "stream": True},
    }
    for path in ("/openai/chat/completions", "/anthropic/v1/messages"):
        assert (await gateway.post(path, {**SURFACES[path], "temperature": 0.5})).status_code == 200
        sent = completions(sim)[-1].body
        assert (sent["messages"], sent["model"], sent["temperature"]) == (masked, "gpt-4o", 0.5)
        assert not sent.get("stream")


async def test_what_was_checked_is_what_is_sent_whatever_a_body_has_twice(
    start: Start, guard: Guard, sim: RunningSimulator
) -> None:
    gateway = await start(guardrails=guard.table())
    body = b'{"model": "sim/gpt-4o", "messages": [{"role": "user", "content": "secret"}], '
    body += b'"messages": [{"role": "user", "content": "harmless"}]}'
    answer = await gateway.http.post("/openai/chat/completions", content=body)
    assert answer.status_code == 200
    assert guard.asked[0]["request"]["messages"][0]["content"] == "harmless"
    assert b"secret" not in completions(sim)[-1].raw


async def test_a_denied_answer_is_not_seen_and_booked_at_its_cost(
    start: Start, guard: Guard, sim: RunningSimulator
) -> None:
    gateway, guard.reply = await start(guardrails=guard.table("answer"), prices=PRICES), deny
    refused = await gateway.post("/openai/chat/completions", CHAT)
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == "The guardrail 'guard' denied the answer: names of people"
    assert len(completions(sim)) == 1
    [entry] = await ledger(gateway)
    assert (entry["status"], entry["code"], entry["guardrail"]) == (400, "guardrail_denied", "guard")
    assert entry["cost_usd"] > 0
    assert entry["output_tokens"] > 0


async def test_an_answer_is_booked_at_its_cost_if_its_caller_leaves_while_it_is_checked(
    start: Start, guard: Guard
) -> None:
    gateway = await start(guardrails=guard.table("answer", timeout_s=60), prices=PRICES)
    guard.hold = asyncio.Event()
    asking = asyncio.create_task(gateway.post("/openai/chat/completions", CHAT))
    await wait_until(lambda: bool(guard.asked))
    asking.cancel()
    async with asyncio.timeout(60):
        while not (entries := await ledger(gateway)):
            pass
    guard.hold.set()
    [entry] = entries
    assert (entry["status"], entry["guardrail"]) == (499, "")
    assert entry["output_tokens"] > 0
    assert entry["cost_usd"] > 0


async def test_a_replaced_answer_is_what_the_caller_gets_also_from_the_cache(start: Start, guard: Guard) -> None:
    gateway = await start(guardrails=guard.table("answer"), cache={"mode": "exact"})

    def mask(payload: dict[str, Any]) -> Any:
        answer = payload["answer"]
        answer["choices"][0]["message"]["content"] = f"masked {len(guard.asked)}"
        return {"verdict": "replace", "answer": answer}

    guard.reply = mask
    for turn in (1, 2):
        answer = await gateway.post("/openai/chat/completions", CHAT)
        assert answer.json()["choices"][0]["message"]["content"] == f"masked {turn}"
    embedded = await gateway.post("/openai/embeddings", SURFACES["/openai/embeddings"])
    assert embedded.status_code == 200
    assert len(guard.asked) == 2, "numbers are not checked"
    guard.reply = deny
    assert (await gateway.post("/openai/chat/completions", CHAT)).status_code == 400


async def test_streams_are_checked_before_and_refused_where_whole_answers_are_checked(
    start: Start, guard: Guard, sim: RunningSimulator
) -> None:
    body = {**CHAT, "stream": True}
    before = await start(guardrails=guard.table())
    assert "[DONE]" in (await before.post("/openai/chat/completions", body)).text
    guard.reply = deny
    assert (await before.post("/openai/chat/completions", body)).json()["error"]["code"] == "guardrail_denied"
    after = await start(guardrails=guard.table("answer"))
    refused = await after.post("/openai/chat/completions", body)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "guardrail_refuses_streams"
    unchecked = await start(guardrails=guard.table("answer", streams="unchecked"))
    assert "[DONE]" in (await unchecked.post("/openai/chat/completions", body)).text
    assert len(completions(sim)) == 2


async def test_jobs_are_checked_when_they_run(start: Start, guard: Guard, sim: RunningSimulator) -> None:
    gateway = await start(guardrails=guard.table("request", "answer"), prices=PRICES, cache={"mode": "exact"})
    done = await gateway.submit()
    again = await gateway.submit()
    await gateway.worker.work_off()
    assert (await gateway.poll(done)).json()["choices"]
    assert [each["job_id"] for each in guard.asked].count(again) == 2, "a stored answer is not served at the submit"
    events = await gateway.http.get(f"/v1/async/jobs/{done}/events")
    assert "event: delta" not in events.text
    sent = len(completions(sim))
    guard.reply = lambda payload: deny(payload) if payload["stage"] == "answer" else allow(payload)
    costly = await gateway.submit({**CHAT, "temperature": 0.1})
    await gateway.worker.work_off()
    guard.reply = deny
    free = await gateway.submit({**CHAT, "temperature": 0.2})
    await gateway.worker.work_off()
    assert len(completions(sim)) == sent + 1
    entries = {entry["job_id"]: entry for entry in await ledger(gateway)}
    for job_id, stage in ((costly, "answer"), (free, "request")):
        failed = await gateway.poll(job_id)
        assert failed.status_code == 400
        assert f"denied the {stage}" in failed.json()["error"]["message"]
        assert entries[job_id]["guardrail"] == "guard"
    assert entries[costly]["cost_usd"] > 0
    assert not entries[free]["cost_usd"]
    envelope = (await gateway.http.get(f"/v1/async/jobs/{costly}")).json()
    assert envelope["error"]["code"] == "guardrail_denied"


async def test_a_job_waits_for_a_guardrail_that_does_not_answer(start: Start, guard: Guard) -> None:
    gateway, guard.status = await start(guardrails=guard.table()), 503
    await gateway.submit()
    [claim] = await gateway.worker.claim()
    later = await gateway.worker.runners[0].run(claim, RunHandle(claim, 0.0, 0.0, lambda handle: None))
    assert isinstance(later, Deferral)
    assert (later.delay_s, later.reason) == (5, "guardrail_unavailable")
    guard.status = 404
    wrong = await gateway.worker.runners[0].run(claim, RunHandle(claim, 0.0, 0.0, lambda handle: None))
    assert not isinstance(wrong, Deferral)
    assert wrong.status_code == 503


def whole(payload: dict[str, Any]) -> Any:
    """Name no request, or none that can be sent."""
    return {"verdict": "replace", "request": {"messages": "none"}, "answer": "none"}


FAULTS: dict[str, tuple[int, Reply]] = {
    "refuses": (500, allow),
    "no JSON": (200, lambda _: b"<html>"),
    "no verdict": (200, lambda _: []),
    "unknown": (200, lambda _: {"verdict": "maybe"}),
    "unusable": (200, whole),
    "large": (200, lambda _: {"verdict": "allow", "more": "x" * 3000}),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("stage", ["request", "answer"])
async def test_a_guardrail_that_does_not_decide_denies_or_allows_as_configured(
    start: Start, guard: Guard, sim: RunningSimulator, fault: str, stage: str
) -> None:
    guard.status, guard.reply = FAULTS[fault]
    strict = await start(guardrails=guard.table(stage, max_kb=2))
    refused = await strict.post("/openai/chat/completions", CHAT)
    assert refused.status_code == 503, refused.text
    assert refused.json()["error"]["code"] == "guardrail_unavailable"
    assert ("retry-after" in refused.headers) == (fault == "refuses" and stage == "request")
    assert len(completions(sim)) == (stage == "answer")
    lenient = await start(guardrails=guard.table(stage, max_kb=2, on_error="allow"))
    assert (await lenient.post("/openai/chat/completions", CHAT)).status_code == 200


@pytest.mark.parametrize("on_error", ["deny", "allow"])
async def test_one_that_cannot_be_reached_or_read_the_content_does_not_decide(
    start: Start, guard: Guard, on_error: str
) -> None:
    gone = {"url": "http://127.0.0.1:9/", "timeout_s": 5}
    tables: dict[str, dict[str, Any]] = {
        "gone": {**gone, "models": ["sim/gone"]},
        "small": {"url": guard.url, "models": ["sim/small"], "max_kb": 1},
        "forms": {"url": guard.url, "models": ["sim/whisper-1"]},
        "text": {"url": guard.url, "models": ["sim/text"], "checks": ["answer"]},
    }
    gateway = await start(guardrails={name: {**table, "on_error": on_error} for name, table in tables.items()})
    status = 503 if on_error == "deny" else 200
    for model, size in (("gone", 1), ("small", 3000)):
        body = {"model": f"sim/{model}", "messages": [{"role": "user", "content": "x" * size}]}
        assert (await gateway.post("/openai/chat/completions", body)).status_code == status
    for model, form in (("whisper-1", {}), ("text", {"response_format": "text"})):
        files = {"file": ("a.wav", b"RIFF", "audio/wav")}
        data = {"model": f"sim/{model}", **form}
        answer = await gateway.http.post("/openai/audio/transcriptions", data=data, files=files)
        assert answer.status_code == status, answer.text
    assert not guard.asked


async def test_a_guardrail_covers_the_keys_and_models_that_it_names(start: Start, guard: Guard) -> None:
    guard.reply = deny
    gateway = await start(
        guardrails=guard.table(virtual_keys=["team-*"], models=["sim/gpt-4*"]),
        virtual_keys={"team-a": {"value": KEY_A}, "other": {"value": KEY_B}},
        aliases={"fast": "sim/gpt-4o"},
        fallbacks={"sim/plain": ["sim/gpt-4o-mini"]},
    )

    async def status(model: str, key: str) -> int:
        headers = {"x-bf-vk": key} if key else {}
        answer = await gateway.post("/openai/chat/completions", {**CHAT, "model": model}, headers=headers)
        return answer.status_code

    for model in ("sim/gpt-4o", "sim/GPT-4o", "fast", "sim/plain"):
        assert await status(model, KEY_A) == 400, model
    assert await status("sim/other", KEY_A) == 200
    assert await status("sim/gpt-4o", KEY_B) == 200
    assert await status("sim/gpt-4o", "") == 200
    assert await status("nobody/gpt-4o", KEY_A) == 400, "unknown providers are refused as ever"


async def test_guardrails_are_asked_in_order_and_see_what_those_before_made(start: Start, guard: Guard) -> None:
    guard.reply = lambda payload: {
        "verdict": "replace",
        "request": {**payload["request"], "user": payload["request"].get("user", "") + payload["guardrail"]},
    }
    [table] = guard.table().values()
    gateway = await start(guardrails={"b": table, "a": table})
    assert (await gateway.post("/openai/chat/completions", CHAT)).status_code == 200
    assert [(each["guardrail"], each["request"].get("user")) for each in guard.asked] == [("b", None), ("a", "b")]


@pytest.mark.parametrize("stage", ["request", "answer"])
async def test_nothing_goes_round_a_guardrail_unread(
    start: Start, guard: Guard, sim: RunningSimulator, stage: str
) -> None:
    gateway = await start(
        guardrails=guard.table(stage, virtual_keys=["team-a"]), virtual_keys={"team-a": {"value": KEY_A}}
    )
    key = {"x-bf-vk": KEY_A}
    line = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {**CHAT, "model": "openai/gpt-4o"},
    }
    files, form = {"file": ("lines.jsonl", orjson.dumps(line))}, {"purpose": "batch"}
    kept = await gateway.http.post("/openai/files", files=files, data=form, headers=key)
    assert kept.status_code == 200, "a file without a provider's name stays here, where its lines are checked"
    provider = {**key, "x-bf-provider": "openai"}
    refused = await gateway.http.post("/openai/files", files=files, data=form, headers=provider)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "passthrough_blocked"
    assert not completions(sim)
    listed = await gateway.http.get("/openai/files", headers=provider)
    assert listed.status_code == (200 if stage == "request" else 403)
    counted = await gateway.post("/anthropic/v1/messages/count_tokens", CHAT, headers=key)
    assert counted.json()["input_tokens"] > 0
    job = await gateway.post(
        "/openai/embeddings",
        SURFACES["/openai/embeddings"],
        headers={**key, "x-bf-async": "true", "x-bf-async-patience": "3600"},
    )
    assert job.status_code == 200, job.text
    await gateway.worker.work_off()
    assert [each["job_id"] for each in guard.asked] == ([job.headers["x-bf-async-id"]] if stage == "request" else [])


async def test_a_bridged_response_is_stored_only_where_its_answer_is_not_checked(start: Start, guard: Guard) -> None:
    claude = {"model": "claude/claude-sonnet-4-5", "input": "hello"}

    async def read_again(*checks: str) -> int:
        provider = {"wire": "anthropic", "base_url": sim_url}
        gateway = await start(providers={"claude": provider}, guardrails=guard.table(*checks))
        made = (await gateway.post("/v1/responses", claude)).json()
        return (await gateway.http.get(f"/v1/responses/{made['id']}")).status_code

    sim_url = (await start()).services.inference.providers["sim"].base_url.removesuffix("/v1")
    assert await read_again("request") == 200
    assert await read_again("request", "answer") in {400, 403, 404}


async def test_verdicts_are_counted(start: Start, guard: Guard) -> None:
    gateway = await start(guardrails=guard.table())
    await gateway.post("/openai/chat/completions", CHAT)
    lines = (await gateway.http.get("/metrics", headers=ADMIN)).text
    assert 'finops_guardrail_checks_total{guardrail="guard",stage="request",verdict="allow"} 1.0' in lines
    assert 'finops_guardrail_seconds_count{guardrail="guard",stage="request"} 1.0' in lines


async def test_without_billing_an_answer_is_denied_too(guard: Guard, sim: RunningSimulator) -> None:
    guard.reply = deny
    provider = {"wire": "openai", "base_url": sim.base_url}
    settings = Settings.model_validate({"providers": {"sim": provider}, "guardrails": guard.table("answer")})
    inference = build_inference(settings, {})
    call = Call(request_type=CHAT_TYPE, model="sim/gpt-4o", body=orjson.dumps(CHAT), fields=dict(CHAT))
    with pytest.raises(GuardrailDenied, match="denied the answer"):
        await inference.answer(call)
    await inference.aclose()


async def test_traces_and_guardrails_go_together() -> None:
    settings = Settings.model_validate({"guardrails": {"a": {"url": "http://127.0.0.1:9/"}}})
    tracing: Any = object()  # built with, and not used
    made = _inference_class(settings, {}, UNWATCHED, tracing)
    assert isinstance(made, partial)
    assert made.func is TracedGuardedInference


async def test_doctor_asks_each_guardrail(guard: Guard) -> None:
    async def finding(environ: dict[str, str] | None = None, **more: Any) -> tuple[str, str]:
        settings = Settings.model_validate({"guardrails": guard.table(**more)})
        [found] = await check_guardrails(settings, environ or {})
        return found.level, f"{found.message}; {found.fix}"

    assert await check_guardrails(Settings(), {}) == []
    assert (await finding())[0] == "OK"
    guard.reply = deny
    level, text = await finding(checks=["answer"])
    assert level == "WARN"
    assert "replies deny" in text
    guard.status = 404
    assert "its calls are refused" in (await finding())[1]
    level, text = await finding(on_error="allow", url="http://127.0.0.1:9/")
    assert level == "FAIL"
    assert "pass unchecked" in text
    assert (await finding({"HTTP_PROXY": "nonsense://"}))[0] == "FAIL"
