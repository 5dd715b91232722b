"""A worker process for the chaos tests: `python -m tests.worker.chaos_worker URL LEASE_S GRACE_S [SHARDS]`.

A run appends its token to the list `ran:<payload>` when it starts, sleeps as long as the payload says, and answers the
token. A payload of ``poison`` kills the process, one of ``cost`` is what it costs in micro-USD. With several shards the
process carries their bookings too.
"""

import asyncio
import os
import signal
import sys

import orjson

from shared.governance.bookings.carrier import BookingCarrier
from shared.governance.bookings.loop import BookingLoop
from shared.governance.limits.guard import governance_scripts
from shared.jobs.model import Claim, Outcome, State
from shared.jobs.queue import QueueLimits
from shared.jobs.scripts import SHARD_LIBRARIES, engine_scripts
from shared.store.connection import connect
from shared.store.multiplexed import MultiplexedClient
from worker.handle import RunHandle
from worker.leased_worker import LeasedWorker, WorkerOptions
from worker.sharded_worker import ShardedWorker


async def main(url: str, lease_s: float, grace_s: float, shards: int) -> None:
    """Work until SIGTERM."""
    redis = connect(url)

    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        params = orjson.loads(claim.payload)
        if params.get("poison"):
            os.kill(os.getpid(), signal.SIGKILL)
        if params.get("trace", True):
            await redis.execute_command("RPUSH", f"ran:{claim.id}", claim.token)
        await asyncio.sleep(params.get("sleep_s", 0))
        entry = {"v": 1, "job": claim.id, "status": 200, "priced": True, "cost": params.get("cost")}
        ledger = orjson.dumps(entry) if "cost" in params else b""
        return Outcome(state=State.COMPLETED, status_code=200, result=claim.token.encode(), ledger=ledger)

    options = WorkerOptions(limits=QueueLimits(lease_s=lease_s), grace_s=grace_s)
    carriers: list[asyncio.Task[None]] = []
    worker: LeasedWorker | ShardedWorker
    if shards == 1:
        worker = LeasedWorker.connect(url, run, options)
    else:
        worker = ShardedWorker.connect(url, [run] * shards, options)
        engines = [MultiplexedClient(url, shard=shard) for shard in range(shards)]
        for engine in engines[1:]:
            loop_ = BookingLoop(engine, BookingCarrier(engine, engines[0]), options.worker_id)
            carriers.append(asyncio.create_task(loop_.run()))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, worker.stop)
    await worker.serve()
    for task in carriers:
        task.cancel()
    await asyncio.gather(*carriers, return_exceptions=True)
    await redis.aclose()


if __name__ == "__main__":
    engine_scripts()
    engine_scripts(SHARD_LIBRARIES)
    governance_scripts()
    shards = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), shards))
