"""FinOps: the real LeasedWorker and JobQueue, jobs with full records.

``FINOPS_BENCH_OWNERS`` spreads jobs over that many callers; tags from 1,000,000 on are callers of their own.
``FINOPS_BENCH_LABELS``: so many labels a job, of ten values each.
"""

import asyncio
import gc
import os
import signal
import sys
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import common
import orjson
import uvloop

from shared.jobs.model import Claim, NewJob, Outcome, State
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.scripts import engine_scripts
from shared.store.multiplexed import MultiplexedClient
from worker.handle import RunHandle
from worker.leased_worker import LeasedWorker, WorkerOptions

LIMITS = QueueLimits(max_queued=1_000_000)
OWNERS = int(os.environ.get("FINOPS_BENCH_OWNERS", "1"))
LABELS = int(os.environ.get("FINOPS_BENCH_LABELS", "0"))
ANSWER = b'{"id":"chatcmpl-1","object":"chat.completion","choices":[]}'


def new_job(sent: float, sleep_s: float, tag: int) -> NewJob:
    labels = {"labels": tuple((f"name{n}", f"value{tag % 10}") for n in range(LABELS))} if LABELS else {}
    return NewJob(
        id=str(uuid.uuid4()),
        owner=f"key-{tag if tag >= 1_000_000 else tag % OWNERS}",
        request_type="chat.completions",
        model="m",
        payload=orjson.dumps([sent, sleep_s, tag]),
        max_queued=1_000_000,
        **labels,
    )


async def open_client(url: str):
    commands = MultiplexedClient(url)
    queue = JobQueue(commands, LIMITS)

    async def send(sent: float, sleep_s: float, tag: int) -> None:
        await queue.submit(new_job(sent, sleep_s, tag))

    return send, commands.aclose


async def run(claim: Claim, handle: RunHandle) -> Outcome:
    sent, sleep_s, tag = orjson.loads(claim.payload)
    await common.job(sent, sleep_s, tag)
    return Outcome(state=State.COMPLETED, status_code=200, result=ANSWER)


async def serve(url: str, concurrency: int) -> None:
    options = WorkerOptions(concurrency=concurrency, limits=LIMITS, grace_s=float(os.environ.get("GRACE_S", "30")))
    worker = LeasedWorker.connect(url, run, options)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    gc.collect()
    gc.freeze()  # as worker/main.py
    await worker.serve()


def work(url: str, concurrency: int) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(url, concurrency))


if __name__ == "__main__":
    engine_scripts()
    assert time.get_clock_info("monotonic").monotonic
    common.main(open_client, work)
