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
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import common
import orjson
import uvloop

from shared.inference import assembly
from shared.jobs.model import Claim, Deferral, NewJob, Outcome
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.scripts import engine_scripts
from shared.settings.model import Settings
from shared.store.multiplexed import MultiplexedClient
from shared.telemetry.logs import configure
from shared.telemetry.metrics import Metrics
from worker import main as production
from worker.handle import RunHandle
from worker.options import WorkerOptions
from worker.tasks import JobRunner

STREAMS = os.environ.get("FINOPS_BENCH_ANSWER") == "sse"
LIMITS = QueueLimits(max_queued=1_000_000)
PROVIDER = {"wire": "openai", "base_url": "http://noop.invalid/v1", "keys": [{"value": "k"}]}
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
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return b"data: " + orjson.dumps({**head, "usage": usage}) + b"\n\n"


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
    complete = True
    headers = ((b"content-type", b"text/event-stream" if STREAMS else b"application/json"),)

    def header(self, name: bytes) -> bytes | None:
        return self.headers[0][1] if name == b"content-type" else None

    async def read(self, max_bytes: int = 0) -> bytes:
        return WHOLE

    async def chunks(self) -> AsyncIterator[bytes]:
        for event in EVENTS if STREAMS else [WHOLE]:
            yield event

    async def aclose(self) -> None: ...

    def close(self) -> None: ...


class NoNetwork:
    """Stands where the transport stands, and answers by itself."""

    def __init__(self, **_options: object) -> None: ...

    async def send(self, *_request: object, **_options: object) -> NoResponse:
        return NoResponse()

    async def aclose(self) -> None: ...


class NotingRunner(JobRunner):
    """Notes each answered job."""

    async def run(self, claim: Claim, handle: RunHandle) -> Outcome | Deferral:
        ending = await super().run(claim, handle)
        assert isinstance(ending, Outcome), ending
        assert ending.status_code == 200, ending
        common.note(0.0, 0, common.BOTH)
        return ending


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


async def serve(settings: Settings, concurrency: int) -> None:
    options = WorkerOptions(concurrency=concurrency, limits=LIMITS)
    async with AsyncExitStack() as exits:
        worker = production._assemble(settings, options, Metrics("worker"), {}, exits).worker
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        gc.collect()
        gc.freeze()  # as production does
        await worker.serve()


def work(url: str, concurrency: int) -> None:
    assembly.UpstreamTransport = NoNetwork
    production.JobRunner = NotingRunner
    jobs = {"stream_output": STREAMS}
    settings = Settings.model_validate({"redis": {"url": url}, "providers": {"noop": PROVIDER}, "jobs": jobs})
    with Path(sys.argv[3] + ".log").open("a") as log:
        configure(settings.log, "worker", log)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, concurrency))


if __name__ == "__main__":
    engine_scripts()
    common.main(open_client, work)
