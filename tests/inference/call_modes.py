"""The three ways a call is made, behind one face: at once, as a stream, and as a job's run."""

from dataclasses import dataclass, field
from typing import Any

import orjson
from fakeredis import FakeAsyncRedis

from shared.errors import GatewayError
from shared.governance.keys.authenticate import Authenticator
from shared.inference.inference import Inference
from shared.jobs.model import Claim, Deferral, State
from shared.settings.model import Settings
from shared.store.commands import PooledCommands
from shared.surfaces.sse import EventSplitter, event_data
from tests.inference.conftest import chat
from tests.worker.test_tasks import claim, handle_of
from worker.tasks import JobRunner
from worker.webhooks import WebhookDelivery

WAYS = ("sync", "stream", "job")


@dataclass(kw_only=True)
class Ended:
    """How a call ended, whichever way it was made."""

    status: int = 200
    text: str = ""
    code: str | None = None
    provider: str = ""
    model: str = ""
    attempts: int = 0
    usage: dict[str, Any] = field(default_factory=dict)
    deferred_s: float = 0.0

    @property
    def answered(self) -> bool:
        return self.status == 200 and not self.deferred_s


async def call(inference: Inference, way: str, model: str, **more: Any) -> Ended:
    """Ask a model."""
    if way == "job":
        return await _run(inference, model, more)
    try:
        return await (_stream if way == "stream" else _answer)(inference, model, more)
    except GatewayError as error:
        return Ended(status=error.status, code=error.code)


async def _answer(inference: Inference, model: str, more: dict[str, Any]) -> Ended:
    answer = await inference.answer(chat(model, **more))
    return Ended(
        text=_content(answer.body),
        provider=answer.provider,
        model=answer.model,
        attempts=answer.attempts,
        usage=dict(answer.usage),
    )


async def _stream(inference: Inference, model: str, more: dict[str, Any]) -> Ended:
    stream = await inference.stream(chat(model, stream=True, stream_options={"include_usage": True}, **more))
    text = ""
    splitter = EventSplitter()
    async for some in stream:
        for event in splitter.feed(some):
            data = event_data(event)
            if data and data != b"[DONE]":
                choices = orjson.loads(data)["choices"]
                text += (choices[0]["delta"].get("content") or "") if choices else ""
    return Ended(
        text=text,
        provider=stream.provider,
        model=stream.model,
        attempts=stream.attempts,
        usage=dict(stream.usage),
    )


async def _run(inference: Inference, model: str, more: dict[str, Any]) -> Ended:
    job: Claim = claim(model, chat(model, **more).body)
    settings = Settings()
    runner = JobRunner(
        inference,
        Authenticator(settings),
        WebhookDelivery(settings, PooledCommands(FakeAsyncRedis(), knows_script_flags=False)),
    )
    outcome = await runner.run(job, handle_of(job))
    if isinstance(outcome, Deferral):
        return Ended(status=0, deferred_s=outcome.delay_s)
    if outcome.state is not State.COMPLETED:
        assert outcome.error
        return Ended(status=outcome.status_code, code=outcome.error["code"])
    meta = outcome.meta
    return Ended(
        text=_content(outcome.result),
        provider=meta["provider"],
        model=meta["model"],
        attempts=meta["upstream_attempts"],
        usage=meta["usage"],
    )


def _content(body: bytes) -> str:
    text: str = orjson.loads(body)["choices"][0]["message"]["content"]
    return text
