"""A worker process for the chaos tests: `python -m tests.worker.chaos_worker URL LEASE_S GRACE_S`.

A run appends its token to the list `ran:<payload>` when it starts, sleeps as long as the payload says, and answers the
token. A payload of ``poison`` kills the process.
"""

import asyncio
import os
import signal
import sys

import orjson

from shared.jobs.model import Claim, Outcome, State
from shared.jobs.queue import QueueLimits
from shared.jobs.scripts import engine_scripts
from shared.store.connection import connect
from worker.handle import RunHandle
from worker.leased_worker import LeasedWorker, WorkerOptions


async def main(url: str, lease_s: float, grace_s: float) -> None:
    """Work until SIGTERM."""
    redis = connect(url)

    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        params = orjson.loads(claim.payload)
        if params.get("poison"):
            os.kill(os.getpid(), signal.SIGKILL)
        if params.get("trace", True):
            await redis.execute_command("RPUSH", f"ran:{claim.id}", claim.token)
        await asyncio.sleep(params.get("sleep_s", 0))
        return Outcome(state=State.COMPLETED, status_code=200, result=claim.token.encode())

    options = WorkerOptions(limits=QueueLimits(lease_s=lease_s), grace_s=grace_s)
    worker = LeasedWorker.connect(url, run, options)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, worker.stop)
    await worker.serve()
    await redis.aclose()


if __name__ == "__main__":
    engine_scripts()
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
