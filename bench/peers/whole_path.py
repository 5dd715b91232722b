"""FinOps' worker as ``worker/main.py`` builds it, with a provider inside the process in place of the network.

``work URL RECORDS CONCURRENCY``: its log goes to RECORDS.log. ``burst``: chat completions, as the API would submit them.
``FINOPS_BENCH_ANSWER``: ``json``, a whole answer to whatever is asked; ``sse``, a stream of eight deltas.
"""

import asyncio
import gc
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import common
import orjson
import uvloop

from shared.governance.governance import Governance
from shared.inference.inference import Inference
from shared.jobs.model import Claim, Deferral, NewJob, Outcome
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.scripts import engine_scripts
from shared.jobs.store import JobStore
from shared.providers.client import ProviderClient
from shared.providers.hosts.direct import DirectHost
from shared.providers.registry import configured_providers
from shared.providers.wires.openai import OpenAIWire
from shared.settings.model import Settings
from shared.store.connection import connect
from shared.store.multiplexed import MultiplexedClient
from shared.telemetry.logs import configure
from shared.telemetry.metrics import Metrics
from worker.handle import RunHandle
from worker.leased import LeasedWorker, WorkerOptions
from worker.outbox import Outbox
from worker.tasks import JobRunner
from worker.webhooks import WebhookDelivery

LIMITS = QueueLimits(max_queued=1_000_000)
SETTINGS = Settings.model_validate(
    {"providers": {"noop": {"wire": "openai", "base_url": "http://noop.invalid/v1", "keys": [{"value": "k"}]}}}
)
ASKED = orjson.dumps({"model": "noop/m", "messages": [{"role": "user", "content": "Hello " * 60}]})
USAGE = {"prompt_tokens": 60, "completion_tokens": 160, "total_tokens": 220}
WHOLE = orjson.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE,
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None,
                     "message": {"role": "assistant", "content": "answer " * 100, "refusal": None}}],
    }
)  # fmt: skip


def _chunk(delta: dict[str, str] | None, finish: str | None = None, usage: object = None) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]
    said = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return b"data: " + orjson.dumps({**said, "usage": usage}) + b"\n\n"


EVENTS = [
    _chunk({"role": "assistant", "content": ""}),
    *(_chunk({"content": "answer " * 12}) for _ in range(8)),
    _chunk({}, "stop"),
    _chunk(None, usage=USAGE),
    b"data: [DONE]\n\n",
]


class NoResponse:
    """An answer that was always there."""

    status = 200
    reason = b"OK"

    def __init__(self, *, streams: bool) -> None:
        self._streams = streams
        self.headers = [(b"content-type", b"text/event-stream" if streams else b"application/json")]

    def header(self, name: bytes) -> bytes | None:
        return self.headers[0][1] if name == b"content-type" else None

    async def read(self, max_bytes: int = 0) -> bytes:
        return WHOLE

    async def chunks(self) -> AsyncIterator[bytes]:
        for event in EVENTS if self._streams else [WHOLE]:
            yield event

    async def aclose(self) -> None: ...


class NoNetwork:
    """A sender that answers by itself."""

    def __init__(self, *, streams: bool) -> None:
        self._streams = streams

    async def send(self, origin, method, target, headers, body, *, timeouts):
        return NoResponse(streams=self._streams)

    async def aclose(self) -> None: ...


def build(watch: Metrics) -> Inference:
    sender = NoNetwork(streams=os.environ.get("FINOPS_BENCH_ANSWER") == "sse")
    client = ProviderClient(sender, {"direct": DirectHost()}, {"openai": OpenAIWire()})
    providers = configured_providers(SETTINGS, {})
    return Inference(providers, client, fallbacks={}, watch=watch, close=sender.aclose)


async def open_client(url: str):
    commands = MultiplexedClient(url)
    queue = JobQueue(commands, LIMITS)

    async def send(sent: float, sleep_s: float, tag: int) -> None:
        await queue.submit(
            NewJob(
                id=str(uuid.uuid4()),
                owner="key-0",
                request_type="chat.completions",
                model="noop/m",
                payload=ASKED,
                request_id=f"req-{tag}",
                context={"surface": "openai", "headers": {}},
                max_queued=1_000_000,
            )  # fmt: skip
        )

    return send, commands.aclose


async def serve(url: str, concurrency: int) -> None:
    metrics = Metrics("worker")
    inference = build(metrics)
    commands = MultiplexedClient(url, client_name="finops-worker")
    delivery = WebhookDelivery(SETTINGS, commands)
    streams = os.environ.get("FINOPS_BENCH_ANSWER") == "sse"
    runner = JobRunner(inference, Governance(SETTINGS), delivery, streams=streams)

    async def run(claim: Claim, handle: RunHandle) -> Outcome | Deferral:
        ending = await runner.run(claim, handle)
        assert isinstance(ending, Outcome), ending
        assert ending.status_code == 200, ending
        common.note(0.0, 0, common.BOTH)
        return ending

    options = WorkerOptions(concurrency=concurrency, limits=LIMITS)
    worker = LeasedWorker.connect(url, run, options, metrics=metrics)
    reader = connect(url, timeout_s=None, max_connections=1)
    outbox = Outbox(reader, JobQueue(commands, LIMITS), JobStore(commands), delivery, options.worker_id)
    task = asyncio.create_task(outbox.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    gc.collect()
    gc.freeze()
    await worker.serve()
    task.cancel()
    await asyncio.wait([task])
    for closing in (reader.aclose, delivery.aclose, commands.aclose, inference.aclose):
        await closing()


def work(url: str, concurrency: int) -> None:
    with Path(sys.argv[3] + ".log").open("a") as log:
        configure(SETTINGS.log, "worker", log)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(url, concurrency))


if __name__ == "__main__":
    engine_scripts()
    common.main(open_client, work)
