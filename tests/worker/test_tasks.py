"""Job runs against the simulator, over real sockets."""

import dataclasses
from typing import Any

import orjson
import pytest
from fakeredis import FakeAsyncRedis

from shared.governance.keys.authenticate import Authenticator
from shared.inference.inference import Inference
from shared.jobs.model import Claim, Deferral, Outcome, Priority, State
from shared.settings.model import Settings
from shared.store.commands import PooledCommands
from simulator.serve import RunningSimulator
from tests.inference.conftest import build, inference, provider, sim  # noqa: F401 - fixtures
from worker.handle import RunHandle
from worker.tasks import JobRunner
from worker.webhooks import WebhookDelivery

NOW_MS = 1_795_000_000_000


def claim(model: str, payload: bytes | None = None, **changes: Any) -> Claim:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    fields: dict[str, Any] = {
        **dict.fromkeys(("owner", "request_id", "webhook"), ""),
        **dict.fromkeys(("due_ms", "created_ms", "started_ms"), NOW_MS),
        "id": "job-1",
        "token": "w:1",
        "attempt": 1,
        "priority": Priority.NORMAL,
        "request_type": "chat.completions",
        "model": model,
        "content_type": "application/json",
        "context": {},
        "ttl_s": 60,
        "deadline_ms": 0,
        "payload": orjson.dumps(body) if payload is None else payload,
    }
    return Claim(**{**fields, **changes})


def handle_of(job: Claim) -> RunHandle:
    return RunHandle(job, 0.0, 0.0, lambda handle: None)


@pytest.fixture(params=[True, False], ids=["streamed", "whole"])
def runner(inference: Inference, request: Any) -> JobRunner:  # noqa: F811
    settings = Settings()
    webhooks = WebhookDelivery(settings, PooledCommands(FakeAsyncRedis(), knows_script_flags=False))
    return JobRunner(inference, Authenticator(settings), webhooks, streams=request.param)


async def run(runner: JobRunner, job: Claim) -> Outcome | Deferral:
    return await runner.run(job, handle_of(job))


async def ended(runner: JobRunner, job: Claim) -> Outcome:
    outcome = await run(runner, job)
    assert isinstance(outcome, Outcome)
    return outcome


async def test_a_job_ends_with_the_providers_bytes(runner: JobRunner, sim: RunningSimulator) -> None:  # noqa: F811
    outcome = await ended(runner, claim("sim/sim-echo", context={"headers": {"openai-beta": "b"}}))
    assert outcome.state is State.COMPLETED
    assert outcome.status_code == 200
    assert orjson.loads(outcome.result)["choices"][0]["message"]["content"] == "hello"
    assert outcome.meta["provider"] == "sim"
    assert outcome.meta["usage"]["total_tokens"] > 0
    assert sim.log.entries[0].headers["openai-beta"] == "b"
    assert sim.log.entries[0].headers["idempotency-key"] == "job-1"


async def test_a_form_is_sent_as_it_came(runner: JobRunner) -> None:
    payload = (
        b'--X\r\nContent-Disposition: form-data; name="model"\r\n\r\nsim/whisper\r\n'
        b'--X\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--X--\r\n'
    )
    job = claim(
        "sim/whisper", payload, request_type="audio.transcriptions", content_type="multipart/form-data; boundary=X"
    )
    assert orjson.loads((await ended(runner, job)).result)["text"]


async def test_a_providers_refusal_is_the_outcome(runner: JobRunner) -> None:
    outcome = await ended(runner, claim("sim/gpt@context_length"))
    assert (outcome.state, outcome.status_code) == (State.FAILED, 400)
    assert outcome.error
    assert outcome.error["code"] == "context_length_exceeded"


async def test_a_long_retry_after_gives_the_slot_back(runner: JobRunner) -> None:
    outcome = await run(runner, claim("sim/gpt@status=429,retry_after=30"))
    assert isinstance(outcome, Deferral)
    assert outcome.delay_s == 30
    assert not outcome.counts


@pytest.mark.parametrize(
    "times", [{"deadline_ms": NOW_MS + 20_000}, {"created_ms": NOW_MS - 24 * 3600 * 1000}], ids=["deadline", "age"]
)
async def test_a_job_that_would_come_back_too_late_ends(runner: JobRunner, times: dict[str, int]) -> None:
    outcome = await ended(runner, claim("sim/gpt@status=429,retry_after=30", **times))
    assert outcome.status_code == 429


async def test_a_deadline_ends_the_run(runner: JobRunner) -> None:
    outcome = await ended(runner, claim("sim/gpt@hang", deadline_ms=NOW_MS + 100))
    assert outcome.error
    assert (outcome.status_code, outcome.error["code"]) == (504, "deadline_exceeded")


async def test_a_payload_that_cannot_be_read_fails_the_job_not_the_worker(runner: JobRunner, caplog: Any) -> None:
    outcome = await ended(runner, dataclasses.replace(claim("sim/gpt"), payload=b"{"))
    assert outcome.error
    assert outcome.error["code"] == "internal_error"
    assert "JSONDecodeError" not in outcome.error["message"]
    assert "job run failed" in caplog.text
